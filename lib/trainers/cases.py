"""One labelled image as trainings see it: with a label map, or with what it shows as a whole."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np

from ..geometry import Volume

# In a cache of prepared images, one that is labelled later must not be taken for what it was before.
_UNLABELLED = "unlabelled-"


@dataclass(frozen=True, kw_only=True)
class LabelledImage:
    """What every kind of training knows of an image.

    Attributes:
        image_id: Of the image; one case per image.
        patient_id: Decides the part of the split; never logged or written into a model's manifest.
        revision: Changes when image or label change (an annotation id, or a hash of the files).
        annotated: Names of the labels the annotator cared for. A voxel without a label is background only as far as
            these go; another label of the task may well be there. None: all of the task's.
        readings: The same image as others labelled it, to be trained on as well; it is measured by its own label.
    """

    image_id: str
    patient_id: str
    revision: str
    annotated: frozenset[str] | None = None
    readings: tuple[Self, ...] = ()

    def every_reading(self) -> tuple[Self, ...]:
        """Itself and its `readings`."""
        return (self, *self.readings)


@dataclass(frozen=True, kw_only=True)
class Case(LabelledImage):
    """An image with a label map; nothing is read before `load` is called.

    Attributes:
        load: Reads the image and its label map: both `(X, Y, Z)` on the image's grid, the label in the task's indices.
    """

    load: Callable[[], tuple[Volume, Volume]]


@dataclass(frozen=True, kw_only=True)
class FindingsCase(LabelledImage):
    """An image and what it shows as a whole.

    Attributes:
        load: Reads the image.
        findings: Name → whether the image has it, for the findings that somebody looked for (`annotated`).
    """

    load: Callable[[], Volume]
    findings: Mapping[str, bool]

    def with_empty_label(self) -> Case:
        """The image alone, for what prepares and keeps images of either sort."""
        return without_label(image_id=self.image_id, patient_id=self.patient_id, revision=self.revision, load=self.load)


def without_label(*, image_id: str, patient_id: str, revision: str, load: Callable[[], Volume]) -> Case:
    """An image that nobody drew anything in: its label map is empty."""

    def both() -> tuple[Volume, Volume]:
        image = load()
        return image, Volume(np.zeros(image.grid.shape, dtype=np.uint8), image.grid)

    return Case(image_id=image_id, patient_id=patient_id, revision=f"{_UNLABELLED}{revision}", load=both)
