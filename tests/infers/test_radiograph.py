"""What is measured on a radiograph is measured on what the served anatomy draws of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from carina.dicom.series import read_series
from carina.errors import NoModelError
from carina.geometry import Volume
from carina.infers.classification import ClassificationInfer
from carina.infers.radiograph import Drawing, Radiograph, measured_if_possible, pixel_mm_of
from carina.label_maps import join_masks
from carina.models.store import ModelStore
from carina.networks.factory import build_network
from carina.registry import Registry, find_tasks
from carina.task import NetworkSpec
from tests.dicom.builder import radiograph
from tests.trainers.findings import SPEC, draw

ANATOMY = dataclasses.replace(
    find_tasks().get("cxr_anatomy"),
    matrix_voxels=(32, 32, 1),
    roi_voxels=(32, 32, 1),
    network=NetworkSpec(name="unet", arguments={"filters": (8, 8, 8)}),
)


def add_version(models, spec):
    torch.manual_seed(0)
    state = build_network(spec).state_dict()
    version = models.add(spec.name, state, fingerprint=spec.fingerprint(), labels=spec.labels.indices)
    models.promote(spec.name, version.version, reason="test", by="test")
    return version


class Drawn(Drawing):
    """Draws the same anatomy of every image: a heart of 10 and a thorax of 25 columns."""

    times = 0

    def of(self, task):
        infer = super().of(task)

        def label_of(image, **options):
            self.times += 1
            masks = {name: np.zeros(image.grid.shape, bool) for name in infer.spec.labels.names}
            masks["lung_right"][2:9, 4:28], masks["lung_left"][20:27, 4:28] = True, True
            masks["cardiomediastinum"][10:20, 8:26] = True
            return Volume(join_masks(masks.items(), infer.spec.labels, shape=image.grid.shape), image.grid)

        infer.label_of = label_of
        return infer


@pytest.fixture
def models(tmp_path):
    return ModelStore(tmp_path / "models")


@pytest.fixture
def drawing(models):
    tasks: Registry = Registry("Task")
    tasks.add(ANATOMY)
    return Drawn(models, device="cpu", tasks=tasks)


def test_heart_and_thorax_are_those_of_the_version_that_drew_them(models, drawing):
    version = add_version(models, ANATOMY)
    ratio, heart, thorax = Radiograph(draw(0, nodule=False, mass=False), drawing).measured(pixel_mm=0.5)
    assert (ratio.name, ratio.value, ratio.task) == ("cardiothoracic_ratio", 0.4, "cxr_anatomy")
    assert (heart.value, thorax.value) == (5.0, 12.5)
    assert {one.model_version for one in (ratio, heart, thorax)} == {version.version}


def test_without_an_anatomy_nothing_is_measured_unless_it_was_asked_for(drawing):
    image = Radiograph(draw(0, nodule=False, mass=False), drawing)
    assert measured_if_possible(image, None) == ()
    with pytest.raises(NoModelError, match="cxr_anatomy"):
        image.measured(pixel_mm=None)


def test_an_anatomy_of_another_shape_of_the_task_is_not_used(models, drawing):
    assert not drawing.can("cxr_anatomy")
    add_version(models, dataclasses.replace(ANATOMY, matrix_voxels=(64, 64, 1)))
    assert not drawing.can("cxr_anatomy")
    add_version(models, ANATOMY)
    assert drawing.can("cxr_anatomy")
    assert not drawing.can("cxr_opacities")


def test_a_pixel_s_width_is_the_header_s_or_unknown():
    known, unknown = radiograph(np.zeros((4, 6))), radiograph(np.zeros((4, 6)))
    del unknown.ImagerPixelSpacing
    assert pixel_mm_of(read_series([known])) == 0.15
    assert pixel_mm_of(read_series([unknown])) is None
    assert pixel_mm_of(None) is None


def test_an_answer_holds_measurements_and_a_report(models, drawing, tmp_path):
    add_version(models, ANATOMY)
    version = add_version(models, SPEC)
    infer = ClassificationInfer(SPEC, models, device="cpu")
    infer.__dict__["_drawing"] = drawing
    path = save(tmp_path)

    told = infer.draft({"image": path, "measurements": "auto"}).params
    silent = infer.draft({"image": path, "measurements": "no"}).params

    assert [(one["name"], one["value"], one["unit"]) for one in told["measurements"]] == [
        ("cardiothoracic_ratio", 0.4, "1"), ("heart_width", 1.5, "mm"), ("thorax_width", 3.8, "mm"),
    ]  # fmt: skip
    assert "Cardiothoracic ratio 0.400" in told["report"]
    assert f"carina {SPEC.name}, {version.version}" in told["report"]
    assert silent["measurements"] == []
    assert "Cardiothoracic" not in silent["report"]


def test_heat_maps_of_an_image_do_not_have_it_drawn_again(models, drawing, tmp_path):
    add_version(models, ANATOMY)
    add_version(models, SPEC)
    infer = ClassificationInfer(SPEC, models, device="cpu")
    infer.__dict__["_drawing"] = drawing
    path = save(tmp_path)

    first = infer.draft({"image": path, "measurements": "auto"}).params
    for finding in SPEC.labels.names:
        shown = infer.draft({"image": path, "measurements": "auto", "heatmap": finding}).params
        assert shown["measurements"] == first["measurements"] != []
        assert list(shown["label_names"]) == [finding]
    infer.draft({"image": path, "measurements": "auto", "roi": "lungs"})

    assert drawing.times == 1


def test_another_image_and_another_anatomy_are_drawn_anew(models, drawing):
    add_version(models, ANATOMY)
    one, other = draw(0, nodule=False, mass=False), draw(1, nodule=False, mass=False)
    moved = Volume(one.array, dataclasses.replace(one.grid, affine_ras=one.grid.affine_ras * 2))
    turned = Volume(one.array.transpose(1, 0, 2), one.grid)  # the same bytes in memory
    for image in (one, other, moved, turned, one):
        Radiograph(image, drawing).measured(pixel_mm=None)
    assert drawing.times == 4

    newer = add_version(models, ANATOMY)
    measured = Radiograph(one, drawing).measured(pixel_mm=None)
    assert {found.model_version for found in measured} == {newer.version}
    assert drawing.times == 5


def save(folder: Path) -> Path:
    path = folder / "dx.dcm"
    radiograph(draw(0, nodule=True, mass=False).array[..., 0].T.clip(0)).save_as(path, enforce_file_format=True)
    return path
