"""`carina audit` on small radiographs with a network that was never trained: the way from folders to page and JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

TASK = "cxr_covid19"


@pytest.fixture
def radiographs(tmp_path):
    """Four images of 40 × 50 pixels with masks of both lungs, one of them without."""
    folder, random = tmp_path / "cxr", np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    rows = ["image,patient,covid19,sex,age"]
    for number in range(4):
        Image.fromarray(random.integers(0, 255, (50, 40), dtype=np.uint8)).save(folder / "images" / f"i{number}.png")
        rows.append(f"i{number},p{number},{number % 2},{'FM'[number % 2]},{30 + 15 * number}")
        if number < 3:
            (folder / "masks" / f"i{number}").mkdir(parents=True)
            mask = np.zeros((50, 40), dtype=bool)
            mask[10:30, 5:15] = True
            for name in ("left_lung", "right_lung"):
                Image.fromarray(mask if name == "right_lung" else mask[:, ::-1].copy()).save(
                    folder / "masks" / f"i{number}" / f"{name}.png"
                )
    (folder / "cases.csv").write_text("\n".join(rows) + "\n")
    return folder


def arguments(folder, out):
    return ("audit", TASK, "--images", folder / "images", "--labels", folder / "cases.csv", "--out", out,
            "--device", "cpu")  # fmt: skip


def test_writes_page_and_json_and_says_the_verdicts(carina, radiographs, untrained_covid19, tmp_path):
    out = tmp_path / "out"
    ran = carina(*arguments(radiographs, out), "--roi-from", radiographs, "--json")

    assert ran.exit_code == 0, ran.stderr
    assert (ran.json["images"], ran.json["patients"], ran.json["model_version"]) == (4, 4, untrained_covid19)
    finding = ran.json["findings"]["covid19"]
    assert {(one["attribute"], one["group"]) for one in finding["subgroups"]} == {
        ("sex", "F"), ("sex", "M"), ("age", "18–39"), ("age", "40–64"), ("age", "65+"),
    }  # fmt: skip
    by_change = {one["change"]: one for one in finding["shortcuts"]}
    assert by_change["region removed"]["auroc"]["n"] == 3
    assert {verdict["state"] for verdict in finding["verdicts"]} >= {"cannot tell"}
    assert len(finding["consistency"]) == 11
    stored = json.loads((out / "audit.json").read_text())
    assert stored["findings"] == ran.json["findings"]
    page = (out / "audit.html").read_text()
    assert "http" not in page
    assert "p1" not in stored
    assert page.count("data:image/png") == 1


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--roi", "heart"), "--roi must be lungs"),
        (("--roi", "lungs"), "cxr_anatomy"),
        (("--roi", "lungs", "--roi-from", "."), "Only one of"),
        (("--threshold", "1.5"), "--threshold"),
        (("--subgroups", "sexx"), "Did you mean 'sex'"),
        (("--version", "v9"), "v9"),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_written(carina, radiographs, untrained_covid19, tmp_path, more, said):
    out = tmp_path / "out"
    ran = carina(*arguments(radiographs, out), *more)
    assert ran.exit_code == 1
    assert said in ran.stderr
    assert not out.exists()


def test_a_task_that_draws_is_refused(carina, radiographs, tmp_path):
    ran = carina("audit", "cxr_anatomy", "--images", radiographs, "--labels", radiographs, "--out", tmp_path / "out")
    assert ran.exit_code == 1
    assert "carina evaluate" in ran.stderr
