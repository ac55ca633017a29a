"""Images without labels that a training may learn from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import InvalidInputError
from .cases import Case, without_label
from .folders import file_revision, find_images, load_image, patient_of, read_patients
from .splits import Part

_MOST = 200


def read_pool(images: Path) -> list[Case]:
    """The images of a folder, as `dataset` finds them, without labels.

    Raises:
        InvalidInputError: If there are none, or `cases.csv` lacks one.
    """
    if not images.is_dir():
        raise InvalidInputError(f"'{images}' must be a folder. Give the folder of images without labels.")
    patients = read_patients(images, images)
    return [
        without_label(
            image_id=image_id,
            patient_id=patient_of(image_id, patients),
            revision=file_revision((path,)),
            load=partial(load_image, path),
        )
        for image_id, path in find_images(images).items()
    ]


def usable(
    pool: Sequence[Case], *, labelled: Collection[str], parts: Mapping[str, Part], seed: int, most: int = _MOST
) -> list[Case]:
    """Those of a pool that a training may see, in the order of their ids; of too many, some by chance.

    Args:
        pool: Images without labels.
        labelled: Ids of images that have one.
        parts: Patient → part of the split; patients that others are measured on are never learned from.
        seed: Of the chance.
        most: Images at most.
    """
    free = [
        case
        for case in sorted(pool, key=lambda case: case.image_id)
        if case.image_id not in labelled and parts.get(case.patient_id, "train") == "train"
    ]
    if len(free) <= most:
        return free
    return [free[position] for position in sorted(np.random.default_rng(seed).permutation(len(free))[:most])]
