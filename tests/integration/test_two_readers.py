"""Two people with the unmodified MONAI Label client on one server: each has a case of their own."""

from __future__ import annotations

from pathlib import Path

import httpx
import nibabel as nib
import numpy as np
import pytest

from carina.server.running import RunningServer
from carina.settings import Settings

pytestmark = [
    pytest.mark.integration,
    pytest.mark.slow,
    # The stock client leaves its sockets to the garbage collector.
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:Exception ignored in. <socket:pytest.PytestUnraisableExceptionWarning"),
]

IMAGES = {"case-a", "case-b", "case-c"}
AFFINE = np.array([[0.0, -2.0, 0.1, 9.0], [1.5, 0.0, 0.0, 8.0], [0.0, 0.1, 4.0, 7.0], [0, 0, 0, 1.0]])
HEART = {"label_info": [{"name": "heart", "idx": 5}]}


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for name in sorted(IMAGES):
        nib.save(nib.Nifti1Image(np.zeros((12, 10, 8), np.int16), AFFINE), folder / f"{name}.nii.gz")
    return folder


@pytest.fixture
def label(tmp_path: Path) -> str:
    array = np.zeros((12, 10, 8), np.uint8)
    array[2:5, 3:5, 1:5] = 5
    nib.save(nib.Nifti1Image(array, AFFINE), tmp_path / "label.nii.gz")
    return str(tmp_path / "label.nii.gz")


def test_two_readers_never_have_the_same_case_and_both_labels_of_one_are_kept(images, label, tmp_path):
    from monailabel.client import MONAILabelClient

    with RunningServer(Settings(home=tmp_path / "home", port=0), store_url=str(images)) as server:
        anna, bert = (MONAILabelClient(server.url, str(tmp_path), client_id=name) for name in ("anna", "bert"))
        first, other = anna.next_sample("random", {})["id"], bert.next_sample("random", {})["id"]
        assert first != other
        assert anna.next_sample("first", {})["id"] == first

        anna.save_label(first, label, params={**HEART, "time_spent_s": 12.5})
        (third,) = IMAGES - {first, other}
        assert anna.next_sample("first", {})["id"] == third
        assert bert.next_sample("first", {})["id"] == other

        bert.save_label(first, label, params=HEART)  # the same case too: both are kept
        versions = httpx.get(f"{server.url}/carina/annotations/{first}", trust_env=False).json()
        assert [(version["user"], version["time_spent_s"]) for version in versions] == [("anna", 12.5), ("bert", None)]
        assert versions[1]["parent"] == versions[0]["id"]
