"""A training without validation, split or gate: some steps on some volumes, for networks that are thrown away."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from torch import nn

from .cache import CachedVolume
from .fitting import Fitting
from .segmentation import SegmentationLesson


def rehearse(
    network: nn.Module,
    volumes: Sequence[CachedVolume],
    *,
    lesson: SegmentationLesson,
    steps: int,
    known: Iterable[str] | None = None,
    pool: Sequence[CachedVolume] = (),
    progress: Callable[[float, str], None] = lambda fraction, text: None,
) -> None:
    """Train a network in place.

    Args:
        network: On the lesson's device; in evaluation mode afterwards.
        volumes: To learn from; at least one.
        lesson: Its options count, but for the number of epochs and steps.
        steps: How many.
        known: Labels the network has learned before; None for random weights.
        pool: Without labels, learned from if the options give them a weight.
        progress: Told after each step.

    Raises:
        CancelledError: If the lesson's `cancelled` answers true.
    """
    spec = lesson.spec
    loss = lesson.begin(network, volumes, known)
    with tempfile.TemporaryDirectory() as folder:
        fitted = Fitting(
            network=network,
            spec=spec,
            options=dataclasses.replace(lesson.options, max_epochs=1, steps_per_epoch=steps),
            sampler=lesson.sampler(volumes),
            pool=lesson.pool_sampler(pool, volumes) if pool else None,
            loss=loss,
            validate=lambda trained: {},
            device=lesson.device,
            checkpoint=Path(folder) / "checkpoint.safetensors",
            identity="",
            on_epoch=lambda epoch: None,
            progress=progress,
            cancelled=lesson.cancelled,
        ).run()
    network.load_state_dict(fitted.best_state)
    network.eval()
