"""Sliding-window inference: grids kept, nothing wasted, MONAI agreed with, memory and cancelling handled."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from monai.inferers import sliding_window_inference
from scipy import ndimage

from carina.errors import CancelledError, InvalidInputError, OutOfMemoryError
from carina.geometry import Grid, Volume, reorient
from carina.infers.sliding_window import predict
from carina.labels import Code, Label, LabelSet
from carina.networks.devices import resolve_device
from carina.networks.factory import build_network
from carina.preprocessing import prepare
from tests.infers.builder import Bands, noise_volume, oblique_affine, task

SPACINGS = [(0.9, 1.3, 4.0), (2.0, 2.0, 2.0), (3.1, 2.5, 1.1)]


def smooth_volume(shape, spacing) -> Volume:
    noise = ndimage.gaussian_filter(np.random.default_rng(1).standard_normal(shape), 2.0)
    array = (noise / np.abs(noise).max()).astype(np.float32)
    return Volume(array, Grid(shape, oblique_affine(spacing)))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True), (True, True, True)])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_result_has_the_images_grid_and_the_same_voxels_for_every_orientation(order, flips, spacing):
    straight = smooth_volume((22, 18, 14), spacing)
    turned = reorient(straight, order, flips)
    network, spec = Bands(), task()
    expected = predict(network, prepare(straight, spec), spec=spec, device="cpu")
    result = predict(network, prepare(turned, spec), spec=spec, device="cpu")
    assert result.grid is turned.grid
    assert result.array.dtype == np.uint8
    assert len(np.unique(expected.array)) == 4
    assert (result.array == reorient(expected, order, flips).array).mean() > 0.999


def test_known_answer_at_the_tasks_spacing_is_found_voxel_for_voxel():
    volume = smooth_volume((40, 37, 21), (2.0, 2.0, 2.0))
    spec = task()
    expected = np.abs(volume.array[..., None] - np.linspace(-1, 1, 4)).argmin(-1)
    result = predict(Bands(), prepare(volume, spec), spec=spec, device="cpu")
    assert (result.array == expected).mean() > 0.9999


def test_agrees_with_monais_inferer_where_the_windows_coincide(monkeypatch):
    monkeypatch.setenv("CARINA_PRECISION", "float32")
    spec = task(overlap=0.5)
    torch.manual_seed(0)
    network = build_network(spec).eval()
    prepared = prepare(noise_volume((40, 32, 24), affine=np.diag([2.0, 2.0, 2.0, 1.0])), spec)
    # MONAI's own map is this one, but raised to 0.001 where the product of the three axes is lower.
    bell = torch.exp(-0.5 * ((torch.arange(16) - 7.5) / (0.125 * 16)) ** 2).clamp(min=1e-3)
    weights = bell[:, None, None] * bell[None, :, None] * bell[None, None, :]
    with torch.no_grad():
        scores = sliding_window_inference(
            prepared.tensor[None], (16, 16, 16), 2, network, overlap=0.5, roi_weight_map=weights
        )
    result = predict(network, prepared, spec=spec, device="cpu")
    assert len(np.unique(result.array)) > 1
    assert (result.array == scores[0].argmax(0).numpy()).mean() >= 0.999


def test_thin_volume_passes_only_its_own_slices():
    network, spec = Bands(), task(roi_voxels=(32, 32, 32))
    volume = noise_volume((70, 40, 5), affine=np.diag([2.0, 2.0, 2.0, 1.0]))
    predict(network, prepare(volume, spec), spec=spec, device="cpu")
    assert {shape[-1] for shape in network.shapes} == {8}
    assert network.voxels < 1.6 * 70 * 40 * 8


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 50, 2), (17, 9, 1), (33, 34, 35)])
def test_any_size_works(shape):
    spec = task()
    volume = noise_volume(shape)
    result = predict(Bands(), prepare(volume, spec), spec=spec, device="cpu")
    assert result.array.shape == shape


def test_outside_the_body_is_background():
    array = np.full((40, 40, 20), -1.0, dtype=np.float32)
    array[12:28, 12:28, :] = 0.9
    spec = task(body_threshold=0.0)
    volume = Volume(array, Grid(array.shape, np.diag([2.0, 2.0, 2.0, 1.0])))
    result = predict(Bands(), prepare(volume, spec), spec=spec, device="cpu")
    assert (result.array == np.where(array > 0, 3, 0)).all()


def test_more_than_255_labels_need_two_bytes():
    code = Code("1", "99TEST", "test")
    labels = LabelSet(Label(name=f"label_{index}", index=index, category=code, type=code) for index in range(1, 257))
    spec = task(labels=labels)
    brightest = Volume(np.full((9, 8, 7), 1.0, dtype=np.float32), Grid((9, 8, 7), np.eye(4)))
    result = predict(Bands(257), prepare(brightest, spec), spec=spec, device="cpu")
    assert result.array.dtype == np.uint16
    assert (result.array == 256).all()


def test_network_is_left_in_its_mode():
    network, spec = Bands(), task()
    prepared = prepare(noise_volume(), spec)
    for training in (True, False):
        network.train(training)
        predict(network, prepared, spec=spec, device="cpu")
        assert network.training is training


def test_progress_never_falls_and_ends_at_one():
    seen: list[float] = []
    spec = task()
    network = Bands(failures=1)
    volume = noise_volume((60, 50, 20))
    predict(network, prepare(volume, spec), spec=spec, device="cpu", progress=lambda f, _: seen.append(f), batch_size=2)
    assert seen == sorted(seen)
    assert seen[0] == 0
    assert seen[-1] == 1
    assert len(seen) > 3


def test_cancelling_stops_before_the_next_window():
    network, spec = Bands(), task(roi_voxels=(8, 8, 8))
    prepared = prepare(noise_volume(), spec)
    with pytest.raises(CancelledError):
        predict(network, prepared, spec=spec, device="cpu", cancelled=lambda: len(network.shapes) >= 2)
    assert len(network.shapes) == 2


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, MemoryError])
def test_memory_ladder_goes_down_a_batch_then_a_window(error):
    spec = task()
    prepared = prepare(noise_volume((60, 60, 12), affine=np.diag([2.0, 2.0, 2.0, 1.0])), spec)
    calm, pressed = Bands(), Bands(failures=2, error=error)
    expected = predict(calm, prepared, spec=spec, device="cpu", batch_size=4)
    result = predict(pressed, prepared, spec=spec, device="cpu", batch_size=4)
    assert calm.shapes[0][0] == 4
    assert pressed.shapes[0][0] == 1
    assert np.prod(pressed.shapes[0]) < np.prod(calm.shapes[0][1:])
    assert (result.array == expected.array).mean() > 0.999


def test_memory_ladder_ends_in_an_error_with_numbers_and_the_next_request_works():
    spec = task()
    prepared = prepare(noise_volume(), spec)
    network = Bands(failures=10)
    with pytest.raises(OutOfMemoryError, match=r"2 attempts .* 4 classes"):
        predict(network, prepared, spec=spec, device="cpu")
    network.failures = 0
    assert predict(network, prepared, spec=spec, device="cpu").array.any()


def test_other_errors_of_a_network_are_not_taken_for_memory():
    spec = task()
    network = Bands(failures=1, error=RuntimeError)
    network.forward = lambda x: (_ for _ in ()).throw(RuntimeError("shapes do not fit"))  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        predict(network, prepare(noise_volume(), spec), spec=spec, device="cpu")


def test_timings_tell_network_from_finalising():
    spec = task()
    timings: dict[str, float] = {}
    predict(Bands(), prepare(noise_volume(), spec), spec=spec, device="cpu", timings=timings)
    assert set(timings) == {"network", "finalise"}


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta", "/etc/passwd"])
def test_device_that_is_not_there_is_refused(name):
    with pytest.raises(InvalidInputError, match=r"[Dd]evice"):
        resolve_device(name)


@pytest.mark.gpu
def test_cuda_gives_the_labels_of_the_cpu():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    spec = task()
    prepared = prepare(smooth_volume((40, 37, 21), (2.0, 2.0, 2.0)), spec)
    expected = predict(Bands(), prepared, spec=spec, device="cpu")
    assert (predict(Bands(), prepared, spec=spec, device="cuda").array == expected.array).mean() > 0.99
