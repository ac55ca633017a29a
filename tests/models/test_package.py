"""A model travels as one file: the same bytes each time, no ids in it, and nothing hostile gets in."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import pickle
import re
import zipfile

import numpy as np
import pytest
import torch

from carina.errors import (
    ArchiveError,
    CarinaError,
    ConfigurationError,
    InvalidInputError,
    UnknownModelError,
    UnknownNameError,
)
from carina.geometry import Grid, Volume
from carina.models.loading import load_into, load_weights
from carina.models.package import export_version
from carina.models.plausibility import Plausibility, plausibility_of
from carina.models.retention import prune
from carina.models.store import ModelStore
from carina.models.unpacking import import_package
from carina.models.version import PLAUSIBILITY_NAME, sha256_of_bytes
from carina.networks.factory import build_network
from carina.registry import Registry
from carina.structures import label_set

SECRET = "1.2.276.0.7230010.3.1.3.999"


def registry(*specs):
    found = Registry("Task")
    for spec in specs:
        found.add(spec)
    return found


@pytest.fixture
def version(store, spec):
    return store.add(
        spec.name,
        build_network(spec).state_dict(),
        fingerprint=spec.fingerprint(),
        labels=spec.labels.indices,
        metrics={"liver": {"dice": 0.8, "hd95_mm": None}},
        intervals={"liver": {"dice": {"mean": 0.8, "low": 0.7, "high": 0.9, "n": 4}}},
        task_spec=spec.to_json(),
        data={
            "cases": [{"image_id": SECRET, "revision": f"note-{SECRET}", "part": "train"}],
            "trained_labels": ["liver"],
            "file_name": f"mueller-{SECRET}.pt",
        },
        parent="v7",
    )


@pytest.fixture
def file(store, spec, version, tmp_path):
    return export_version(store, spec, version, tmp_path / "toy.carina").path


@pytest.fixture
def elsewhere(tmp_path):
    return ModelStore(tmp_path / "elsewhere")


def repacked(file, tmp_path, change):
    """The file with its parts changed by `change(parts)`, and every hash in the manifest made right again."""
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    change(parts)
    manifest = json.loads(parts["manifest.json"])
    for name in manifest["parts"]:
        manifest["parts"][name]["sha256"] = sha256_of_bytes(parts.get(name, b""))
    parts["manifest.json"] = json.dumps(manifest).encode()
    return written(tmp_path / "changed.carina", parts)


def written(path, parts, *, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return path


def test_a_round_trip_gives_the_same_weights_and_is_not_served(store, spec, version, file, elsewhere):
    arrived = import_package(elsewhere, registry(spec), file)
    assert (arrived.version, arrived.source, arrived.parent) == ("v1", "imported", None)
    assert arrived.sha256 == version.sha256
    assert arrived.metrics == version.metrics
    assert arrived.intervals == version.intervals
    assert arrived.data["origin"]["version"] == version.version
    assert arrived.data["origin"]["code"] == version.code
    assert arrived.data["trained_labels"] == ["liver"]
    assert elsewhere.served(spec.name) is None
    network = build_network(spec)
    load_into(network, arrived, spec=spec)
    expected = load_weights(version)
    assert all(torch.equal(tensor, expected[name]) for name, tensor in network.state_dict().items())
    assert import_package(elsewhere, registry(spec), file) == arrived


def test_no_id_leaves_the_house_unless_asked_for(store, spec, version, file, tmp_path):
    content = file.read_bytes()
    assert SECRET.encode() not in content
    assert b"mueller" not in content
    told = export_version(store, spec, version, tmp_path / "told.carina", with_data_ids=True).path.read_bytes()
    assert SECRET.encode() in told
    assert b"mueller" not in told


def test_a_version_always_gives_the_same_file(store, spec, version, file, tmp_path):
    again = export_version(store, spec, version, tmp_path / "again.carina")
    assert again.path.read_bytes() == file.read_bytes()
    assert again.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert [path.name for path in tmp_path.glob(".*carina*")] == []


def test_a_hash_told_by_the_sender_is_compared(spec, file, elsewhere):
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert import_package(elsewhere, registry(spec), file, sha256=digest.upper()).version == "v1"
    with pytest.raises(InvalidInputError, match="must have the SHA-256 0000"):
        import_package(elsewhere, registry(spec), file, sha256="0" * 64)


@pytest.mark.parametrize("name", ["model.json", "task.json", "weights.safetensors"])
def test_one_changed_bit_in_any_part_is_refused(spec, file, elsewhere, tmp_path, name):
    with zipfile.ZipFile(file) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    changed = bytearray(parts[name])
    changed[-2] ^= 1
    parts[name] = bytes(changed)
    with pytest.raises(ArchiveError, match=f"Part {re.escape(name)} must have the SHA-256"):
        import_package(elsewhere, registry(spec), written(tmp_path / "bit.carina", parts))
    assert elsewhere.list(spec.name) == ()


def test_random_damage_is_refused_in_words_or_does_not_matter(spec, version, file, elsewhere, tmp_path):
    content, random = file.read_bytes(), np.random.default_rng(0)
    damaged = tmp_path / "damaged.carina"
    texts = len(content) - version.weights_path.stat().st_size
    for _ in range(60):
        changed = bytearray(content)
        back = int(random.integers(1, texts)) if random.random() < 0.8 else int(random.integers(1, len(content)))
        changed[-back if random.random() < 0.5 else back] ^= int(random.integers(1, 256))
        damaged.write_bytes(changed)
        try:
            arrived = import_package(elsewhere, registry(spec), damaged)
        except CarinaError:
            continue
        assert arrived.sha256 == version.sha256
    assert {known.sha256 for known in elsewhere.list(spec.name)} <= {version.sha256}


def test_a_file_cut_short_is_refused(spec, file, elsewhere, tmp_path):
    short = tmp_path / "short.carina"
    short.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ArchiveError, match="must be a carina model file"):
        import_package(elsewhere, registry(spec), short)


@pytest.mark.parametrize("name", ["../../evil.py", "/etc/passwd", "weights.safetensors/../x", "extra.txt", "data.pkl"])
def test_any_other_entry_is_refused(spec, file, elsewhere, tmp_path, name):
    changed = repacked(file, tmp_path, lambda parts: parts.update({name: b"x"}))
    with pytest.raises(ArchiveError, match="and nothing else"):
        import_package(elsewhere, registry(spec), changed)
    assert not list(tmp_path.rglob("evil.py"))


def test_a_part_that_is_there_twice_or_missing_is_refused(spec, file, elsewhere, tmp_path):
    twice = tmp_path / "twice.carina"
    twice.write_bytes(file.read_bytes())
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(twice, "a") as archive:
        archive.writestr("model.json", b"{}")
    missing = repacked(file, tmp_path, lambda parts: parts.pop("task.json"))
    for path in (twice, missing):
        with pytest.raises(ArchiveError, match="and nothing else"):
            import_package(elsewhere, registry(spec), path)


def test_a_symbolic_link_is_refused(spec, file, elsewhere, tmp_path):
    with zipfile.ZipFile(file) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    path = tmp_path / "link.carina"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in parts.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o120777 if name == "task.json" else 0o100644) << 16
            archive.writestr(entry, content)
    with pytest.raises(ArchiveError, match=r"task\.json must be a plain file"):
        import_package(elsewhere, registry(spec), path)


def test_a_zip_bomb_is_refused_before_it_is_unpacked(spec, file, elsewhere, tmp_path):
    with zipfile.ZipFile(file) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    parts["weights.safetensors"] = bytes(50_000_000)
    bomb = written(tmp_path / "bomb.carina", parts, compression=zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 1_000_000
    with pytest.raises(ArchiveError, match="must be stored as it is"):
        import_package(elsewhere, registry(spec), bomb)


def test_overlapping_entries_are_refused(spec, file, elsewhere, tmp_path):
    """Two directory entries that share one long part would unpack to more than the file holds."""
    content = file.read_bytes()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        weights = archive.getinfo("weights.safetensors")
        entries = archive.infolist()
    path = tmp_path / "overlap.carina"
    with zipfile.ZipFile(path, "w") as archive:
        with zipfile.ZipFile(io.BytesIO(content)) as source:
            for entry in entries:
                archive.writestr(entry, source.read(entry))
        for entry in archive.filelist:
            entry.header_offset = archive.getinfo("weights.safetensors").header_offset
            entry.file_size = entry.compress_size = weights.file_size
    with pytest.raises(ArchiveError):
        import_package(elsewhere, registry(spec), path)


def test_a_pickle_in_place_of_the_weights_runs_no_code(spec, file, elsewhere, tmp_path):
    trace = tmp_path / "executed"

    class Malicious:
        def __reduce__(self):
            return trace.touch, ()

    changed = repacked(file, tmp_path, lambda parts: parts.update({"weights.safetensors": pickle.dumps(Malicious())}))
    with pytest.raises(InvalidInputError, match="safetensors"):
        import_package(elsewhere, registry(spec), changed)
    assert not trace.exists()
    assert elsewhere.list(spec.name) == ()


def test_another_form_of_the_task_is_named(spec, file, elsewhere):
    changed = dataclasses.replace(spec, labels=label_set("liver", "heart"), spacing_mm=(1.0, 1.0, 1.0))
    with pytest.raises(
        ConfigurationError, match=r"labels\.heart None there, 2 here; spacing_mm \[2\.0, .* there, \[1\.0"
    ):
        import_package(elsewhere, registry(changed), file)
    with pytest.raises(UnknownNameError, match="toy_ct"):
        import_package(elsewhere, registry(dataclasses.replace(spec, name="other_ct")), file)
    assert elsewhere.tasks() == ()


def test_a_false_fingerprint_does_not_help(spec, file, elsewhere, tmp_path):
    """A file of three labels that claims to be of this task's two."""
    larger = dataclasses.replace(spec, labels=label_set("liver", "spleen", "heart"))
    buffer = io.BytesIO()
    from safetensors.torch import save

    buffer.write(save({name: tensor.contiguous() for name, tensor in build_network(larger).state_dict().items()}))
    changed = repacked(file, tmp_path, lambda parts: parts.update({"weights.safetensors": buffer.getvalue()}))
    with pytest.raises(ConfigurationError, match=r"conv_final\.2\.conv\.bias: \(4,\) instead of \(3,\)"):
        import_package(elsewhere, registry(spec), changed)


