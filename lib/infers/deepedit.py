"""Drafts that follow clicks: the kind `deepedit` (Diaz-Pinto et al., arXiv:2305.10655), and without clicks a draft."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from ..errors import InvalidInputError
from ..networks.guidance import click_maps
from ..preprocessing import Prepared
from ..regions import Point
from ..task import TaskSpec
from .prompts import BACKGROUND
from .segmentation import SegmentationInfer


class DeepEditInfer(SegmentationInfer):
    """A segmentation that also takes `clicks` (as `prompts.clicks_of` gives them): label → voxels of the image."""

    def _guide(self, request: Mapping[str, Any]) -> Callable[[Prepared], Prepared] | None:
        clicks = request.get("clicks")
        return partial(with_clicks, clicks=clicks, spec=self.spec) if clicks else None


def with_clicks(prepared: Prepared, *, clicks: Mapping[str, Sequence[Point]], spec: TaskSpec) -> Prepared:
    """A prepared image with its clicks as further channels.

    Args:
        prepared: From `preprocessing.prepare`.
        clicks: Label or `background` → voxel indices of the image as it was before it was prepared.
        spec: The task.

    Raises:
        InvalidInputError: If a click is not on the image.
    """
    points: dict[int, list[list[float]]] = {}
    for name, clicked in clicks.items():
        channel = 0 if name == BACKGROUND else spec.labels.named(name).index
        points[channel] = [_working(point, prepared) for point in clicked]
    maps = click_maps(points, shape=prepared.tensor.shape[1:], channels=spec.out_channels)
    return dataclasses.replace(prepared, tensor=torch.cat([prepared.tensor, maps]))


def _working(point: Point, prepared: Prepared) -> list[float]:
    """Where a voxel of the image lies on the working grid; beyond its ends, for one outside the body."""
    shape = prepared.source.shape
    if not all(0 <= at < size for at, size in zip(point, shape, strict=True)):
        raise InvalidInputError(f"A click must be on its image of {shape} voxels, got {point}. Send voxel indices.")
    working = []
    for axis, map_ in enumerate(prepared.axes):
        at = point[prepared.order[axis]]
        canonical = map_.source_size - 1 - at if prepared.flips[axis] else at
        working.append((canonical - map_.first) / map_.step)
    return working
