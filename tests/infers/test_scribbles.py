from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk

from carina.errors import GeometryError, InvalidInputError
from carina.geometry import Grid, Volume
from carina.images import write_image, write_label
from carina.infers.prompts import Strokes, strokes_of
from carina.infers.scribbles import ScribblesInfer
from carina.registry import find_tasks

from .builder import oblique_affine

SHAPE = (40, 36, 14)
SPEC = find_tasks().get("scribbles")
CENTRE = (16, 20, 7)


@pytest.fixture(scope="module")
def truth() -> np.ndarray:
    grid = Grid(SHAPE, oblique_affine((1.0, 1.3, 3.0)))
    distance = (np.stack(np.indices(SHAPE), -1) - CENTRE) * grid.spacing_mm
    return np.linalg.norm(distance, axis=-1) < 12.0


@pytest.fixture(scope="module")
def image(truth, tmp_path_factory):
    noise = np.random.default_rng(0).normal(0, 20, SHAPE)
    path = tmp_path_factory.mktemp("image") / "image.nii.gz"
    write_image(path, Volume((100 * truth + noise).astype(np.int16), Grid(SHAPE, oblique_affine((1.0, 1.3, 3.0)))))
    return path


def painted(folder, *strokes: tuple[tuple[int | slice, ...], int], grid: Grid | None = None):
    array = np.zeros(SHAPE, np.uint8)
    for where, value in strokes:
        array[where] = value
    path = folder / "strokes.nrrd"
    write_label(path, Volume(array, grid or Grid(SHAPE, oblique_affine((1.0, 1.3, 3.0)))))
    return path


INSIDE, OUTSIDE = np.s_[14:19, 20, 7], np.s_[1:30, 2, 7]


def overlap(draft, truth) -> float:
    found, wanted = (sitk.GetImageFromArray(array.astype(np.uint8)) for array in (draft.label.array, truth))
    measure = sitk.LabelOverlapMeasuresImageFilter()
    measure.Execute(wanted, found)
    return measure.GetDiceCoefficient()


def test_strokes_with_slicers_numbers_cut_the_selected_structure(image, truth, tmp_path):
    label_info = [
        {"name": "heart", "id": 1},
        {"name": "background_scribbles", "id": 2},
        {"name": "foreground_scribbles", "id": 3},
    ]
    prompts = strokes_of({"label_info": label_info, "selected_label_name": "heart", "roi": []}, SPEC)
    strokes = painted(tmp_path, (INSIDE, 3), (OUTSIDE, 2))
    draft = ScribblesInfer(SPEC).draft({"image": image, "label": strokes, **prompts})
    assert draft.params["label_names"] == {"heart": 1}
    assert draft.label.grid.shape == SHAPE
    assert set(np.unique(draft.label.array)) == {0, 1}
    assert overlap(draft, truth) > 0.95


def test_a_region_alone_takes_its_middle_for_the_structure(image, truth):
    strokes = Strokes(roi=((4, 28), (10, 30), (2, 12)))
    draft = ScribblesInfer(SPEC).draft({"image": image, "strokes": strokes})
    assert overlap(draft, truth) > 0.95


def test_nothing_outside_the_region_is_drawn(image, truth, tmp_path):
    strokes = Strokes(roi=((14, 40), (0, 36), (0, 14)))
    draft = ScribblesInfer(SPEC).draft({"image": image, "label": painted(tmp_path, (INSIDE, 3)), "strokes": strokes})
    assert truth[:14].any()
    assert not draft.label.array[:14].any()


def test_a_region_with_its_ends_in_the_patients_order_is_the_same_region():
    forwards = strokes_of({"roi": [4, 28, 10, 30, 2, 12]}, SPEC)
    backwards = strokes_of({"roi": [28.2, 4, 30, 10, 12, 2]}, SPEC)
    assert forwards == backwards


def test_neither_strokes_nor_region_are_refused_in_words(image, tmp_path):
    with pytest.raises(InvalidInputError, match="Paint inside"):
        ScribblesInfer(SPEC).draft({"image": image, "label": painted(tmp_path, (OUTSIDE, 2))})


def test_a_region_beside_the_image_is_refused(image):
    with pytest.raises(InvalidInputError, match="axis 0"):
        ScribblesInfer(SPEC).draft({"image": image, "strokes": Strokes(roi=((50, 60), (0, 9), (0, 9)))})


def test_strokes_of_another_image_are_refused(image, tmp_path):
    affine = oblique_affine((1.0, 1.3, 3.0))
    affine[:3, 3] += 1000.0
    elsewhere = painted(tmp_path, (INSIDE, 3), grid=Grid(SHAPE, affine))
    with pytest.raises(GeometryError):
        ScribblesInfer(SPEC).draft({"image": image, "label": elsewhere})


@pytest.mark.parametrize(
    "params",
    [
        {"label_info": "heart"},
        {"label_info": [{"name": 3, "id": 1}]},
        {"label_info": [{"name": "heart", "id": "x"}]},
        {"roi": [1, 2, 3]},
        {"roi": [1, 2, 3, 4, 5, float("nan")]},
        {"roi": "everything"},
        {"selected_label_name": "x" * 200},
        {"selected_label_name": 7},
    ],
)
def test_nonsense_is_refused_before_anything_runs(params):
    with pytest.raises(InvalidInputError):
        strokes_of(params, SPEC)
