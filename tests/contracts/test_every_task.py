"""What every registered task must declare, and that a new file or package brings one."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import carina.configs
from carina.errors import InvalidInputError
from carina.findings import CLINICAL_FINDING, FINDINGS
from carina.geometry import Grid, Volume
from carina.infers.kinds import kind_of
from carina.infers.segmentation import segment
from carina.networks.factory import build_network, find_networks, size_multiple
from carina.networks.whole_image import image_logits
from carina.preprocessing import prepare, prepare_label
from carina.registry import find_tasks
from carina.structures import STRUCTURES
from carina.task import TaskSpec

TASKS = {spec.name: spec for spec in find_tasks()}

DROPPED_IN = '''
"""A task of a third party."""

from carina.structures import label_set
from carina.task import NetworkSpec, TaskSpec, Window

TASK = TaskSpec(
    name="dropped_in",
    kind="segmentation",
    description="Liver.",
    modality=("CT",),
    dimension=3,
    labels=label_set("liver"),
    spacing_mm=(4.0, 4.0, 4.0),
    intensity=Window(lower=-200.0, upper=300.0),
    roi_voxels=(16, 16, 16),
    network=NetworkSpec(name="unet", arguments={"filters": (8, 8, 8)}),
)
'''


LEARNING = sorted(name for name, task in TASKS.items() if task.learns)
DRAWING = [name for name in LEARNING if not TASKS[name].of_whole_images]
TELLING = [name for name in LEARNING if TASKS[name].of_whole_images]


@pytest.fixture(params=LEARNING)
def spec(request):
    return TASKS[request.param]


@pytest.fixture(params=sorted(TASKS))
def any_spec(request):
    return TASKS[request.param]


def phantom(spec: TaskSpec) -> Volume:
    """Half a litre of body in air, oblique and anisotropic; for a 2D task its middle slice."""
    array = np.full((30, 24, 9), -1000, dtype=np.int16)
    array[6:24, 5:19, 1:8] = np.random.default_rng(0).integers(-50, 200, (18, 14, 7))
    affine = np.array([[4.0, 0.4, 0, -20], [-0.3, -5.0, 0, 30], [0, 0, 7.0, 5], [0, 0, 0, 1]])
    if spec.dimension == 2:
        array = array[:, :, 4:5]
    return Volume(array, Grid(array.shape, affine))


def test_every_label_is_in_the_catalogue_with_its_codes(spec):
    assert len(spec.labels) > 0
    for label in spec.labels:
        if spec.of_whole_images:
            assert (label.type, label.category) == (FINDINGS[label.name], CLINICAL_FINDING)
        else:
            assert label.type == STRUCTURES[label.name].type
            assert label.category == STRUCTURES[label.name].category


def test_colours_can_be_told_apart(spec):
    colours = [label.colour for label in spec.labels]
    assert len(set(colours)) > 0.9 * len(colours)


def test_network_exists_and_takes_the_window_and_the_training_patch(spec):
    assert spec.network.name in find_networks()
    multiple = size_multiple(spec)
    for voxels in (spec.roi_voxels, spec.trainer.patch_voxels):
        assert [size % multiple for size in voxels[: spec.dimension]] == [0] * spec.dimension
        assert spec.dimension == 3 or voxels[2] == 1


def test_is_described_to_clients_in_json_and_words(any_spec):
    assert any_spec.description.endswith(".")
    assert any_spec.modality
    assert all(isinstance(value, str) for value in any_spec.config.values())
    json.dumps({"labels": any_spec.labels.indices, "config": dict(any_spec.config)})


def test_every_option_takes_back_what_it_shows_in_the_form_slicer_sends_it(any_spec):
    for option in kind_of(any_spec).options:
        if isinstance(option.shown, list):
            assert option.parse(option.shown) == option.parse(option.shown[0]) == option.shown[0]
            with pytest.raises(InvalidInputError, match=option.name):
                option.parse("nonsense")
        elif isinstance(option.shown, float):
            assert option.parse(str(option.shown)) == option.shown
            with pytest.raises(InvalidInputError, match=option.name):
                option.parse("nonsense")
        else:
            assert option.parse(option.shown) in (option.shown, None)


@pytest.mark.parametrize("name", sorted(set(TASKS) - set(LEARNING)))
def test_a_tool_without_a_network_says_that_it_cannot_be_trained(name):
    with pytest.raises(InvalidInputError, match="needs no training"):
        build_network(TASKS[name])


def test_public_weights_name_their_source_and_licence(spec):
    for weights in spec.weights:
        assert Path(weights.file_name).name == weights.file_name
        assert weights.source
        assert weights.licence


def test_image_and_label_reach_the_network_on_one_grid(spec):
    volume = phantom(spec)
    prepared = prepare(volume, spec)
    label = prepare_label(Volume((volume.array > -500).astype(np.uint8), volume.grid), prepared)
    assert label.shape == prepared.grid.shape == tuple(prepared.tensor.shape[1:])
    assert prepared.tensor.dtype == torch.float32
    assert float(prepared.tensor.min()) >= -1.0001
    assert float(prepared.tensor.max()) <= 1.0001
    inside, outside = prepared.tensor[0].numpy()[label == 1].mean(), prepared.tensor[0].numpy()[label == 0].mean()
    assert inside > outside + 0.2


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWING)
def test_untrained_network_draws_on_the_images_grid(name):
    spec = TASKS[name]
    volume = phantom(spec)
    result = segment(volume, spec=spec, network=build_network(spec), device="cpu")
    assert result.grid is volume.grid
    assert result.array.max() <= (sum if spec.labels.overlapping else max)(spec.labels.values.values())


@pytest.mark.parametrize("name", TELLING)
def test_untrained_network_gives_one_number_per_finding(name):
    spec = TASKS[name]
    logits = image_logits(
        build_network(spec), [prepare(phantom(spec), spec).tensor], spec=spec, device=torch.device("cpu")
    )
    assert logits.shape == (1, len(spec.labels))
    assert torch.isfinite(logits).all()


def test_fingerprint_ignores_what_weights_do_not_depend_on(spec):
    assert dataclasses.replace(spec, description="Other words.").fingerprint() == spec.fingerprint()
    other = dataclasses.replace(spec, spacing_mm=(9.0, 9.0, 9.0), matrix_voxels=None)
    assert other.fingerprint() != spec.fingerprint()


def test_file_dropped_into_the_configs_folder_is_a_task_that_runs(tmp_path, monkeypatch):
    (tmp_path / "dropped_in_by_a_test.py").write_text(DROPPED_IN)
    monkeypatch.setattr(carina.configs, "__path__", [*carina.configs.__path__, str(tmp_path)])
    found = find_tasks().get("dropped_in")
    volume = phantom(found)
    result = segment(volume, spec=found, network=build_network(found), device="cpu")
    assert result.grid is volume.grid
