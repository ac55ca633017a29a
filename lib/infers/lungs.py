"""Where the lungs of a radiograph are, as the served `cxr_anatomy` draws them."""

from __future__ import annotations

import numpy as np

from ..geometry import Volume
from ..label_maps import Mask, mask_of
from ..models.store import ModelStore
from ..registry import find_tasks
from .draft import Cancelled
from .segmentation import SegmentationInfer

LUNG_LABELS = ("lung_left", "lung_right")
_ANATOMY = "cxr_anatomy"


class Lungs:
    """Draws them; thread-safe as `SegmentationInfer` is.

    Args:
        models: Where the anatomy's versions are.
        device: Where it runs.
    """

    def __init__(self, models: ModelStore, *, device: str = "auto") -> None:
        self._anatomy = SegmentationInfer(find_tasks().get(_ANATOMY), models, device=device)

    def mask(self, image: Volume, *, device: str = "auto", cancelled: Cancelled | None = None) -> Mask:
        """Both lungs.

        Args:
            image: `(X, Y, 1)` radiograph.
            device: Where the network is to run.
            cancelled: Asked between windows.

        Returns:
            Boolean on the image's grid.

        Raises:
            NoModelError: If the anatomy has no model.
            CarinaError: As `segmentation.segment` does.
        """
        label = self._anatomy.label_of(image, device=device, cancelled=cancelled)
        labels = self._anatomy.spec.labels
        mask: Mask = np.logical_or.reduce([mask_of(label.array, labels.named(name), labels) for name in LUNG_LABELS])
        return mask
