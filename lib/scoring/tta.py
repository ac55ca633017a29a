"""Disagreement under test-time augmentation (Wang et al., doi:10.1016/j.neucom.2019.01.103); any network."""

from __future__ import annotations

from .mutual_information import MutualInformation

METHOD = MutualInformation(
    name="tta",
    description="How much the answers differ when brightness, contrast and noise of the image change",
    sampling="augmented",
)
