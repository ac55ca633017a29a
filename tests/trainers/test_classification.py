"""Classifications learn what somebody looked for, go on where they stopped, and pass the same gate."""

from __future__ import annotations

import dataclasses
import weakref

import numpy as np
import pytest
import torch

from carina.errors import CancelledError, InvalidInputError
from carina.infers.sliding_window import predict
from carina.models.store import ModelStore
from carina.trainers.classification import CachedFindings, ClassificationLesson, FindingsCache, FindingsSampler
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


def test_rare_findings_are_drawn_as_often_as_common_ones(tmp_path):
    labelled = [dataclasses.replace(case, findings={"nodule": number == 0}) for number, case in enumerate(cases())]
    cache = FindingsCache(tmp_path, SPEC)
    sampler = FindingsSampler([cache.get(case) for case in labelled], spec=SPEC)
    batch = sampler.draw(400, random=np.random.default_rng(0))
    assert float(batch.label[:, 0].mean()) == pytest.approx(0.5, abs=0.08)


def test_mixed_images_have_both_findings_in_their_shares_and_teach_what_was_looked_for_in_both(tmp_path):
    cache = FindingsCache(tmp_path, SPEC)
    items = [cache.get(case) for case in cases(8)]
    plain, mixing = FindingsSampler(items, spec=SPEC), FindingsSampler(items, spec=SPEC, mixup=0.4)
    batch = mixing.draw(16, random=np.random.default_rng(3))
    before = plain.draw(16, random=np.random.default_rng(3))

    random = np.random.default_rng(3)
    plain.draw(16, random=random)
    partner, share = random.permutation(16), random.beta(0.4, 0.4, 16)
    for name in ("image", "label"):
        one = getattr(before, name).numpy()
        shares = share.reshape(-1, *(1,) * (one.ndim - 1))
        np.testing.assert_allclose(getattr(batch, name).numpy(), shares * one + (1 - shares) * one[partner], atol=1e-5)
    assert torch.equal(batch.annotated, before.annotated & before.annotated[torch.from_numpy(partner)])
    part = mixing.draw(16, random=np.random.default_rng(3), part=slice(5, 9))
    assert torch.equal(part.image, batch.image[5:9])


@pytest.mark.parametrize("options", [{"loss": "auc_margin"}, {"loss": "focal", "mixup": 0.2, "class_weights": 0.5}])
def test_other_losses_and_mixed_images_learn_as_well(tmp_path, options):
    result = run(tmp_path, options=dataclasses.replace(SPEC.trainer, **options))
    assert result.evaluation.means()["nodule"]["auroc"] > 0.8


def test_images_without_any_finding_are_refused(tmp_path):
    empty = [dataclasses.replace(case, findings={}, annotated=frozenset()) for case in cases()]
    with pytest.raises(InvalidInputError, match="must have findings"):
        run(tmp_path, labelled=empty)


def test_validating_holds_a_few_images_in_memory_whatever_their_number():
    alive: weakref.WeakSet[torch.Tensor] = weakref.WeakSet()
    most = 0

    class Prepared:
        """An image that is read each time it is asked for."""

        @property
        def tensor(self) -> torch.Tensor:
            nonlocal most
            read = torch.zeros(1, 4, 4, 1)
            alive.add(read)
            most = max(most, len(alive))
            return read

    class Silent(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.zeros(len(image), 3)

    items = [CachedFindings(Prepared(), case) for case in cases(400)]
    lesson = ClassificationLesson(spec=SPEC, options=SPEC.trainer, device=torch.device("cpu"), cancelled=lambda: False)
    assert lesson.validate(Silent(), items)["nodule"] == pytest.approx(0.5, abs=0.01)
    assert 0 < most < 200
