from __future__ import annotations

import json

import pytest

from carina.images import read_volume

OPTIONS = ("--strategies", "uncertainty", "--seeds", 1, "--start", 1, "--step", 1, "--rounds", 2, "--steps", 1,
           "--matrix", "16,16,8")  # fmt: skip


def test_writes_curves_page_and_json(carina, phantoms, tmp_path):
    out = tmp_path / "simulation"
    folders = ("--images", phantoms / "images", "--labels", phantoms / "labels", "--out", out)
    ran = carina("simulate", "thorax_ct", *folders, *OPTIONS, "--json")

    assert ran.exit_code == 0, ran.stderr
    assert set(ran.json["strategies"]) == {"random", "uncertainty"}
    assert ran.json["labels"] == [1, 2]
    assert ran.json["strategies"]["random"]["area_ratio"]["value"] == pytest.approx(1.0)
    assert json.loads((out / "result.json").read_text())["full_pool"] == ran.json["full_pool"]
    assert read_volume(out / "curves.png").grid.shape[0] > 500
    page = (out / "report.html").read_text()
    assert "<td>uncertainty</td>" in page
    assert "http" not in page

    other = carina("simulate", "thorax_ct", *folders, *OPTIONS, "--rounds", 1, "--json")
    assert (other.exit_code, other.json["error"]) == (1, "ConflictError")


def test_an_unknown_strategy_is_refused_before_anything_is_written(carina, phantoms, tmp_path):
    out = tmp_path / "simulation"
    folders = ("--images", phantoms / "images", "--labels", phantoms / "labels", "--out", out)
    ran = carina("simulate", "thorax_ct", *folders, "--strategies", "hibrid", "--json")

    assert (ran.exit_code, ran.json["error"]) == (1, "UnknownNameError")
    assert "Did you mean 'hybrid'" in ran.json["detail"]
    assert not out.exists()
