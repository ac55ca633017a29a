"""Clicks from the request to the drawn voxels, with a network that learned what a click means in a few seconds."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from carina.errors import InvalidInputError, LabelError
from carina.geometry import Grid, Volume
from carina.images import read_volume, write_image
from carina.infers.deepedit import with_clicks
from carina.infers.kinds import build_drafter
from carina.infers.prompts import click_keys, clicks_of
from carina.infers.segmentation import segment
from carina.models.metrics import dice
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.preprocessing import prepare, prepare_label
from carina.task import NetworkSpec
from carina.trainers.clicks import click_on_errors
from carina.trainers.loss import PartialDiceCELoss

from .builder import task

SHAPE = (18, 12, 12)
SPEC = task(
    kind="deepedit",
    spacing_mm=(2.0, 2.0, 2.0),
    network=NetworkSpec(name="unet", arguments={"filters": (8, 16, 16)}),
)


def twins(seed: int) -> tuple[Volume, Volume, tuple[int, int, int]]:
    """Two balls that look alike, one of which is the liver: nobody can tell which without a click in its middle."""
    random = np.random.default_rng(seed)
    affine = np.eye(4)
    turn = Rotation.from_euler("xyz", random.uniform(-8, 8, 3), degrees=True).as_matrix()
    affine[:3, :3] = turn @ np.diag([-2.0, 2.2, 2.5])
    index = np.stack(np.indices(SHAPE), axis=-1)
    centres = [(4, 6, 6), (13, 6, 6)] if random.random() < 0.5 else [(13, 6, 6), (4, 6, 6)]
    balls = [np.linalg.norm(index - np.array(centre), axis=-1) < 3.2 for centre in centres]
    image = np.where(balls[0] | balls[1], 0.7, -0.7) + random.normal(0, 0.1, SHAPE)
    grid = Grid(SHAPE, affine)
    return Volume(image.astype(np.float32), grid), Volume(balls[0].astype(np.uint8), grid), centres[0]


@pytest.fixture(scope="module")
def network() -> torch.nn.Module:
    """Learns from twelve twins with simulated clicks."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_network(SPEC)
    random = torch.Generator().manual_seed(0)
    optimiser = torch.optim.AdamW(network.parameters(), lr=2e-2)
    cases = [twins(seed) for seed in range(12)]
    prepared = [prepare(image, SPEC) for image, _, _ in cases]
    labels = [prepare_label(label, ready) for (_, label, _), ready in zip(cases, prepared, strict=True)]
    even = [slice(size - size % 4) for size in prepared[0].grid.shape]
    images = torch.stack([ready.tensor[:, *even] for ready in prepared])
    truths = torch.stack([torch.from_numpy(label[*even])[None] for label in labels])
    annotated = torch.ones(len(cases), SPEC.out_channels, dtype=torch.bool)
    present = torch.tensor([True, True, False, False])
    measure = PartialDiceCELoss(present=present, known=present)
    for _ in range(60):
        loss = measure(network(click_on_errors(network, images, truths, annotated, random=random)), truths, annotated)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network.eval()


def drawn(network, image: Volume, clicks) -> np.ndarray:
    guide = (lambda prepared: with_clicks(prepared, clicks=clicks, spec=SPEC)) if clicks else None
    return segment(image, spec=SPEC, network=network, device="cpu", guide=guide).array


def test_a_click_draws_what_the_image_alone_cannot_tell(network):
    without, clicked = [], []
    for seed in range(100, 106):
        image, label, middle = twins(seed)
        without.append(dice(drawn(network, image, {}) == 1, label.array == 1))
        clicked.append(dice(drawn(network, image, {"liver": [middle]}) == 1, label.array == 1))
    assert min(clicked) > 0.6
    assert np.mean(clicked) > np.mean(without) + 0.1


