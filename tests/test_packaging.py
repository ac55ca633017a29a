"""The wheel holds what the editable install shows: every module of `lib/` as `carina`, `apps/` as `carina.apps`."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import carina

ROOT = Path(__file__).resolve().parents[1]
LEFT_OUT = shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "dist", "tests", "benchmarks")


@pytest.mark.slow
def test_a_wheel_holds_every_module_and_its_data(tmp_path):
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=LEFT_OUT)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(source)]
    finished = subprocess.run(build, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    packed = set(zipfile.ZipFile(wheel).namelist())
    files = [path for path in (ROOT / "lib").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    wanted = {f"carina/{path.relative_to(ROOT / 'lib').as_posix()}" for path in files}
    wanted |= {f"carina/{path.relative_to(ROOT).as_posix()}" for path in (ROOT / "apps").rglob("*.py")}
    assert wanted <= packed, sorted(wanted - packed)


def test_the_version_is_stated_once():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["dynamic"] == ["version"]
    assert f"## [{carina.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_pinned_set_is_what_is_installed():
    """A half-upgraded environment is the most common reason for errors nobody can explain."""
    from importlib.metadata import version

    pinned = dict(
        line.split(" ", 1)[0].split("==")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if line[:1].isalnum() and "==" in line and ";" not in line
    )
    for name in ("torch", "torchvision", "numpy", "pydicom", "highdicom", "monai", "monailabel"):
        assert version(name) == pinned[name]
