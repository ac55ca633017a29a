"""`carina infer` of a task of whole images: one JSON object with probabilities, and a heat map on wish."""

from __future__ import annotations

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from carina.dicom.series import read_series
from carina.dicom.sr import read_findings
from tests.dicom.builder import radiograph as dicom_radiograph

from .conftest import serve_untrained

TASK = "cxr_covid19"


@pytest.fixture
def radiograph(tmp_path):
    path = tmp_path / "chest.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (70, 90), dtype=np.uint8)).save(path)
    return path


def test_says_probability_state_version_and_time(carina, radiograph, untrained_covid19):
    ran = carina("infer", TASK, "--image", radiograph, "--device", "cpu", "--json")

    assert ran.exit_code == 0, ran.stderr
    (told,) = ran.json["prediction"]
    assert (told["label"], told["state"], told["calibrated"]) == ("covid19", "uncertain", False)
    assert 0 < told["score"] < 1
    assert ran.json["model_version"] == untrained_covid19
    assert ran.json["timings"]["network"] >= 0


def test_heat_is_on_the_images_own_grid(carina, radiograph, untrained_covid19, tmp_path):
    heat, picture = tmp_path / "heat.nii.gz", tmp_path / "where.png"

    carina("infer", TASK, "--image", radiograph, "--device", "cpu", "--heatmap", heat)
    ran = carina("infer", TASK, "--image", radiograph, "--device", "cpu", "--heatmap", picture, "--json")

    array = np.asarray(nib.load(heat).dataobj)
    assert array.shape == (90, 70, 1)
    assert 0 <= array.min() <= array.max() <= 1
    assert ran.json["heatmap_of"] == "covid19"
    with Image.open(picture) as shown:
        assert shown.size[0] > 300


def test_the_report_is_a_text_or_an_sr_document(carina, untrained_covid19, tmp_path):
    text, document, image = tmp_path / "report.txt", tmp_path / "out" / "report.dcm", tmp_path / "dx.dcm"
    pixels = np.random.default_rng(0).integers(0, 4000, (40, 50))
    dicom_radiograph(pixels).save_as(image, enforce_file_format=True)

    ran = carina("infer", TASK, "--image", image, "--device", "cpu", "--report", text, "--json")
    carina("infer", TASK, "--image", image, "--device", "cpu", "--report", document)

    assert text.read_text(encoding="utf-8").strip() == ran.json["report"]
    read = read_findings(document)
    assert read.text == ran.json["report"]
    assert [one.probability for one in read.findings] == pytest.approx([ran.json["prediction"][0]["score"]], abs=1e-6)
    assert (read.provenance.algorithm_type, read.final) == ("AUTOMATIC", False)


def test_what_is_told_of_a_place_says_where_in_words_json_and_the_report(carina, phantoms, carina_home, tmp_path):
    serve_untrained("nodule_malignancy")
    image, document = phantoms / "images" / "phantom-007", tmp_path / "report.dcm"

    ran = carina(
        "infer", "nodule_malignancy", "--image", image, "--point", "12,9,7", "--device", "cpu",
        "--report", document, "--json",
    )  # fmt: skip

    assert ran.exit_code == 0, ran.stderr
    assert ran.json["place"] == [12, 9, 7]
    read = read_findings(document)
    assert read.place.on(read_series(image).volume.grid) == (12, 9, 7)
    assert read.text == ran.json["report"]
    assert ran.json["report"].startswith("Judged at ")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--report", "report.pdf"), "--report"),
        (("--report", "report.dcm"), "DICOM series"),
        (("--measurements", "yes"), "cxr_anatomy"),
        (("--point", "1,2,3"), "whole images"),
        (("--heatmap", "heat.jpg"), "--heatmap"),
        (("--finding", "covid"), "covid19"),
        (("--roi", "heart"), "roi"),
        (("--roi", "lungs"), "cxr_anatomy"),
    ],
)
def test_what_cannot_be_done_is_said(carina, radiograph, untrained_covid19, more, said):
    ran = carina("infer", TASK, "--image", radiograph, "--device", "cpu", *more)
    assert ran.exit_code == 1
    assert said in ran.stderr


@pytest.mark.parametrize(
    ("task", "more", "wrong", "has"),
    [
        (
            TASK,
            ("--out", "draft.dcm", "--overlap", 0.5),
            "--out, --overlap",
            "--heatmap, --finding, --roi, --report, --measurements, --point, --box",
        ),
        (
            "cxr_anatomy",
            ("--out", "masks", "--finding", "mass", "--roi", "lungs"),
            "--finding, --roi",
            "--out, --overlap",
        ),
    ],
)
def test_options_of_another_kind_of_task_are_refused_and_its_own_are_named(
    carina, radiograph, carina_home, task, more, wrong, has
):
    ran = carina("infer", task, "--image", radiograph, *more, "--json")
    assert ran.exit_code == 1
    assert f"got {wrong} for '{task}'" in ran.json["detail"]
    assert f"It has {has}" in ran.json["detail"]


def test_a_task_that_draws_still_asks_for_a_file(carina, radiograph, carina_home):
    ran = carina("infer", "cxr_anatomy", "--image", radiograph)
    assert ran.exit_code == 1
    assert "--out" in ran.stderr


def test_evaluate_gives_areas_with_intervals_and_one_row_per_image(carina, untrained_covid19, tmp_path):
    images, random = tmp_path / "images", np.random.default_rng(1)
    images.mkdir()
    for number in range(6):
        Image.fromarray(random.integers(0, 255, (60, 60), dtype=np.uint8)).save(images / f"i{number}.png")
    table = tmp_path / "findings.csv"
    table.write_text("image,patient,COVID19\n" + "".join(f"i{n},p{n},{'' if n == 5 else n % 2}\n" for n in range(6)))

    ran = carina("evaluate", TASK, "--images", images, "--labels", table, "--device", "cpu", "--per-case", "--json")

    assert ran.exit_code == 0, ran.stderr
    assert ran.json["cases"] == 5
    rows = [case["labels"]["covid19"] for case in ran.json["per_case"]]
    expected = roc_auc_score([row["finding"] for row in rows], [row["probability"] for row in rows])
    assert ran.json["labels"]["covid19"]["auroc"] == pytest.approx(expected)
    spread = ran.json["intervals"]["covid19"]["auroc"]
    assert spread["low"] <= spread["mean"] <= spread["high"]
    assert "AUROC" in ran.stderr
