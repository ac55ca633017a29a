"""A task that draws nothing but what is pointed at."""

from __future__ import annotations

import dataclasses

from carina.task import NetworkSpec

from .tissue_ct import TASK as TISSUE_CT

TASK = dataclasses.replace(
    TISSUE_CT,
    name="tissue_ct_clicks",
    kind="deepedit",
    description="A ball around each click.",
    network=NetworkSpec(name="pointing"),
)
