"""Strokes painted on an image become one structure: the kind `scribbles`, which needs no model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInputError
from ..geometry import Volume, resample_label
from ..images import read_label
from ..regions import Box
from .draft import Cancelled, Draft, Drafter, Progress, timed
from .graph_cut import BACKGROUND, FOREGROUND, UNKNOWN, graph_cut
from .prompts import Strokes

_ROI_MARGIN_SHARE = 0.25
_FEWEST_MARGIN_VOXELS = 3


class ScribblesInfer(Drafter):
    """Cuts one structure out of an image by the strokes painted on it. Thread-safe: it keeps nothing."""

    def draft(
        self,
        request: Mapping[str, Any],
        *,
        progress: Progress | None = None,
        cancelled: Cancelled | None = None,
    ) -> Draft:
        """Cut one structure.

        Args:
            request: `image`, as in `Drafter.draft`; `label`, the `Path` of a label map with the strokes; `strokes`,
                as `prompts.strokes_of` gives them; `smoothness`, `contrast`, `connected`.
            progress: Told a fraction and a phrase.
            cancelled: Asked before the cut.

        Returns:
            1 where the structure is; `params["label_names"]` names it.

        Raises:
            InvalidInputError: If there is neither a foreground stroke nor a region.
            GeometryError: If the strokes do not lie on the image.
            CarinaError: As reading the image does.
        """
        tell = progress or (lambda fraction, phrase: None)
        strokes = request.get("strokes")
        if not isinstance(strokes, Strokes):
            strokes = Strokes()
        timings: dict[str, float] = {}
        tell(0.0, "fetching the image")
        with timed(timings, "fetch"):
            image, series = self._read(request.get("image"))
            painted = self._painted(request.get("label"), image)
        tell(0.2, "cutting")
        with timed(timings, "cut"):
            mask = cut_out(image, painted, strokes, request, cancelled=cancelled)
        tell(0.95, "writing the result")
        drawn = Volume(mask.astype(np.uint8), image.grid)
        return Draft(
            drawn,
            drawn,
            series,
            {"task": self.spec.name, "label_names": {strokes.selected: 1}, "timings": timings},
        )

    @staticmethod
    def _painted(label: object, image: Volume) -> Volume:
        if not isinstance(label, Path):
            return Volume(np.zeros(image.grid.shape, np.uint8), image.grid)
        return resample_label(read_label(label)[0], grid=image.grid)


def cut_out(
    image: Volume,
    painted: Volume,
    strokes: Strokes,
    options: Mapping[str, Any],
    *,
    cancelled: Cancelled | None = None,
) -> NDArray[np.bool_]:
    """The structure the strokes mean.

    With a region nothing outside it belongs to the structure; its surroundings are taken for background, and its middle
    for foreground where nothing is painted inside.

    Args:
        image: `(X, Y, Z)` intensities.
        painted: Label map on the image's grid; `strokes` says which values are strokes.
        strokes: What the client means by them.
        options: `smoothness`, `contrast`, `connected` as the kind's options.
        cancelled: Asked before the cut.

    Returns:
        `(X, Y, Z)` mask.

    Raises:
        InvalidInputError: If there is neither a foreground stroke nor a region.
    """
    seeds = np.full(image.grid.shape, UNKNOWN, np.uint8)
    seeds[painted.array == strokes.background] = BACKGROUND
    seeds[painted.array == strokes.foreground] = FOREGROUND
    region, crop = _boxes(strokes.roi, image.grid.shape)
    if strokes.roi is not None:
        outside = np.ones(image.grid.shape, dtype=bool)
        outside[region] = False
        seeds[outside] = BACKGROUND
        if not (seeds == FOREGROUND).any():
            seeds[_middle(region)] = FOREGROUND
    if not (seeds == FOREGROUND).any():
        raise InvalidInputError(
            "Scribbles must mark the structure, got no foreground stroke and no region. Paint inside it and try again."
        )
    mask = np.zeros(image.grid.shape, dtype=bool)
    mask[crop] = graph_cut(
        image.array[crop],
        seeds[crop],
        spacing_mm=image.grid.spacing_mm,
        smoothness=options.get("smoothness", 1.0),
        contrast=options.get("contrast", 0.1),
        connected=options.get("connected", "yes") == "yes",
        cancelled=cancelled or (lambda: False),
    )
    return mask


_Slices = tuple[slice, slice, slice]


def _boxes(roi: Box | None, shape: tuple[int, int, int]) -> tuple[_Slices, _Slices]:
    """The region, and the region with some surroundings that are cut along; both the whole image without a region."""
    region, crop = [], []
    for axis, size in enumerate(shape):
        low, high = (0, size) if roi is None else (max(0, roi[axis][0]), min(size, roi[axis][1]))
        if low >= high:
            raise InvalidInputError(
                f"A region must lie on its image of {shape} voxels, got {low}…{high} along axis {axis}. Place it again."
            )
        margin = max(_FEWEST_MARGIN_VOXELS, round(_ROI_MARGIN_SHARE * (high - low)))
        region.append(slice(low, high))
        crop.append(slice(max(0, low - margin), min(size, high + margin)))
    return (region[0], region[1], region[2]), (crop[0], crop[1], crop[2])


def _middle(region: _Slices) -> _Slices:
    """The middle tenth of each side, at least one voxel."""
    middle = []
    for side in region:
        half = (side.stop - side.start) // 20
        centre = (side.start + side.stop - 1) // 2
        middle.append(slice(centre - half, centre + half + 1))
    return middle[0], middle[1], middle[2]
