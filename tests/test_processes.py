"""A process of our own starts wherever carina was started."""

from __future__ import annotations

import subprocess

import pytest

from carina.processes import python_module


@pytest.mark.parametrize("name", ["carina", "json", "carina.py"])
def test_what_lies_in_the_folder_where_it_is_started_is_not_taken_for_a_module(tmp_path, name):
    if name.endswith(".py"):
        (tmp_path / name).write_text("raise SystemExit('not ours')")
    else:
        (tmp_path / name).mkdir()
        (tmp_path / name / "decoder.py").write_text("raise SystemExit('not ours')")
    ran = subprocess.run(
        python_module("carina.dicom.provenance"), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_arguments_reach_the_module():
    ran = subprocess.run(python_module("json.tool", "--help"), capture_output=True, text=True, check=False)
    assert "usage" in ran.stdout
