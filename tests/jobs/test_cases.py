"""Trainings see the newest final label of every image that says something about their task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from carina.annotations.consensus import make_consensus
from carina.annotations.store import open_annotations
from carina.annotations.submit import submit_findings, submit_label
from carina.datastores.port import ImageRecord
from carina.errors import ConflictError
from carina.geometry import Grid, Volume
from carina.images import write_image
from carina.jobs.cases import labelled_cases, unlabelled_cases
from carina.registry import find_tasks

GRID = Grid((6, 5, 4), np.array([[0.0, -2.0, 0.1, 9.0], [1.5, 0.0, 0.0, 8.0], [0.0, 0.1, 4.0, 7.0], [0, 0, 0, 1.0]]))


class FakeImages:
    """A store of NIfTI files."""

    name = "fake"

    def __init__(self, folder: Path, *ids: str) -> None:
        self.folder = folder
        self.ids = ids
        for image_id in ids:
            write_image(folder / f"{image_id}.nii.gz", Volume(np.full(GRID.shape, 7, np.int16), GRID))

    def list_images(self) -> list[ImageRecord]:
        return [ImageRecord(image_id=image_id, patient_id="p") for image_id in self.ids]

    def fetch(self, image_id: str) -> Path:
        return self.folder / f"{image_id}.nii.gz"


@pytest.fixture
def annotations(settings):
    opened = open_annotations(settings)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def spec():
    return find_tasks().get("thorax_ct")


def label_with(*values: int) -> Volume:
    array = np.zeros(GRID.shape, np.uint8)
    for position, value in enumerate(values):
        array[position] = value
    return Volume(array, GRID)


def send(annotations, image_id, names, **more):
    label = label_with(*names.values())
    return submit_label(
        annotations, image_id=image_id, image=GRID, label=more.pop("label", label), client_names=names, **more
    )


def test_a_case_has_the_image_and_the_label_in_the_indices_of_the_task(annotations, tmp_path, spec):
    annotation = send(annotations, "a", {"heart": 41, "liver": 3}, patient_id="P1")
    (case,) = labelled_cases(annotations, FakeImages(tmp_path, "a"), spec)

    image, label = case.load()

    assert (image.array == 7).all()
    heart = spec.labels.named("heart").index
    np.testing.assert_array_equal(label.array, np.where(label_with(41).array == 41, heart, 0))
    assert case.annotated == {"heart"}
    assert (case.revision, case.patient_id) == (annotation.id, annotations.patients.key("P1", image_id="a"))


def test_the_newest_final_label_counts_and_drafts_do_not(annotations, tmp_path, spec):
    send(annotations, "a", {"heart": 1})
    newest = send(annotations, "a", {"heart": 1, "spine": 2})
    send(annotations, "a", {"trachea": 1}, tag="original")
    (case,) = labelled_cases(annotations, FakeImages(tmp_path, "a"), spec)
    assert case.revision == newest.id


def test_a_label_for_something_else_does_not_hide_an_earlier_one(annotations, tmp_path, spec):
    ours = send(annotations, "a", {"heart": 1})
    send(annotations, "a", {"liver": 1})
    (case,) = labelled_cases(annotations, FakeImages(tmp_path, "a"), spec)
    assert case.revision == ours.id


def test_a_withdrawn_label_does_not_train(annotations, tmp_path, spec):
    annotations.withdraw(send(annotations, "a", {"heart": 1}).id)
    assert labelled_cases(annotations, FakeImages(tmp_path, "a"), spec) == []


def test_a_structure_that_was_looked_for_and_is_absent_is_annotated(annotations, tmp_path, spec):
    send(annotations, "a", {"heart": 1, "nodule": 2}, label=label_with(1))
    (case,) = labelled_cases(annotations, FakeImages(tmp_path, "a"), spec)
    assert case.annotated == {"heart", "nodule"}


def test_an_image_that_is_not_listed_now_is_left_out_with_a_word_in_the_log(annotations, tmp_path, spec, caplog):
    send(annotations, "a", {"heart": 1})
    send(annotations, "gone", {"heart": 1})
    cases = labelled_cases(annotations, FakeImages(tmp_path, "a"), spec)
    assert [case.image_id for case in cases] == ["a"]
    assert "1 labelled image(s)" in caplog.text


def test_findings_become_cases_of_a_task_of_whole_images_only(annotations, tmp_path, spec):
    told, images = find_tasks().get("cxr_findings"), FakeImages(tmp_path, "one", "two")
    send(annotations, "two", {"heart": 3})
    submit_findings(annotations, image_id="one", findings={"mass": True}, spec=told)
    newest = submit_findings(annotations, image_id="one", findings={"mass": False, "edema": 1}, spec=told)

    (case,) = labelled_cases(annotations, images, told)

    assert (case.image_id, case.revision) == ("one", newest.id)
    assert case.findings == {"mass": False, "edema": True}
    assert case.load().grid.matches(GRID)
    assert [case.image_id for case in labelled_cases(annotations, images, spec)] == ["two"]


def test_an_image_is_accepted_with_every_place_that_was_answered_until_then(annotations, tmp_path):
    images, spec = FakeImages(tmp_path, "one"), find_tasks().get("nodule_malignancy")

    def say(place, answer):
        return submit_findings(
            annotations, image_id="one", findings={"malignant_nodule": answer}, spec=spec, place=place
        )

    changed, here, there = say((1, 1, 1), True), say((2, 2, 2), True), say((1, 1, 1), False)
    annotations.cases.accept("one", spec.name)
    later = say((3, 3, 3), True)
    assert {case.revision for case in labelled_cases(annotations, images, spec)} == {here.id, there.id}
    annotations.cases.reopen("one", spec.name)
    known = {case.revision for case in labelled_cases(annotations, images, spec)}
    assert known == {here.id, there.id, later.id}
    assert changed.id not in known


def test_who_is_unsure_of_everything_teaches_nothing_and_takes_back_what_they_said(annotations, tmp_path):
    images, told = FakeImages(tmp_path, "one"), find_tasks().get("cxr_findings")

    def say(user, answer):
        return submit_findings(annotations, image_id="one", findings={"mass": answer}, spec=told, user=user)

    annas = say("anna", True)
    say("ben", False)
    say("ben", None)
    assert labelled_cases(annotations, images, told) == []
    (case,) = labelled_cases(annotations, images, told, every_reader=True)
    assert [one.revision for one in case.every_reading()] == [annas.id]


def test_a_job_that_began_with_an_accepted_consensus_finds_it_again(annotations, tmp_path, spec):
    images = FakeImages(tmp_path, "a")
    for reader in ("anna", "ben"):
        send(annotations, "a", {"heart": 1}, spec=spec, user=reader)
    merged = make_consensus(annotations, "a", task=spec.name, method="majority")
    annotations.cases.accept("a", spec.name, annotation_id=merged.id)
    (begun,) = labelled_cases(annotations, images, spec)
    assert begun.revision == merged.id
    send(annotations, "a", {"heart": 1}, spec=spec, user="anna")

    (resumed,) = labelled_cases(annotations, images, spec, only=[begun.revision])

    assert (resumed.revision, resumed.image_id, resumed.annotated) == (merged.id, "a", {"heart"})
    annotations.withdraw(merged.id)
    assert labelled_cases(annotations, images, spec, only=[begun.revision]) == []


def test_images_without_a_label_are_cases_with_an_empty_one_and_of_their_patient(annotations, tmp_path):
    (case,) = unlabelled_cases(annotations, FakeImages(tmp_path, "a", "b"), ["b"])
    image, label = case.load()
    assert (case.image_id, case.patient_id) == ("b", annotations.patients.key("p", image_id="b"))
    assert (image.array == 7).all()
    assert not label.array.any()


def test_images_without_a_label_that_a_job_began_with_must_be_there(annotations, tmp_path):
    with pytest.raises(ConflictError, match="got 1 missing"):
        unlabelled_cases(annotations, FakeImages(tmp_path, "a"), ["a", "gone"])


def test_every_readers_newest_label_comes_along_on_wish(annotations, tmp_path, spec):
    images = FakeImages(tmp_path, "a", "b")
    send(annotations, "a", {"heart": 1}, user="anna")
    bens = send(annotations, "a", {"heart": 1}, user="ben")
    annas = send(annotations, "a", {"heart": 1}, user="anna")
    send(annotations, "b", {"heart": 1}, user="anna")

    first, second = labelled_cases(annotations, images, spec, every_reader=True)

    assert [one.revision for one in first.every_reading()] == [annas.id, bens.id]
    assert second.readings == ()
    known = [one.revision for case in (first, second) for one in case.every_reading()]
    send(annotations, "a", {"heart": 1}, user="carl")
    again = labelled_cases(annotations, images, spec, only=known, every_reader=True)
    assert [one.revision for case in again for one in case.every_reading()] == known
    assert [case.readings for case in labelled_cases(annotations, images, spec)] == [(), ()]
