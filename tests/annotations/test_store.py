"""Versions are complete, immutable and never lost."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import IntegrityError

from carina.annotations.annotation import Annotation
from carina.annotations.database import Database
from carina.annotations.files import LabelFiles, LocalFileSystem
from carina.annotations.store import AnnotationStore, open_annotations
from carina.annotations.tables import AnnotationRow
from carina.errors import ConflictError, InvalidInputError, LabelError, StorageError, UnknownLabelError, UnsafeIdError
from carina.geometry import Volume

from .conftest import NAMES

HOSTILE = ["..", "../x", "a/b", "a\\b", "", ".hidden", "a..b", "x" * 129, "naïve", "a b", "a\0b", "a\n"]


def stored_files(store: AnnotationStore) -> list[Path]:
    return sorted(path for path in store.files.folder.rglob("*") if path.is_file())


def test_gives_back_the_voxels_names_and_exact_grid_that_were_submitted(store, submit, label):
    annotation = submit()

    volume, names = store.read(store.get(annotation.id))

    np.testing.assert_array_equal(volume.array, label.array)
    assert volume.array.dtype == label.array.dtype
    np.testing.assert_array_equal(volume.grid.affine_ras, label.grid.affine_ras)
    assert names == NAMES


def test_stores_a_file_that_simpleitk_reads_on_the_same_grid(store, submit, label):
    image = sitk.ReadImage(str(store.label_path(submit())))

    np.testing.assert_array_equal(sitk.GetArrayFromImage(image).transpose(2, 1, 0), label.array)
    np.testing.assert_allclose(image.GetOrigin(), label.grid.affine_lps[:3, 3], atol=1e-3)
    np.testing.assert_allclose(image.GetSpacing(), label.grid.spacing_mm, atol=1e-5)


def test_records_the_hash_of_the_file(store, submit):
    annotation = submit()
    assert annotation.sha256 == hashlib.sha256(store.label_path(annotation).read_bytes()).hexdigest()


def test_every_version_stays_and_the_newest_is_the_latest(store, submit):
    first = submit(user="anna")
    second = submit(user="bert")

    assert [version.id for version in store.versions("1.2.3")] == [first.id, second.id]
    assert store.latest("1.2.3").id == second.id
    assert second.parent == first.id
    assert (first.user, second.user) == ("anna", "bert")


def test_counts_the_voxels_that_changed_by_name_and_not_by_number(submit, label):
    submit()
    renumbered = np.zeros_like(label.array)
    renumbered[label.array == NAMES["liver"]] = 1
    renumbered[label.array == NAMES["aorta"]] = 2
    renumbered[0, 0, 0] = 2

    second = submit(label=Volume(renumbered, label.grid), names={"liver": 1, "aorta": 2})

    assert second.voxels_changed == 1


def test_a_draft_is_the_parent_of_its_correction_but_not_the_latest_final_label(store, submit):
    draft = submit(tag="original", task="thorax_ct", origin="automatic")
    with pytest.raises(UnknownLabelError):
        store.latest("1.2.3", tag="final")
    assert submit(tag="final", task="thorax_ct").parent == draft.id


def test_a_version_of_another_task_is_not_the_parent(submit):
    submit(task="wholebody_ct")
    assert submit(task="thorax_ct").parent is None


def test_latest_can_be_asked_for_per_task(store, submit):
    first = submit(task="thorax_ct")
    submit(task="wholebody_ct")
    assert store.latest("1.2.3", task="thorax_ct").id == first.id


def test_lists_labelled_images_by_tag(store, submit):
    submit("b")
    submit("a")
    submit("a")
    submit("c", tag="original")
    assert store.labelled_images("final") == ["a", "b"]
    assert store.labelled_images("original") == ["c"]


def test_withdrawing_keeps_row_and_file_and_brings_back_the_version_before(store, submit):
    first, second = submit(), submit()

    store.withdraw(second.id, user="anna", reason="wrong patient")
    store.withdraw(second.id)

    assert store.latest("1.2.3").id == first.id
    assert store.get(second.id).withdrawn
    assert [version.withdrawn for version in store.versions("1.2.3")] == [False, True]
    assert store.label_path(second).is_file()
    assert store.deliveries.get(second.id).state == "called_off"


def test_an_image_whose_only_version_was_withdrawn_is_not_labelled(store, submit):
    store.withdraw(submit().id)
    assert store.labelled_images() == []


@pytest.mark.parametrize("tag", HOSTILE)
def test_refuses_a_hostile_tag_and_stores_nothing(store, submit, tag):
    with pytest.raises(UnsafeIdError):
        submit(tag=tag)
    assert stored_files(store) == []


@pytest.mark.parametrize("image_id", HOSTILE)
def test_refuses_a_hostile_image_id_and_stores_nothing(store, submit, image_id):
    with pytest.raises(UnsafeIdError):
        submit(image_id)
    assert stored_files(store) == []


def test_refuses_an_origin_that_dicom_does_not_have(submit):
    with pytest.raises(InvalidInputError, match="robot"):
        submit(origin="robot")


def test_refuses_a_value_without_a_name(store, submit):
    with pytest.raises(LabelError, match="52"):
        submit(names={"liver": 5})
    assert stored_files(store) == []


@pytest.mark.parametrize("names", [{"liver": 5, "aorta": 5}, {"liver": 0, "aorta": 52}, {"liver": 5, "aorta": 65535}])
def test_refuses_names_that_cannot_be_read_back(submit, names):
    with pytest.raises(LabelError):
        submit(names=names)


def test_an_empty_label_is_a_version_like_any_other(store, submit, label):
    empty = submit(label=Volume(np.zeros_like(label.array), label.grid))
    volume, names = store.read(empty)
    assert not volume.array.any()
    assert names == NAMES


def test_a_row_cannot_be_changed_through_the_models(store, submit):
    annotation = submit()
    with pytest.raises(ConflictError), store.database.writing() as session:
        session.scalars(select(AnnotationRow)).one().author = "mallory"
    assert store.get(annotation.id).user is None


@pytest.mark.parametrize("statement", ["UPDATE annotations SET author = 'mallory'", "DELETE FROM annotations"])
def test_a_row_cannot_be_changed_with_plain_sql(settings, submit, statement):
    submit()
    engine = create_engine(settings.database_url)
    with pytest.raises(IntegrityError, match="append-only"), engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_a_changed_file_is_noticed(store, submit):
    annotation = submit()
    path = store.label_path(annotation)
    content = bytearray(path.read_bytes())
    content[-12] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StorageError, match="SHA-256"):
        store.read(annotation)


def test_a_missing_file_is_an_error_and_not_an_empty_label(store, submit):
    annotation = submit()
    store.label_path(annotation).unlink()
    with pytest.raises(StorageError, match="must exist"):
        store.label_path(annotation)


def test_a_damaged_parent_does_not_keep_a_new_version_out(store, submit):
    first = submit()
    store.label_path(first).write_bytes(b"")
    second = submit()
    assert second.parent == first.id
    assert second.voxels_changed is None


def test_eight_annotators_at_once_lose_nothing(store, submit):
    with ThreadPoolExecutor(8) as pool:
        made: list[Annotation] = list(pool.map(lambda number: submit(user=f"user{number % 8}"), range(64)))

    versions = store.versions("1.2.3")
    assert {version.id for version in versions} == {annotation.id for annotation in made}
    assert len({version.sequence for version in versions}) == 64
    assert all(store.label_path(version).is_file() for version in versions)
    assert store.deliveries.counts()["pending"] == 64


def test_a_second_process_sees_what_the_first_committed(settings, submit):
    annotation = submit()
    other = open_annotations(settings)
    assert other.get(annotation.id) == annotation or other.get(annotation.id).sha256 == annotation.sha256
    other.close()


def test_notes_on_an_image_are_merged_also_by_eight_threads_at_once(store):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: store.update_image_info("1.2.3", {f"key{number}": number}), range(32)))
    assert store.image_info("1.2.3") == {f"key{number}": number for number in range(32)}
    assert store.image_info("other") == {}


def test_notes_on_a_version_need_the_version(store, submit):
    annotation = submit()
    assert store.update_label_info(annotation.id, {"seconds": 90}) == {"seconds": 90}
    assert store.label_info(annotation.id) == {"seconds": 90}
    with pytest.raises(UnknownLabelError):
        store.update_label_info("0" * 32, {})


class FullDisk(LocalFileSystem):
    """Fails at one step, as a full disk may do at any of them."""

    def __init__(self, step: str) -> None:
        self.step = step

    def _maybe_full(self, step: str) -> None:
        if self.step == step:
            raise OSError(28, "No space left on device")

    def create(self, path):
        self._maybe_full("create")
        return super().create(path)

    def flush(self, stream):
        self._maybe_full("flush")
        super().flush(stream)

    def publish(self, part, final):
        super().publish(part, final)
        self._maybe_full("publish")


@pytest.mark.parametrize("step", ["create", "flush", "publish"])
def test_a_full_disk_is_said_and_leaves_nothing_behind(settings, store, label, step):
    files = LabelFiles(settings.annotations_dir, file_system=FullDisk(step))
    full = AnnotationStore(store.database, files=files, patients=store.patients)

    with pytest.raises(StorageError, match="No space left"):
        full.submit("1.2.3", label, names=NAMES)

    assert stored_files(store) == []
    assert store.versions("1.2.3") == []


_UNDER_A_FILE_SIZE_LIMIT = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from carina.annotations.store import open_annotations
from carina.errors import StorageError
from carina.geometry import Grid, Volume
from carina.settings import Settings
store = open_annotations(Settings(home=Path(sys.argv[1])))
array = np.random.default_rng(0).integers(0, 2, (128, 128, 64), dtype=np.uint8)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))
try:
    store.submit("1.2.3", Volume(array, Grid(array.shape, np.eye(4))), names={"liver": 1})
except StorageError as error:
    print("refused:", error)
"""


def test_a_write_that_the_operating_system_refuses_half_way_leaves_nothing_behind(settings, store):
    done = subprocess.run(
        [sys.executable, "-c", _UNDER_A_FILE_SIZE_LIMIT, str(settings.home)],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "refused: The annotation folder must have room" in done.stdout
    assert stored_files(store) == []
    assert store.versions("1.2.3") == []


class BrokenDatabase(Database):
    """Cannot be written, as a full or locked database."""

    def writing(self):
        raise StorageError("The database must be written, got OperationalError.")


def test_a_database_that_cannot_be_written_leaves_no_file_behind(settings, store, label):
    broken = BrokenDatabase(settings.database_url)
    failing = AnnotationStore(broken, files=store.files, patients=store.patients)
    with pytest.raises(StorageError):
        failing.submit("1.2.3", label, names=NAMES)
    assert stored_files(store) == []
    broken.close()
