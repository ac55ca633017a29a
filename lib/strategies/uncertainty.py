"""The images a model is least sure about (Lewis & Gale, SIGIR 1994)."""

from __future__ import annotations

from .port import Needs
from .ranking import ByScore

STRATEGY = ByScore(
    name="uncertainty",
    description="The image the model is least sure about, voxel by voxel",
    needs=Needs(scores=("entropy",)),
    because="The model is less sure of it than of {share} of the pool",
)
