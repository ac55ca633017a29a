"""The images over which a task's last model versions disagree (query by committee, Seung et al., COLT 1992)."""

from __future__ import annotations

from .port import Needs
from .ranking import ByScore

STRATEGY = ByScore(
    name="committee",
    description="The image over which the last model versions disagree most",
    needs=Needs(scores=("committee",)),
    because="The last model versions disagree over it more than over {share} of the pool",
)
