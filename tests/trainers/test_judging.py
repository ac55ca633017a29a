"""Trainings that must not be served: shuffled labels, and a regression in one rare label alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from carina.geometry import Volume
from carina.infers.sliding_window import predict
from carina.models.loading import load_weights
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.trainers.cache import VolumeCache
from carina.trainers.judging import Judging
from carina.trainers.measuring import Measuring
from carina.trainers.splits import FileSplitStore
from carina.trainers.training import train

PARTS = {"patient0": "train", "patient1": "train", "patient2": "validation"} | {
    f"patient{number}": "holdout" for number in (3, 4, 5)
}
RARE = "spleen"
pytestmark = pytest.mark.usefixtures("one_thread")


def without(case, label_index, *, erase_from_image):
    """The case without one structure: erased from the label, and from the image if it is not to be there at all."""

    def load():
        image, label = case.load()
        there = label.array == label_index
        array = np.where(there, 10.0, image.array) if erase_from_image else image.array
        kept = Volume(np.where(there, 0, label.array).astype(np.uint8), label.grid)
        return Volume(array.astype(np.float32), image.grid), kept

    return dataclasses.replace(case, load=load, revision=f"{case.revision}-without-{label_index}")


def shuffled(case, seed):
    """The case with its labels in random voxels."""

    def load():
        image, label = case.load()
        voxels = np.random.default_rng(seed).permutation(label.array.ravel()).reshape(label.array.shape)
        return image, Volume(voxels, label.grid)

    return dataclasses.replace(case, load=load, revision=f"shuffled-{seed}")


@pytest.fixture
def cases(toy_case):
    """Six patients, three of them held out; the rare structure is in one holdout image only."""
    whole = {number: toy_case(number) for number in range(6)}
    return [without(case, 2, erase_from_image=True) if number in (4, 5) else case for number, case in whole.items()]


@pytest.fixture
def models(tmp_path, spec) -> ModelStore:
    models = ModelStore(tmp_path / "models")
    FileSplitStore(models.root).put(spec.name, PARTS)
    return models


@pytest.fixture
def run(tmp_path, spec, models):
    def start(cases, *, work, **options):
        return train(
            cases,
            spec=spec,
            models=models,
            splits=FileSplitStore(models.root),
            predict=predict,
            work_dir=tmp_path / work,
            options=dataclasses.replace(spec.trainer, **options),
            device="cpu",
        )

    return start


@pytest.mark.slow
def test_neither_shuffled_labels_nor_a_regression_in_one_rare_label_are_served(run, models, cases, spec, monkeypatch):
    monkeypatch.setenv("CARINA_PRECISION", "float32")  # one tiny step below must not change a holdout case's voxels
    first = run([shuffled(case, position) for position, case in enumerate(cases)], work="first")
    assert not first.promoted, first.decision.reason
    assert models.served(spec.name) is None

    good = run(cases, work="good")
    assert good.promoted, good.decision.reason

    wrong = [case if PARTS[case.patient_id] == "holdout" else shuffled(case, 7) for case in cases]
    assert not run(wrong, work="over").promoted
    barely = run(wrong, work="barely", max_epochs=1, steps_per_epoch=1, learning_rate=1e-6)
    assert not barely.promoted, barely.decision.reason
    assert "own training cases" in barely.decision.reason

    forgotten = [
        case if PARTS[case.patient_id] == "holdout" else without(case, 2, erase_from_image=False) for case in cases
    ]
    regression = run(forgotten, work="forgotten")
    verdicts = {row.label: row for row in regression.decision.per_label}
    assert not regression.promoted
    assert (verdicts[RARE].verdict, verdicts[RARE].cases) == ("worse", 1)
    assert RARE in regression.decision.reason
    assert models.served(spec.name).version == good.version.version


class TestOneRareLabel:
    """Served and candidate are one network, except for how much they like the rare label."""

    @pytest.fixture
    def judge(self, tmp_path, spec, models, cases):
        measuring = Measuring(spec=spec, predict=predict, device=torch.device("cpu"), cancelled=lambda: False)
        judging = Judging(
            measuring=measuring, models=models, margin=0.01, labels=spec.labels.names, measured_on="holdout"
        )
        training = [VolumeCache(tmp_path / "volumes", spec).get(case) for case in cases[:2]]

        def biased(bias):
            torch.manual_seed(0)
            network = build_network(spec)
            with torch.no_grad():
                network.state_dict()["conv_final.2.conv.bias"][spec.labels.named(RARE).index] = bias
            return network

        def start(holdout, *, served, candidate, progress=lambda fraction, text: None):
            state = biased(served).state_dict()
            version = models.add(spec.name, state, fingerprint=spec.fingerprint(), labels=spec.labels.indices)
            models.promote(spec.name, version.version, reason="test")
            evaluation, _ = measuring.evaluate(biased(candidate), holdout, lambda fraction, text: None)
            decision = judging.judge(
                biased(candidate),
                evaluation,
                training=training,
                cases=holdout,
                progress=progress,
            ).decision
            return decision, {row.label: row for row in decision.per_label}[RARE]

        return start

    def test_never_drawn_any_more_is_worse_though_it_is_in_one_case_only(self, judge, cases):
        decision, row = judge(cases[3:], served=1e4, candidate=-1e4)
        assert (row.cases, row.candidate, row.verdict) == (1, 0.0, "worse")
        assert row.served > 0.05
        assert not decision.promoted

    def test_drawn_everywhere_is_caught_in_the_cases_that_do_not_have_it(self, judge, cases):
        decision, row = judge(cases[4:], served=-1e4, candidate=1e4)
        assert (row.cases, row.verdict) == (0, "drawn where there is none")
        assert not decision.promoted
        assert f"draws {RARE} in cases that do not have it" in decision.reason

    def test_in_no_holdout_case_it_cannot_be_shown(self, judge, cases):
        _, row = judge(cases[4:], served=-1e4, candidate=-2e4)
        assert (row.verdict, row.reason) == ("cannot be shown", "in no holdout case")

    def test_a_version_promoted_meanwhile_is_the_one_compared_with(self, judge, cases, models, spec):
        def promote_another(fraction, text):
            if len(models.list(spec.name)) == 1:
                state = load_weights(models.get(spec.name, "v1"))
                models.add(spec.name, state, fingerprint=spec.fingerprint(), labels=spec.labels.indices)
                models.promote(spec.name, "v2", reason="meanwhile")

        decision, _ = judge(cases[4:], served=-1e4, candidate=-2e4, progress=promote_another)
        assert decision.served == "v2"
