"""Tables that say where in its image each case lies, and a training from one."""

from __future__ import annotations

import numpy as np
import pytest

from carina.errors import InvalidInputError
from carina.images import write_image
from carina.infers.classification import ClassificationInfer
from carina.models.store import ModelStore
from carina.trainers.findings_table import read_findings
from carina.trainers.splits import FileSplitStore
from carina.trainers.training import train
from tests.trainers.nodules import SPEC, lungs

NEAR, FAR = (12, 14, 8), (28, 26, 16)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(16):
        write_image(
            folder / f"ct{number:02d}.nii.gz", lungs((NEAR, number % 2 == 0), (FAR, number % 2 == 1), seed=number)
        )
    return folder


def in_voxels(count):
    lines = ["image,patient,i,j,k,malignant nodule"]
    for number in range(count):
        for place, malignant in ((NEAR, number % 2 == 0), (FAR, number % 2 == 1)):
            lines.append(f"ct{number:02d},p{number},{','.join(map(str, place))},{int(malignant)}")
    return "\n".join(lines) + "\n"


def write(tmp_path, text):
    path = tmp_path / "nodules.csv"
    path.write_text(text)
    return path


def test_each_row_is_a_case_of_its_own_cut_out_around_its_place(tmp_path, images):
    cases = read_findings(images, write(tmp_path, in_voxels(2)), SPEC)

    assert [case.image_id for case in cases] == ["ct00", "ct00-2", "ct01", "ct01-2"]
    assert [case.findings["malignant_nodule"] for case in cases] == [True, False, False, True]
    assert len({case.revision for case in cases}) == 4
    for case in cases:
        part = case.load()
        assert part.array.shape == (16, 16, 8)
        assert part.array[8, 8, 4] == 40
        assert (part.array > 0).mean() > 0.08 if case.findings["malignant_nodule"] else (part.array > 0).mean() < 0.08


def test_millimetres_of_the_patient_find_the_same_place_as_voxels(tmp_path, images):
    (by_voxel, _) = read_findings(images, write(tmp_path, in_voxels(1)), SPEC)
    affine_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ lungs().grid.affine_ras
    x, y, z = (affine_lps @ [*NEAR, 1.0])[:3]
    text = f"image,patient,coordX,coordY,coordZ,malignant_nodule\nct00,p0,{x + 0.2},{y - 0.2},{z},1\n"
    (by_mm,) = read_findings(images, write(tmp_path, text), SPEC)
    np.testing.assert_array_equal(by_mm.load().array, by_voxel.load().array)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("image,patient,malignant_nodule\nct00,p0,1\n", "neither i, j, k"),
        ("image,patient,i,j,k,malignant_nodule\nct00,p0,1,x,3,1\n", "numbers in i, j, k"),
    ],
)
def test_a_table_without_places_is_refused(tmp_path, images, table, said):
    with pytest.raises(InvalidInputError, match=said):
        read_findings(images, write(tmp_path, table), SPEC)


def test_what_is_learnt_from_a_table_tells_nodules_apart_where_one_points(tmp_path, images):
    models = ModelStore(tmp_path / "models")
    result = train(
        read_findings(images, write(tmp_path, in_voxels(16)), SPEC),
        spec=SPEC,
        models=models,
        splits=FileSplitStore(tmp_path / "models"),
        predict=lambda *args, **options: pytest.fail("draws nothing"),
        work_dir=tmp_path / "work",
        device="cpu",
    )
    assert result.evaluation.means()["malignant_nodule"]["auroc"] == 1.0
    models.promote(SPEC.name, result.version.version, reason="test", by="test")
    infer, path = ClassificationInfer(SPEC, models, device="cpu"), tmp_path / "new.nii.gz"
    write_image(path, lungs((NEAR, True), (FAR, False), seed=99))

    by_click = infer.draft({"image": path, "place": NEAR, "heatmap": "likeliest"})
    other = infer.draft({"image": path, "place": tuple((at - 2, at + 3) for at in FAR)})

    assert by_click.params["prediction"][0]["score"] > other.params["prediction"][0]["score"] + 0.3
    assert (by_click.params["roi"], by_click.params["place"]) == ("place", NEAR)
    marked = np.argwhere(by_click.label.array)
    assert np.abs((marked.mean(axis=0) - NEAR) * (1, 1, 2)).max() < 8
    with pytest.raises(InvalidInputError, match="neither a click nor a box"):
        infer.draft({"image": path})
