"""One labelled image as trainings see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..geometry import Volume


@dataclass(frozen=True, kw_only=True)
class Case:
    """A labelled image; nothing is read before `load` is called.

    Attributes:
        image_id: Of the image; one case per image.
        patient_id: Decides the part of the split; never logged or written into a model's manifest.
        load: Reads the image and its label map: both `(X, Y, Z)` on the image's grid, the label in the task's indices.
        revision: Changes when image or label change (an annotation id, or a hash of the files).
        annotated: Names of the labels the annotator cared for. A voxel without a label is background only as far as
            these go; another label of the task may well be there. None: all of the task's.
    """

    image_id: str
    patient_id: str
    load: Callable[[], tuple[Volume, Volume]]
    revision: str
    annotated: frozenset[str] | None = None
