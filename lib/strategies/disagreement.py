"""The images whose answer does not stand test-time augmentation, or where only that was tried, MC dropout (BALD)."""

from __future__ import annotations

from .port import Needs
from .ranking import ByScore

STRATEGY = ByScore(
    name="disagreement",
    description="The image whose draft changes most when the model is disturbed",
    needs=Needs(scores=("tta", "bald")),
    because="Its draft stands a disturbance less well than {share} of the pool",
)
