"""A training from an earlier version knows what is new to it, and meets that more often without forgetting the rest."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from carina.errors import InvalidInputError, UnknownModelError
from carina.infers.sliding_window import predict
from carina.models.store import ModelStore
from carina.task import TrainerOptions
from carina.trainers.cache import VolumeCache
from carina.trainers.patches import PatchSampler
from carina.trainers.splits import FileSplitStore
from carina.trainers.training import train
from carina.trainers.warm_start import NOTHING, new_cases, parent_of, warmed, warn_of_measured


@pytest.fixture
def start(tmp_path, spec):
    """Train in one home; every patient trains but the last two."""
    models = ModelStore(tmp_path / "models")
    splits = FileSplitStore(models.root)

    def run(cases, **options):
        given = {"start_from": options.pop("start_from", "served")}
        return train(
            cases, spec=spec, models=models, splits=splits, predict=predict, work_dir=tmp_path / "work", device="cpu",
            options=dataclasses.replace(spec.trainer, max_epochs=2, steps_per_epoch=2, **options), **given,
        )  # fmt: skip

    return run


@pytest.fixture
def parent(start, toy_case, tmp_path, spec):
    """A served version that has learned three patients."""
    version = start([toy_case(seed) for seed in range(5)]).version
    ModelStore(tmp_path / "models").promote(spec.name, version.version, reason="test")
    return version


def test_new_are_cases_that_were_not_there_or_were_labelled_otherwise(parent, toy_case):
    learned = [case["image_id"] for case in parent.data["cases"] if case["part"] == "train"]
    seeds = [int(image_id.removeprefix("image")) for image_id in learned]
    cases = [toy_case(seed) for seed in seeds]
    assert new_cases(cases, parent) == frozenset()
    cases[0] = toy_case(seeds[0], revision="2")
    assert new_cases([*cases, toy_case(77)], parent) == {learned[0], "image77"}
    assert new_cases(cases, None) == set(learned)


def test_what_only_validated_before_is_new_to_the_network(parent, toy_case):
    (image_id,) = [case["image_id"] for case in parent.data["cases"] if case["part"] == "validation"][:1]
    case = toy_case(int(image_id.removeprefix("image")))
    assert new_cases([case], parent) == {image_id}


def test_a_parent_that_learned_what_is_measured_is_said(parent, toy_case, caplog):
    part_of = {case["image_id"]: case["part"] for case in parent.data["cases"]}
    warn_of_measured([toy_case(seed) for seed in range(5) if part_of[f"image{seed}"] != "train"], parent)
    warn_of_measured([toy_case(seed) for seed in range(5)], None)
    assert caplog.text == ""
    warn_of_measured([toy_case(seed, revision="2") for seed in range(5)], parent)
    learned = sum(part == "train" for part in part_of.values())
    assert f"{learned} of 5 images to measure on were learned from by v1" in caplog.text


def test_few_new_cases_take_a_short_and_gentle_training_and_many_a_whole_one():
    options = TrainerOptions(max_epochs=12, learning_rate=4e-3, warm_share=0.25)
    gentle = warmed(options, new=4, of=40)
    assert (gentle.max_epochs, gentle.learning_rate) == (3, pytest.approx(1e-3))
    assert warmed(options, new=30, of=40).max_epochs == 9
    assert warmed(options, new=40, of=40) == options
    assert warmed(dataclasses.replace(options, max_epochs=1), new=1, of=99).max_epochs == 1


def test_a_version_that_was_named_must_fit_the_task_and_a_served_one_is_passed_over_with_a_word(tmp_path, spec, caplog):
    models = ModelStore(tmp_path / "models")
    other = models.add(spec.name, {"weight": torch.zeros(2)}, fingerprint="other", labels=spec.labels.indices)
    models.promote(spec.name, other.version, reason="test")

    with pytest.raises(InvalidInputError, match="must start from a version that fits it, got v1"):
        parent_of(models, spec, "v1")
    with pytest.raises(UnknownModelError):
        parent_of(models, spec, "v9")
    assert caplog.text == ""
    assert parent_of(models, spec, "served") is None
    assert "starting from random weights" in caplog.text
    assert parent_of(models, spec, NOTHING) is None


def test_only_a_training_from_a_version_is_shortened(start, parent, toy_case):
    cases = [toy_case(seed) for seed in range(6)]
    assert len(start(cases, warm_share=0.1).history) == 1
    assert len(start(cases, warm_share=0.1, start_from=NOTHING).history) == 2


def drawn_from(sampler, volumes, count: int = 400) -> dict[str, int]:
    """Image id → patches it gave, told by their voxels."""
    random = np.random.default_rng(5)
    found = dict.fromkeys((volume.image_id for volume in volumes), 0)
    means = {float(np.asarray(volume.image, dtype=np.float32).mean()): volume.image_id for volume in volumes}
    for _ in range(count):
        mean = float(sampler.draw(1, random=random).image.mean())
        found[means[min(means, key=lambda known: abs(known - mean))]] += 1
    return found


@pytest.fixture
def volumes(tmp_path, spec):
    """Four prepared images of one grey each, all with both labels."""
    from carina.geometry import Grid, Volume
    from carina.trainers.cases import Case

    cache, grid = VolumeCache(tmp_path / "volumes", spec), Grid((8, 8, 8), np.diag([2.0, 2.0, 2.0, 1.0]))
    label = np.zeros(grid.shape, np.uint8)
    label[1:4], label[5:7] = 1, 2

    def case(number: int) -> Case:
        image = Volume(np.full(grid.shape, 20.0 * number, np.float32), grid)
        load = lambda: (image, Volume(label, grid))  # noqa: E731
        return Case(image_id=f"image{number}", patient_id="p", revision="1", load=load)

    return [cache.get(case(number)) for number in range(1, 5)]


def test_new_cases_are_met_as_often_as_asked_and_old_ones_are_still_met(spec, volumes):
    sampler = PatchSampler(volumes, spec=spec, patch_voxels=(8, 8, 8), favoured=["image2"], share=0.6)
    found = drawn_from(sampler, volumes)
    assert 0.5 < found.pop("image2") / 400 < 0.7
    assert all(count > 25 for count in found.values())


def test_most_cases_being_new_does_not_make_the_few_old_ones_frequent(spec, volumes):
    favoured = ["image1", "image2", "image3"]
    found = drawn_from(PatchSampler(volumes, spec=spec, patch_voxels=(8, 8, 8), favoured=favoured, share=0.3), volumes)
    assert 0.15 < found["image4"] / 400 < 0.35


def test_with_a_share_of_nothing_the_draw_is_as_it_always_was(spec, volumes):
    plain = PatchSampler(volumes, spec=spec, patch_voxels=(8, 8, 8)).draw(9, random=np.random.default_rng(1))
    none = PatchSampler(volumes, spec=spec, patch_voxels=(8, 8, 8), favoured=["image2"], share=0.0)
    assert bool((plain.image == none.draw(9, random=np.random.default_rng(1)).image).all())
