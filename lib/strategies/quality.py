"""The images whose drafts are probably worst: hard cases first, by a quality that is predicted without any truth.

Where drafts were not compared with the labels learned from, how well they stand a disturbance says something too.
"""

from __future__ import annotations

from .port import Needs
from .ranking import ByScore

STRATEGY = ByScore(
    name="quality",
    description="The image whose draft is probably worst: unlike the labels the model learned from",
    needs=Needs(scores=("plausibility", "tta")),
    because="Its draft is expected to be worse than {share} of the pool",
)
