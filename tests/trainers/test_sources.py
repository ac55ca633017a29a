"""Labelled images and those without are prepared; what cannot be read is left out where nobody chose it."""

from __future__ import annotations

import dataclasses

from carina.errors import InvalidInputError
from carina.trainers.cache import VolumeCache
from carina.trainers.sources import Sources, split
from carina.trainers.splits import FileSplitStore

from .conftest import unlabelled


def test_an_unlabelled_image_that_cannot_be_read_does_not_end_a_training(tmp_path, spec, toy_case, caplog):
    from carina.trainers.cache import VolumeCache
    from carina.trainers.sources import Sources

    def broken():
        raise InvalidInputError("It must be an image, got none. Look at it.")

    sources = Sources(train=[toy_case(0)], validation=[], holdout=[], pool=[unlabelled(1, load=broken), unlabelled(2)])
    items = sources.prepare(VolumeCache(tmp_path, spec), lambda fraction, text: None, lambda: False)
    assert [item.image_id for item in items.pool] == ["pool2"]
    assert "is left out: It must be an image" in caplog.text


def test_measured_patients_stay_out_of_the_pool_though_their_labels_are_not_among_the_cases(tmp_path, spec, toy_case):
    options = dataclasses.replace(spec.trainer, unlabelled_weight=1.0)
    cases, splits = [toy_case(seed) for seed in range(6)], FileSplitStore(tmp_path)
    first = split(cases, spec=spec, splits=splits, options=options)
    measured = {case.patient_id for case in (*first.validation, *first.holdout)}
    pool = [unlabelled(seed, patient_id=case.patient_id) for seed, case in enumerate(cases)]
    again = split(first.train, spec=spec, splits=splits, options=options, pool=pool)
    assert {case.patient_id for case in again.pool} == {case.patient_id for case in cases} - measured


def test_the_record_names_every_reading_and_no_patient(toy_case):
    other = toy_case(1, revision="2")
    sources = Sources(
        train=[toy_case(1, readings=(other,))], validation=[], holdout=[toy_case(2)], pool=[unlabelled(3)]
    )
    assert sources.measured_on == "holdout"
    assert sources.listed() == {
        "cases": [
            {"image_id": "image1", "revision": "1", "readings": ["2"], "part": "train"},
            {"image_id": "image2", "revision": "1", "part": "holdout"},
        ],
        "unlabelled": [{"image_id": "pool3", "revision": "unlabelled-1"}],
    }


def test_every_reading_of_a_training_image_is_prepared(tmp_path, spec, toy_case):
    sources = Sources(
        train=[toy_case(1, readings=(toy_case(1, revision="2"),))], validation=[toy_case(2)], holdout=[], pool=[]
    )
    told = []
    items = sources.prepare(VolumeCache(tmp_path, spec), lambda fraction, text: told.append(fraction), lambda: False)
    assert [item.image_id for item in items.training] == ["image1", "image1"]
    assert [item.image_id for item in items.compared] == ["image2"]
    assert told == [1 / 3, 2 / 3, 1.0]
