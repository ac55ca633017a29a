"""How much of a label its next version changed."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np

from ..errors import CarinaError
from ..geometry import Volume
from .annotation import Annotation
from .files import LabelFiles
from .voxel_values import LARGEST_VALUE, are_bits, recode

logger = logging.getLogger(__name__)

# Counting what changed means reading the parent: about a second per 100 million voxels.
_COUNTED_VOXELS = 60_000_000


def voxels_changed(files: LabelFiles, parent: Annotation | None, label: Volume, names: Mapping[str, int]) -> int | None:
    """Voxels whose label, by name, differs from the parent's; None when not counted.

    Args:
        files: Where the parent's voxels are.
        parent: The version that the new one follows, if there is one.
        label: `(X, Y, Z)` voxel values of the new version.
        names: Label name → voxel value in `label`.
    """
    if parent is None or label.array.size > _COUNTED_VOXELS or not parent.grid.matches(label.grid):
        return None
    try:
        before = files.read(parent.file_name, sha256=parent.sha256, grid=parent.grid)
    except (CarinaError, OSError, EOFError) as error:
        logger.warning("Annotation %s cannot be compared with a new version: %s", parent.id, error)
        return None
    renumbered = recode(before.array, parent.names, names, other=LARGEST_VALUE + 1, sums=are_bits(names))
    return int(np.count_nonzero(renumbered != label.array))