def test_a_strange_metadata_file_gives_no_strange_metrics(spec, file, elsewhere, tmp_path):
    def change(parts):
        model = json.loads(parts["model.json"])
        model["metrics"] = {"liver": {"dice": "0.9; rm", "hd95_mm": 3}, "unknown": {"dice": 1.0}, "spleen": [1]}
        model["intervals"] = "none"
        model["data"] = ["x"]
        parts["model.json"] = json.dumps(model).encode()

    arrived = import_package(elsewhere, registry(spec), repacked(file, tmp_path, change))
    assert arrived.metrics == {"liver": {"dice": None, "hd95_mm": 3.0}}
    assert arrived.intervals == {}


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b"[" * 200_000])
def test_json_that_is_none_is_refused(spec, file, elsewhere, tmp_path, content):
    changed = repacked(file, tmp_path, lambda parts: parts.update({"model.json": content}))
    with pytest.raises(ArchiveError, match=r"model\.json must be"):
        import_package(elsewhere, registry(spec), changed)


def test_a_later_format_is_refused(spec, file, elsewhere, tmp_path):
    with zipfile.ZipFile(file) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    parts["manifest.json"] = parts["manifest.json"].replace(b'"format_version": 1', b'"format_version": 3')
    with pytest.raises(ArchiveError, match="must have format carina-model 1 or 2, got carina-model 3"):
        import_package(elsewhere, registry(spec), written(tmp_path / "later.carina", parts))


