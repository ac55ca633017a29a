"""Answers about whole images: probabilities of the version's calibration, states, heat on the image's grid."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from carina.errors import LabelError, NoModelError
from carina.geometry import Grid, Volume
from carina.images import write_image
from carina.infers.heat_map import heat_map
from carina.infers.kinds import build_drafter
from carina.models.calibration import Calibration, FindingCalibration
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.networks.whole_image import image_logits
from carina.preprocessing import prepare
from carina.regions import region_around
from tests.trainers.findings import SPEC, draw

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return build_network(SPEC).eval()


@pytest.fixture
def models(tmp_path, network):
    store = ModelStore(tmp_path / "models")
    calibration = Calibration(
        findings={"nodule": FindingCalibration(slope=0.5, offset=3.0, threshold=0.2, cases=40, fitted=True)}
    )
    version = store.add(
        SPEC.name,
        network.state_dict(),
        fingerprint=SPEC.fingerprint(),
        labels=SPEC.labels.indices,
        calibration=calibration.to_json(),
    )
    store.promote(SPEC.name, version.version, reason="test", by="test")
    return store


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "picture.nii.gz"
    write_image(path, draw(3, nodule=True, mass=False))
    return path


def ask(models, path, **options):
    return build_drafter(SPEC, models).draft({"image": path, "device": "cpu", **options})


def test_probability_is_the_calibrated_logit_of_the_one_chain(models, network, picture):
    logit = float(
        image_logits(network, [prepare(draw(3, nodule=True, mass=False), SPEC).tensor], spec=SPEC, device=CPU)[0, 0]
    )

    nodule, mass, _ = ask(models, picture).params["prediction"]

    assert nodule["label"] == "nodule"
    assert nodule["score"] == pytest.approx(1 / (1 + np.exp(-(0.5 * logit + 3.0))), abs=1e-5)
    assert nodule["state"] == "positive"
    assert (nodule["calibrated"], mass["calibrated"], mass["state"]) == (True, False, "uncertain")


def test_marks_are_of_positive_findings_or_of_the_one_asked_for(models, picture):
    drafted = ask(models, picture)
    assert drafted.params["label_names"] == {"nodule": 1}
    assert set(np.unique(drafted.label.array)) <= {0, 1}
    assert ask(models, picture, heatmap="fracture").params["label_names"] == {"fracture": 3}
    with pytest.raises(LabelError, match="nodul"):
        ask(models, picture, heatmap="nodul")


def test_the_lungs_need_a_model_that_draws_them(models, picture):
    with pytest.raises(NoModelError, match="cxr_anatomy"):
        ask(models, picture, roi="lungs")


class Brightness(torch.nn.Module):
    """Scores the mean brightness of coarse features, so that the heat must lie where the image is bright."""

    def __init__(self):
        super().__init__()
        self.features = torch.nn.AvgPool2d(4)
        self.scores = torch.nn.Linear(1, 3)

    def forward(self, image):
        return self.scores(self.features(image).mean(dim=(2, 3)))


@pytest.mark.parametrize("turned", [False, True])
def test_heat_lies_where_the_evidence_is_whatever_the_images_axes(turned):
    array = np.zeros((60, 44, 1), dtype=np.float32)
    array[36:50, 4:14] = 100
    affine = np.diag([-0.5, -0.7, 1.0, 1.0])
    if turned:
        array, affine = (
            array[::-1].swapaxes(0, 1),
            np.array([[0, 0.5, 0, 0], [-0.7, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]),
        )
    image = Volume(np.ascontiguousarray(array), Grid(array.shape, affine))
    network = Brightness()
    torch.nn.init.ones_(network.scores.weight)

    heat = heat_map(network, prepare(image, SPEC), spec=SPEC, finding="nodule", device=CPU)

    assert heat.grid is image.grid
    assert heat.array.max() == 1.0
    assert image.array[np.unravel_index(heat.array.argmax(), heat.array.shape)] == 100
    assert heat.array[image.array == 100].mean() > 10 * heat.array[image.array == 0].mean()
    for axis in range(2):  # an eighth of the image is one feature
        at = np.arange(image.grid.shape[axis])
        line = tuple(other for other in range(3) if other != axis)
        centres = [np.average(at, weights=array.sum(axis=line)) for array in (heat.array, image.array)]
        assert centres[0] == pytest.approx(centres[1], abs=image.grid.shape[axis] / 16)


def test_region_crops_to_the_mask_and_keeps_voxels_in_place():
    image = draw(1, nodule=True, mass=True)
    mask = np.zeros(image.grid.shape, dtype=bool)
    mask[5:25, 8:18] = True
    region = region_around(mask, image.grid)
    part = region.crop(image)
    assert part.array.shape == (22, 10, 1)
    back = region.put_back(part)
    assert back.grid is image.grid
    np.testing.assert_array_equal(back.array[4:26, 8:18], image.array[4:26, 8:18])
    np.testing.assert_allclose(part.grid.affine_ras @ [0, 0, 0, 1], image.grid.affine_ras @ [4, 8, 0, 1])
    assert back.array.sum() == pytest.approx(float(part.array.sum()), rel=1e-6)
