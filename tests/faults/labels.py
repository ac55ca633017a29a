"""Labels that tell themselves apart: made, sent as a client does, and decoded from a SEG without carina's reader."""

from __future__ import annotations

import gzip
import io
import json
from dataclasses import dataclass, field
from typing import Literal

import nibabel as nib
import numpy as np
import pydicom
import requests
from numpy.typing import NDArray

from .world import Image, World

NAMES = {"heart": 5, "trachea": 9, "aorta": 52}
Outcome = Literal["acknowledged", "refused", "unknown"]
_ANSWER_S = 60


@dataclass(eq=False)
class Attempt:
    """One label a client sent, and what it heard.

    Attributes:
        image: What it is of.
        array: `(X, Y, Z)` as sent.
        outcome: `acknowledged` with 200, `refused` with another status, `unknown` when no answer came.
        status: HTTP status, 0 without one.
        annotation_id: What the server called it.
    """

    image: Image
    array: NDArray[np.uint8]
    outcome: Outcome = "unknown"
    status: int = 0
    annotation_id: str = ""
    answer: str = field(default="", repr=False)


def make_label(image: Image, generator: np.random.Generator) -> Attempt:
    """Random voxels of random structures; no two labels of a campaign are the same."""
    array = np.zeros(image.grid.shape, np.uint8)
    for value in generator.permutation(list(NAMES.values()))[: generator.integers(1, 4)]:
        array[generator.random(array.shape) < 0.05] = value
    return Attempt(image, array)


def submit(world: World, attempt: Attempt) -> None:
    """Send a label as MONAI Label's client does, and note what came back."""
    names = [{"name": name, "idx": value} for name, value in NAMES.items()]
    try:
        answer = requests.put(
            f"{world.url}/datastore/label",
            params={"image": attempt.image.image_id, "tag": "final"},
            data={"params": json.dumps({"label_info": names, "client_id": "faults"})},
            files={"label": ("label.nii.gz", _as_nifti(attempt))},
            timeout=_ANSWER_S,
        )
    except requests.RequestException:
        return
    attempt.status = answer.status_code
    if answer.status_code == requests.codes.ok:
        attempt.annotation_id = answer.json()["label"]
        attempt.outcome = "acknowledged"
    else:
        attempt.outcome, attempt.answer = "refused", answer.text


def from_nifti(content: bytes) -> NDArray[np.uint8]:
    """Voxels of a label file."""
    return np.asarray(nib.Nifti1Image.from_bytes(gzip.decompress(content)).dataobj)


def from_seg(content: bytes, image: Image) -> NDArray[np.uint8]:
    """Voxels of a SEG object: each frame says its segment and the slice it was derived from (PS3.3 C.8.20.3)."""
    dataset = pydicom.dcmread(io.BytesIO(content))
    values = {int(segment.SegmentNumber): NAMES[segment.SegmentLabel] for segment in dataset.SegmentSequence}
    frames = dataset.pixel_array.reshape(-1, dataset.Rows, dataset.Columns)
    shared = dataset.SharedFunctionalGroupsSequence[0]
    label = np.zeros(image.grid.shape, np.uint8)
    for frame, own in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        segment = own if "SegmentIdentificationSequence" in own else shared  # one segment's number is every frame's
        number = int(segment.SegmentIdentificationSequence[0].ReferencedSegmentNumber)
        source = own.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        label[:, :, image.slice_uids.index(source)][frame.T == 1] = values[number]
    return label


def _as_nifti(attempt: Attempt) -> bytes:
    return gzip.compress(nib.Nifti1Image(attempt.array, attempt.image.grid.affine_ras).to_bytes(), 1)