def test_a_version_without_weights_cannot_be_exported(store, spec, version, tmp_path):
    prune(store, spec.name, keep=0, by="test")
    with pytest.raises(UnknownModelError, match="taken away"):
        export_version(store, spec, version, tmp_path / "gone.carina")
    assert not list(tmp_path.glob("*.carina"))


def test_a_version_of_an_older_carina_takes_the_tasks_present_form(store, spec, tmp_path, elsewhere):
    old = store.add(
        spec.name, build_network(spec).state_dict(), fingerprint=spec.fingerprint(), labels=spec.labels.indices
    )
    file = export_version(store, spec, old, tmp_path / "old.carina").path
    assert import_package(elsewhere, registry(spec), file).task_spec["name"] == spec.name
    changed = dataclasses.replace(spec, spacing_mm=(1.0, 1.0, 1.0))
    with pytest.raises(UnknownModelError, match="must know the task"):
        export_version(store, changed, old, tmp_path / "no.carina")


def drawn(seed: int) -> Volume:
    """Two boxes of varying place and size."""
    random = np.random.default_rng(seed)
    label = np.zeros((24, 20, 16), np.uint8)
    for index, first in ((1, 2), (2, 14)):
        x, y, z = random.integers(0, 3, 3) + np.array([first, 4, 3])
        a, b, c = random.integers(5, 8, 3)
        label[x : x + a, y : y + b, z : z + c] = index
    return Volume(label, Grid(label.shape, np.diag([4.0, 4.0, 5.0, 1.0])))


@pytest.fixture
def judging(store, spec):
    """A version that knows what its training labels look like."""
    usual = Plausibility.of((drawn(seed) for seed in range(9)), spec=spec, names=spec.labels.names)
    return store.add(
        spec.name, build_network(spec).state_dict(), fingerprint=spec.fingerprint(), labels=spec.labels.indices,
        task_spec=spec.to_json(), plausibility=usual,
    )  # fmt: skip


