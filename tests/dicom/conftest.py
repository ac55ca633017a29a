"""What the DICOM tests share: an independent validator."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.dataset import Dataset


@pytest.fixture
def assert_conforms(tmp_path: Path) -> Callable[[Dataset | Path], None]:
    """Fails on any error that dciodvfy (dicom3tools) finds in an object or a file."""
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed (Debian package dicom3tools)")

    def check(source: Dataset | Path) -> None:
        path = source if isinstance(source, Path) else tmp_path / "checked.dcm"
        if isinstance(source, Dataset):
            source.save_as(path, enforce_file_format=True)
        result = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True, check=False)
        lines = (result.stdout + result.stderr).splitlines()
        assert {"Segmentation", "EnhancedSR", "Comprehensive3DSR"} & set(lines), "dciodvfy did not recognise the object"
        assert [line for line in lines if line.startswith("Error")] == []

    return check
