"""A wrong label among right ones is found by networks that did not learn from it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from carina.errors import CancelledError, InvalidInputError
from carina.geometry import Volume
from carina.infers.sliding_window import predict
from carina.models.label_quality import rank_labels
from carina.trainers.reviewing import compare_out_of_sample

PATIENTS = 9


@pytest.fixture
def patients(toy_case):
    return [toy_case(seed) for seed in range(PATIENTS)]


def relabelled(case, change):
    """The case with another label map."""

    def load():
        image, label = case.load()
        return image, Volume(change(label.array), label.grid)

    return dataclasses.replace(case, load=load)


def test_a_missing_structure_comes_first_although_the_networks_saw_it_elsewhere(spec, patients, tmp_path):
    patients[4] = relabelled(patients[4], lambda label: np.where(label == 1, 0, label).astype(np.uint8))
    told = []

    found = compare_out_of_sample(
        patients, spec=spec, predict=predict, folds=2, steps=20, device="cpu", work_dir=tmp_path,
        progress=lambda fraction, text: told.append(fraction),
    )  # fmt: skip

    assert sorted(found) == sorted(case.image_id for case in patients)
    first = rank_labels(found)[0]
    assert first.image_id == "image4"
    assert first.reasons[0].startswith("liver is missing")
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)
    assert list(tmp_path.iterdir()) == []


def test_all_images_of_a_patient_are_drawn_by_one_network(spec, patients, monkeypatch):
    from carina.trainers import reviewing

    learned: list[set[str]] = []

    def note(network, volumes, **_given):
        learned.append({volume.image_id for volume in volumes})

    monkeypatch.setattr(reviewing, "rehearse", note)
    cases = [dataclasses.replace(case, patient_id=f"p{number // 2}") for number, case in enumerate(patients[:8])]
    compare_out_of_sample(cases, spec=spec, predict=predict, folds=2, steps=1, device="cpu")
    unseen = [{case.image_id for case in cases} - names for names in learned]
    assert unseen[0] | unseen[1] == {case.image_id for case in cases}
    assert not unseen[0] & unseen[1]
    for pair in zip(cases[::2], cases[1::2], strict=True):
        assert len([1 for names in unseen if {case.image_id for case in pair} <= names]) == 1


def test_what_hardly_trained_networks_cannot_tell_is_told_by_the_other_labels(spec, patients):
    patients[4] = relabelled(patients[4], lambda label: np.where(label == 1, 0, label).astype(np.uint8))
    patients[7] = dataclasses.replace(
        relabelled(patients[7], lambda label: np.where(label == 1, 0, label).astype(np.uint8)),
        annotated=frozenset({"spleen"}),
    )
    found = compare_out_of_sample(patients, spec=spec, predict=predict, folds=3, steps=1, device="cpu")
    first, second = rank_labels(found)[:2]
    assert (first.image_id, first.reasons) == ("image4", ("liver is missing",))
    assert not second.suspect
    assert found["image7"].oddities == ()  # nobody looked for the liver there


@pytest.mark.parametrize(
    ("count", "folds", "message"), [(3, 2, "at least 4 patients, got 3"), (5, 1, "2 folds, got 1")]
)
def test_too_little_to_know_what_is_usual_is_refused(spec, patients, count, folds, message):
    with pytest.raises(InvalidInputError, match=message):
        compare_out_of_sample(patients[:count], spec=spec, predict=predict, folds=folds, device="cpu")


def test_it_can_be_cancelled(spec, patients):
    told = []
    with pytest.raises(CancelledError):
        compare_out_of_sample(
            patients, spec=spec, predict=predict, folds=2, steps=5, device="cpu",
            progress=lambda fraction, text: told.append(text), cancelled=lambda: "learning" in "".join(told),
        )  # fmt: skip
    assert "compared" not in "".join(told)
