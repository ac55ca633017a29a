"""Findings are read from tables as public data sets and people write them."""

from __future__ import annotations

import pytest

from carina.errors import InvalidInputError, LabelError
from carina.images import write_image
from carina.registry import find_tasks
from carina.trainers.kinds import read_cases

from .findings import draw

SPEC = find_tasks().get("cxr_findings")


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    for name in ("one", "two", "three"):
        folder.mkdir(exist_ok=True)
        write_image(folder / f"{name}.nii.gz", draw(1, nodule=True, mass=False))
    return folder


def write(folder, text):
    path = folder / "table.csv"
    path.write_text(text)
    return path


def test_values_there_not_there_and_unknown(images, tmp_path):
    table = write(
        tmp_path, "image,patient,Pleural_Thickening,Lung Opacity,edema\none,a,1.0,0,\ntwo.nii.gz,a,-1,,1\nthree,b,,,\n"
    )
    one, two = sorted(read_cases(images, table, SPEC), key=lambda case: case.image_id)
    assert (one.image_id, one.findings) == ("one", {"pleural_thickening": True, "lung_opacity": False})
    assert (two.image_id, two.findings) == ("two", {"edema": True})
    assert one.annotated == {"pleural_thickening", "lung_opacity"}


def test_patients_come_from_cases_csv_beside_the_images(images, tmp_path):
    (tmp_path / "cases.csv").write_text("image,patient,mass\none,p1,1\ntwo,p1,0\nthree,p2,1\n")
    found = read_cases(images, tmp_path, SPEC)
    assert {case.image_id: case.patient_id for case in found} == {"one": "p1", "two": "p1", "three": "p2"}


def test_patients_come_from_the_table_itself_where_it_names_them(images, tmp_path):
    (tmp_path / "cases.csv").write_text("image,patient\none,other\n")
    table = write(tmp_path, "image,patient,mass\none,p1,1\ntwo.nii.gz,p1,0\nthree,p2,1\n")
    found = read_cases(images, table, SPEC)
    assert {case.image_id: case.patient_id for case in found} == {"one": "p1", "two": "p1", "three": "p2"}


@pytest.mark.parametrize(
    ("rows", "said"), [("one,,1\n", "'table.csv' must name the patient"), ("one,p1,1\none,p2,1\n", "of one patient")]
)
def test_a_table_that_does_not_say_whose_an_image_is_is_refused(images, tmp_path, rows, said):
    with pytest.raises(InvalidInputError, match=said):
        read_cases(images, write(tmp_path, f"image,patient,mass\n{rows}"), SPEC)


def test_another_answer_changes_the_revision_of_that_image_only(images, tmp_path):
    before = {
        case.image_id: case.revision for case in read_cases(images, write(tmp_path, "image,mass\none,1\ntwo,0"), SPEC)
    }
    after = {
        case.image_id: case.revision for case in read_cases(images, write(tmp_path, "image,mass\none,1\ntwo,1"), SPEC)
    }
    assert before["one"] == after["one"]
    assert before["two"] != after["two"]


def test_a_value_that_is_no_answer_is_refused(images, tmp_path):
    with pytest.raises(InvalidInputError, match="'maybe'"):
        read_cases(images, write(tmp_path, "image,mass\none,maybe\n"), SPEC)


def test_a_table_of_other_findings_is_refused(images, tmp_path):
    with pytest.raises(LabelError, match="atelectasis"):
        read_cases(images, write(tmp_path, "image,weather\none,1\n"), SPEC)


def test_a_table_of_other_images_is_refused(images, tmp_path):
    with pytest.raises(InvalidInputError, match="At least one image"):
        read_cases(images, write(tmp_path, "image,mass\nfour,1\n"), SPEC)
