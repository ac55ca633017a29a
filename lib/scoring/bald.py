"""BALD (Houlsby et al., arXiv:1112.5745) by MC dropout (Gal et al., arXiv:1703.02910)."""

from __future__ import annotations

from .mutual_information import MutualInformation

METHOD = MutualInformation(
    name="bald",
    description="How much the answers differ with parts of the network left out; it must have dropout layers",
    sampling="dropout",
)
