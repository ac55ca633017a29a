"""The demo's whole loop, as a person runs it: if any part of the product's main job breaks, this fails."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
@pytest.mark.integration
@pytest.mark.timeout(1200)
@pytest.mark.usefixtures("orthanc_installed")
def test_the_demo_drafts_learns_and_drafts_better(tmp_path):
    command = [Path(sys.executable).with_name("carina"), "demo", "--json", "--home", tmp_path / "home"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-4000:]
    result = json.loads(ran.stdout.splitlines()[-1])
    assert result["dice_after"] >= 0.85
    assert result["dice_after"] - result["dice_before"] >= 0.2
    assert result["promoted"] is True
    assert result["seg_identical"] is True
    assert result["seg_sop_instance_uid"]
    assert Path(result["png"]).stat().st_size > 10_000
