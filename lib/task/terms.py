"""The words a task's declaration is made of: kinds, sizes, losses, and what is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

Spacing = tuple[float, float, float]
Voxels = tuple[int, int, int]
Layout = Literal["carina", "torchxrayvision", "medicalnet"]
Kind = Literal["segmentation", "scribbles", "deepedit", "classification"]

LOSSES: Mapping[Kind, tuple[str, ...]] = {
    "segmentation": ("dice_ce", "dice_focal"),
    "deepedit": ("dice_ce", "dice_focal"),
    "classification": ("cross_entropy", "focal", "auc_margin"),
}
"""What a training of each kind may descend, the usual one first."""

PROJECTIONS: Final = frozenset({"CR", "DX", "RG"})
"""DICOM modalities of radiographs."""

WHOLE: Final = "image"
LUNGS: Final = "lungs"
"""What a classification of radiographs looks at."""
