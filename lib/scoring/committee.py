"""Disagreement of a task's last model versions (Beluch et al., doi:10.1109/CVPR.2018.00976); two or more are needed."""

from __future__ import annotations

from .mutual_information import MutualInformation

METHOD = MutualInformation(
    name="committee",
    description="How much the answers of the last model versions differ; there must be two or more",
    sampling="members",
)
