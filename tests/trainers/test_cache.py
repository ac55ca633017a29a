"""The cache gives what preprocessing gives, reads an image once, and notices every change that matters."""

from __future__ import annotations

import dataclasses
import resource
from pathlib import Path

import numpy as np
import pytest

from carina.errors import StorageError
from carina.preprocessing import prepare, prepare_label
from carina.task import Window
from carina.trainers.cache import VolumeCache, sample_voxels
from tests.small_disk import room_for

from .conftest import draw_toy


@pytest.fixture
def counted(toy_case):
    """A case that counts how often it is read."""
    reads = []

    def load():
        reads.append(1)
        return draw_toy(0)

    return toy_case(0, load=load), reads


def test_holds_what_inference_would_see(tmp_path, spec, toy_case):
    image, label = draw_toy(0)
    prepared = prepare(image, spec)
    cached = VolumeCache(tmp_path, spec).get(toy_case(0))
    assert isinstance(cached.image, np.memmap)
    np.testing.assert_allclose(cached.image, prepared.tensor[0], atol=1e-3)
    np.testing.assert_array_equal(cached.label, prepare_label(label, prepared))
    assert cached.grid.matches(prepared.grid)
    again = cached.prepared()
    assert again.source.matches(again.grid)
    assert again.tensor.shape == prepared.tensor.shape


def test_more_images_than_open_files_are_held(tmp_path, spec, toy_case):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    soft = len(list(Path("/proc/self/fd").iterdir())) + 12
    cache, usual = VolumeCache(tmp_path, spec), resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        held = [cache.get(toy_case(0, revision=str(number))) for number in range(20)]
        sums = {float(one.tensor.sum()) for one in held}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, usual)
    assert len(sums) == 1


def test_reads_an_image_once(tmp_path, spec, counted):
    case, reads = counted
    VolumeCache(tmp_path, spec).get(case)
    VolumeCache(tmp_path, spec).get(dataclasses.replace(case, annotated=frozenset({"liver"})))
    assert len(reads) == 1


@pytest.mark.parametrize(
    ("spec_change", "case_change"),
    [
        ({"spacing_mm": (3.0, 3.0, 3.0)}, {}),
        ({"intensity": Window(lower=0.0, upper=50.0)}, {}),
        ({"body_threshold": 20.0}, {}),
        ({}, {"revision": "2"}),
        ({}, {"image_id": "other"}),
    ],
)
def test_reads_again_what_would_be_prepared_differently(tmp_path, spec, counted, spec_change, case_change):
    case, reads = counted
    VolumeCache(tmp_path, spec).get(case)
    VolumeCache(tmp_path, dataclasses.replace(spec, **spec_change)).get(dataclasses.replace(case, **case_change))
    assert len(reads) == 2


def test_a_failed_read_leaves_nothing(tmp_path, spec, toy_case):
    def fail():
        raise ValueError("broken file")

    with pytest.raises(ValueError, match="broken file"):
        VolumeCache(tmp_path / "volumes", spec).get(toy_case(0, load=fail))
    assert not list(tmp_path.rglob("*.npy"))


def test_a_full_disk_is_said_so_and_leaves_nothing(tmp_path, spec, toy_case):
    with room_for(1024), pytest.raises(StorageError, match="Prepared images must be written whole"):
        VolumeCache(tmp_path / "volumes", spec).get(toy_case(0))
    assert not list(tmp_path.rglob("*.npy"))


def test_samples_are_voxels_of_their_label_spread_over_it(spec):
    label = draw_toy(0)[1].array
    samples = sample_voxels(label, spec.labels, most=50)
    assert samples.keys() == {0, 1, 2}
    for value, voxels in samples.items():
        assert len(voxels) == 50
        assert (label[tuple(voxels.T)] == value).all()
        there = np.argwhere(label == value)
        assert (voxels.max(axis=0)[0], voxels.min(axis=0)[0]) == (there.max(axis=0)[0], there.min(axis=0)[0])
    assert len(sample_voxels(label, spec.labels)[2]) == np.count_nonzero(label == 2)


def test_pruning_keeps_the_current_cases_alone(tmp_path, spec, toy_case):
    cache = VolumeCache(tmp_path, spec)
    for revision in ("1", "2"):
        cache.get(toy_case(0, revision=revision))
    (tmp_path / ".incoming-crashed").mkdir()
    cache.prune([toy_case(0, revision="2")])
    assert len(list(tmp_path.iterdir())) == 1

    def fail():
        raise AssertionError("read again")

    cache.get(toy_case(0, revision="2", load=fail))
