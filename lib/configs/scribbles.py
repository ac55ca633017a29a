"""Scribbles: any structure with a border, cut out by a few strokes; there is nothing to train."""

from __future__ import annotations

from ..labels import LabelSet
from ..task import TaskSpec

TASK = TaskSpec(
    name="scribbles",
    kind="scribbles",
    description="Any structure from a few strokes inside and outside of it; needs no model.",
    modality=("CT", "MR"),
    dimension=3,
    labels=LabelSet(()),
)
