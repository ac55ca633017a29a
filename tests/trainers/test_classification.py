"""Classifications learn what somebody looked for, go on where they stopped, and pass the same gate."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from carina.errors import CancelledError, InvalidInputError
from carina.infers.sliding_window import predict
from carina.models.store import ModelStore
from carina.trainers.classification import FindingsCache, FindingsSampler, MaskedCrossEntropy
from carina.trainers.splits import FileSplitStore
from carina.trainers.training import train

from .findings import SPEC, cases


def run(folder, *, labelled=None, spec=SPEC, work="work", **arguments):
    return train(
        labelled or cases(),
        spec=spec,
        models=ModelStore(folder / "models"),
        splits=FileSplitStore(folder / "models"),
        predict=predict,
        work_dir=folder / work,
        device="cpu",
        **arguments,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def trained(home):
    return run(home)


def test_learns_and_is_served(trained, home):
    assert trained.promoted, trained.decision.reason
    assert trained.decision.metric == "AUROC"
    assert trained.evaluation.means()["nodule"]["auroc"] > 0.9
    assert ModelStore(home / "models").served(SPEC.name).version == trained.version.version
    assert trained.overlay.is_file()


def test_version_holds_intervals_and_calibration_of_what_was_looked_for(trained):
    version = trained.version
    assert set(version.metrics) == set(version.calibration) == {"nodule", "mass"}
    spread = version.intervals["nodule"]["auroc"]
    assert spread["low"] <= spread["mean"] <= spread["high"]
    assert version.calibration["mass"]["cases"] < version.calibration["nodule"]["cases"]


def test_patients_stay_together_in_one_part(trained):
    parts = {}
    for case in trained.version.data["cases"]:
        parts.setdefault(int(case["image_id"][-2:]) // 2, set()).add(case["part"])
    assert all(len(part) == 1 for part in parts.values())
    assert set().union(*parts.values()) == {"train", "validation", "holdout"}


def test_gate_compares_areas_and_keeps_a_worse_version_back(trained, home):
    reversed_truths = [
        dataclasses.replace(
            case,
            findings={name: not value for name, value in case.findings.items()},
            revision=f"{case.revision}-reversed",
        )
        for case in cases()
    ]
    holdout = {case["image_id"] for case in trained.version.data["cases"] if case["part"] == "holdout"}
    mixed = [old if old.image_id in holdout else new for old, new in zip(cases(), reversed_truths, strict=True)]

    worse = run(home, labelled=mixed, work="other", start_from="nothing")

    assert not worse.promoted
    assert "worse on" in worse.decision.reason
    assert "AUROC" in worse.decision.reason
    row = next(row for row in worse.decision.per_label if row.label == "nodule")
    assert row.candidate == pytest.approx(worse.evaluation.means()["nodule"]["auroc"])
    assert row.served == pytest.approx(trained.evaluation.means()["nodule"]["auroc"])


def test_a_stopped_training_goes_on_and_ends_as_an_uninterrupted_one(tmp_path):
    whole = run(tmp_path / "whole")
    steps = []

    with pytest.raises(CancelledError):
        run(tmp_path / "stopped", on_step=steps.append, cancelled=lambda: len(steps) == 25)
    resumed = run(tmp_path / "stopped")

    assert len(resumed.history) == len(whole.history)
    assert resumed.version.sha256 == whole.version.sha256


def test_what_nobody_looked_for_teaches_nothing():
    logits = torch.zeros(2, 3, requires_grad=True)
    asked = torch.tensor([[True, False, False], [True, True, False]])
    MaskedCrossEntropy()(logits, torch.ones(2, 3), asked).backward()
    np.testing.assert_allclose(logits.grad.numpy(), np.array([[-1, 0, 0], [-1, -1, 0]]) / 6, atol=1e-6)


def test_rare_findings_are_drawn_as_often_as_common_ones(tmp_path):
    labelled = [dataclasses.replace(case, findings={"nodule": number == 0}) for number, case in enumerate(cases())]
    cache = FindingsCache(tmp_path, SPEC)
    sampler = FindingsSampler([cache.get(case) for case in labelled], spec=SPEC)
    batch = sampler.draw(400, random=np.random.default_rng(0))
    assert float(batch.label[:, 0].mean()) == pytest.approx(0.5, abs=0.08)


def test_images_without_any_finding_are_refused(tmp_path):
    empty = [dataclasses.replace(case, findings={}, annotated=frozenset()) for case in cases()]
    with pytest.raises(InvalidInputError, match="must have findings"):
        run(tmp_path, labelled=empty)
