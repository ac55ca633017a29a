"""Where a finding would be, for the audit to take it away: from label maps, or the lungs as they are drawn now."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..geometry import Volume, resample_label
from ..infers.radiograph import Drawing, Radiograph
from ..label_maps import Mask
from ..measurements import LUNG_LABELS
from ..models.store import ModelStore
from ..structures import label_set
from ..task import TaskSpec
from ..trainers.cases import FindingsCase
from ..trainers.dataset import read_case_folder
from .answers import RegionOf


def region_from(labels: Path, images: Path, spec: TaskSpec, *, names: Sequence[str] = LUNG_LABELS) -> RegionOf:
    """The region that some structures of label maps cover.

    Args:
        labels: Folder of label maps or masks; see `trainers.dataset`.
        images: Folder of their images.
        spec: The task.
        names: Structures of the catalogue.

    Returns:
        What gives the region of an image; an empty one where it has no label map.

    Raises:
        InvalidInputError: If no image has a label map.
        LabelError: If a name is not in the catalogue, or none is in the label maps.
    """
    drawing = dataclasses.replace(spec, kind="segmentation", labels=label_set(*names, overlapping=True))
    cases = {case.image_id: case for case in read_case_folder(images, labels, drawing)}

    def region_of(case: FindingsCase, image: Volume) -> Mask:
        if case.image_id not in cases:
            return np.zeros(image.grid.shape, dtype=bool)
        mask: Mask = resample_label(cases[case.image_id].load()[1], grid=image.grid).array > 0
        return mask

    return region_of


def lungs_now(models: ModelStore, *, device: str = "auto") -> RegionOf:
    """The lungs as the served `cxr_anatomy` draws them.

    Raises:
        NoModelError: When asked, if the anatomy has no model.
    """
    drawing = Drawing(models, device=device)
    return lambda case, image: Radiograph(image, drawing, device=device).lungs()
