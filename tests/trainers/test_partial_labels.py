"""A case where only some structures were annotated teaches those, and does not unteach the others."""

from __future__ import annotations

import copy
import dataclasses

import numpy as np
import pytest
import torch

from carina.geometry import Volume
from carina.infers.sliding_window import predict
from carina.networks.factory import build_network
from carina.trainers.cache import VolumeCache
from carina.trainers.rehearsal import rehearse
from carina.trainers.segmentation import SegmentationLesson


@pytest.fixture
def lesson(spec):
    return SegmentationLesson(
        spec=spec, options=spec.trainer, predict=predict, device=torch.device("cpu"), cancelled=lambda: False
    )


def without_spleen(case, spec, *, annotated):
    """The case with the label map of the liver alone."""

    def load():
        image, label = case.load()
        return image, Volume(np.where(label.array == spec.labels.indices["spleen"], 0, label.array), label.grid)

    return dataclasses.replace(case, load=load, annotated=annotated)


def test_corrections_of_one_structure_leave_the_other_as_it_was_known(lesson, spec, toy_case, tmp_path):
    whole = [VolumeCache(tmp_path / "whole", spec).get(toy_case(seed)) for seed in range(4)]
    torch.manual_seed(0)
    network = build_network(spec)
    rehearse(network, whole[:2], lesson=lesson, steps=40)
    before = lesson.dice(network, whole[2:])

    after = {}
    for name, annotated in (("liver alone", frozenset({"liver"})), ("as if there were no spleen", None)):
        cache = VolumeCache(tmp_path / name, spec)
        corrected = [cache.get(without_spleen(toy_case(seed), spec, annotated=annotated)) for seed in (7, 8)]
        trained = copy.deepcopy(network)
        rehearse(trained, corrected, lesson=lesson, steps=20, known=spec.labels.names)
        after[name] = lesson.dice(trained, whole[2:])

    assert min(before.values()) > 0.6
    assert min(after["liver alone"].values()) > 0.6
    assert after["as if there were no spleen"]["spleen"] < 0.3