@pytest.fixture
def judging_file(store, spec, judging, tmp_path):
    return export_version(store, spec, judging, tmp_path / "judging.carina").path


def test_a_version_judges_drafts_elsewhere_exactly_as_at_home(spec, judging, judging_file, elsewhere):
    arrived = import_package(elsewhere, registry(spec), judging_file)
    here, there = plausibility_of(judging), plausibility_of(arrived)
    without = drawn(40).array.copy()
    without[without == 1] = 0
    drafts = [drawn(40), drawn(41), Volume(without, drawn(40).grid), Volume(np.flip(without, 1), drawn(40).grid)]
    verdicts = [here.judge(draft, spec.labels) for draft in drafts]
    assert [there.judge(draft, spec.labels) for draft in drafts] == verdicts
    assert verdicts[2].reasons[0] == "liver is missing"
    assert (arrived.folder / PLAUSIBILITY_NAME).read_bytes() == (judging.folder / PLAUSIBILITY_NAME).read_bytes()
    assert import_package(elsewhere, registry(spec), judging_file) == arrived


def test_the_same_weights_come_again_with_what_judges_them_if_they_came_without(
    store, spec, judging, judging_file, elsewhere, tmp_path
):
    plain = store.add(
        spec.name, load_weights(judging), fingerprint=spec.fingerprint(), labels=spec.labels.indices,
        task_spec=spec.to_json(),
    )  # fmt: skip
    first = import_package(elsewhere, registry(spec), export_version(store, spec, plain, tmp_path / "p.carina").path)
    assert plausibility_of(first) is None
    second = import_package(elsewhere, registry(spec), judging_file)
    assert (second.version, second.sha256) == ("v2", first.sha256)
    assert plausibility_of(second) is not None


def test_a_damaged_shape_model_neither_leaves_nor_enters(store, spec, judging, judging_file, elsewhere, tmp_path):
    with zipfile.ZipFile(judging_file) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    changed = bytearray(parts[PLAUSIBILITY_NAME])
    changed[-2] ^= 1
    with pytest.raises(ArchiveError, match=r"Part plausibility\.safetensors must have the SHA-256"):
        import_package(
            elsewhere, registry(spec), written(tmp_path / "bit.carina", parts | {PLAUSIBILITY_NAME: bytes(changed)})
        )
    missing = repacked(judging_file, tmp_path, lambda parts: parts.pop(PLAUSIBILITY_NAME))
    with pytest.raises(ArchiveError, match="must list each of its parts once"):
        import_package(elsewhere, registry(spec), missing)
    (judging.folder / PLAUSIBILITY_NAME).write_bytes(b"something else")
    with pytest.raises(ConfigurationError, match="must be as carina wrote it"):
        export_version(store, spec, judging, tmp_path / "no.carina")
    assert elsewhere.list(spec.name) == ()


def of_other_structures(usual: Plausibility) -> Plausibility:
    return dataclasses.replace(usual, names=("liver", "heart"))


def with_values_that_are_none(usual: Plausibility) -> Plausibility:
    spreads = {name: dict(row) for name, row in usual.spreads.items()}
    spreads["liver"]["shape"] = dataclasses.replace(spreads["liver"]["shape"], deviation=float("nan"))
    return dataclasses.replace(usual, spreads=spreads)


def of_another_grid(usual: Plausibility) -> Plausibility:
    return dataclasses.replace(usual, space=dataclasses.replace(usual.space, mean=usual.space.mean[:, :9]))


@pytest.mark.parametrize("change", [of_other_structures, with_values_that_are_none, of_another_grid])
def test_a_shape_model_that_cannot_judge_the_task_is_refused(spec, judging, judging_file, elsewhere, tmp_path, change):
    file = tmp_path / "other.safetensors"
    change(plausibility_of(judging)).save(file)
    changed = repacked(judging_file, tmp_path, lambda parts: parts.update({PLAUSIBILITY_NAME: file.read_bytes()}))
    with pytest.raises(InvalidInputError, match="must be judged by structures of the task"):
        import_package(elsewhere, registry(spec), changed)
    assert elsewhere.list(spec.name) == ()


@pytest.mark.parametrize("content", [b"", b"x" * 400, pickle.dumps([1])])
def test_a_shape_model_that_is_none_is_refused_in_words(spec, judging_file, elsewhere, tmp_path, content):
    changed = repacked(judging_file, tmp_path, lambda parts: parts.update({PLAUSIBILITY_NAME: content}))
    with pytest.raises(InvalidInputError, match="must be as carina wrote it"):
        import_package(elsewhere, registry(spec), changed)
