"""How intensities reach a network."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Window:
    """Clip to `[lower, upper]` and scale linearly to `[-1, 1]`.

    Attributes:
        lower: Intensity (HU for CT) that becomes -1.
        upper: Intensity that becomes +1.
    """

    lower: float
    upper: float


@dataclass(frozen=True, kw_only=True)
class ZScoreThenRange:
    """Z-score over the non-zero voxels, then scale the whole volume's minimum and maximum to `[-1, 1]`.

    The statistics are those of the resampled volume before any crop, as in MONAI's public
    wholeBody_ct_segmentation bundle (`NormalizeIntensityd(nonzero=True)`, `ScaleIntensityd(-1, 1)`).
    """


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Clip to two percentiles of the image and scale linearly to `[-1, 1]`, for images without a unit.

    Attributes:
        lower: Percentile, 0–100, that becomes -1.
        upper: Percentile that becomes +1.
    """

    lower: float = 1.0
    upper: float = 99.0


Intensity = Window | ZScoreThenRange | Percentiles