def test_a_request_with_clicks_is_drawn_by_the_stored_version(network, tmp_path):
    models = ModelStore(tmp_path / "models")
    version = models.add(SPEC.name, network.state_dict(), fingerprint=SPEC.fingerprint(), labels=SPEC.labels.indices)
    models.promote(SPEC.name, version.version, reason="test")
    image, _, middle = twins(100)
    write_image(tmp_path / "image.nii.gz", image)
    request = {"image": tmp_path / "image.nii.gz", "device": "cpu", **clicks_of({"liver": [list(middle)]}, SPEC)}
    draft = build_drafter(SPEC, models).draft(request)
    assert draft.params["model_version"] == version.version
    assert np.array_equal(draft.label.array, drawn(network, read_volume(request["image"]), {"liver": [middle]}))
    unclicked = build_drafter(SPEC, models).draft({"image": request["image"], "device": "cpu"})
    assert not np.array_equal(unclicked.label.array, draft.label.array)


@pytest.mark.parametrize("orientation", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_a_click_lands_on_its_voxel_whatever_the_orientation_and_spacing(orientation):
    affine = np.eye(4)
    affine[:3, :3] = (np.diag([-0.8, 1.1, 3.5]) @ Rotation.from_euler("z", 9, degrees=True).as_matrix())[:, orientation]
    shape = (40, 44, 30)
    point = (31, 12, 21)
    array = np.full(shape, -1.0, np.float32)
    array[tuple(slice(at - 2, at + 3) for at in point)] = 1.0
    prepared = prepare(Volume(array, Grid(shape, affine)), SPEC)
    guided = with_clicks(prepared, clicks={"spleen": [point]}, spec=SPEC)
    assert guided.tensor.shape[0] == SPEC.in_channels
    channel = guided.tensor[1 + SPEC.labels.named("spleen").index]
    seen = np.argwhere(prepared.tensor[0].numpy() > 0)
    clicked = np.argwhere(channel.numpy() == channel.numpy().max())
    assert np.linalg.norm(clicked.mean(axis=0) - seen.mean(axis=0)) < 1.0
    assert not guided.tensor[[1, 1 + SPEC.labels.named("liver").index]].any()


def test_without_clicks_it_draws_as_any_segmentation(network):
    image, *_ = twins(0)
    prepared = prepare(image, SPEC)
    empty = with_clicks(prepared, clicks={}, spec=SPEC)
    with torch.inference_mode():
        even = [slice(size - size % 4) for size in prepared.grid.shape]
        alone, none = network(prepared.tensor[:, *even][None]), network(empty.tensor[:, *even][None])
    assert torch.equal(alone, none)


def test_a_click_beside_the_image_is_refused():
    image, *_ = twins(0)
    with pytest.raises(InvalidInputError, match="on its image"):
        with_clicks(prepare(image, SPEC), clicks={"liver": [(3, 3, 99)]}, spec=SPEC)


def test_weights_of_a_task_without_clicks_do_not_fit():
    assert SPEC.fingerprint() != dataclasses.replace(SPEC, kind="segmentation").fingerprint()


def test_points_come_by_label_as_slicer_sends_them_and_other_tasks_labels_are_passed_over():
    sent = {"liver": [[1, 2, 3]], "spleen": [], "heart": [[9, 9, 9]], "label": "liver", "background": [[4.2, 5, 6]]}
    assert clicks_of(sent, SPEC) == {"clicks": {"liver": [(1, 2, 3)], "background": [(4, 5, 6)]}}
    assert "label" in click_keys(SPEC)


def test_foreground_points_belong_to_the_label_that_is_named():
    assert clicks_of({"foreground": [[1, 2, 3]], "label": "spleen"}, SPEC) == {"clicks": {"spleen": [(1, 2, 3)]}}
    with pytest.raises(LabelError, match="Available"):
        clicks_of({"foreground": [[1, 2, 3]], "label": "splen"}, SPEC)
    with pytest.raises(LabelError):
        clicks_of({"foreground": [[1, 2, 3]]}, SPEC)


@pytest.mark.parametrize("points", ["everywhere", [[1, 2]], [[1, 2, "3"]], [[1, 2, float("inf")]], [[0, 0, 0]] * 1001])
def test_points_that_are_none_are_refused(points):
    with pytest.raises(InvalidInputError):
        clicks_of({"liver": points}, SPEC)
