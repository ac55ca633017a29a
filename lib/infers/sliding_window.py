"""Runs a network over a prepared image window by window, and brings the result back to the image's own grid.

Peak memory, in bytes, for `C` classes on a working volume of `n` voxels, `4` bytes per score:

- the prepared volume `4 n`, and the label map at the image's resolution (1 byte per voxel up to 255 labels);
- the slab `4 C (w + 1) n / s`, where `w` is the window and `s` the size of the volume along the slab axis (the axis
  that makes this smallest); beyond 2 GiB its scores are float16 and it takes half;
- per window in flight the network's own activations and its output `4 C w³`;
- finalising: below 0.4 GB, whatever the size of the image.

A 512×512×400 CT of 0.8×0.8×1 mm with 105 classes: the slab of 96 rows at 1.5 mm takes 1.5 GB; scores at the image's
resolution alone would take 44 GB.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ..errors import CancelledError, OutOfMemoryError
from ..geometry import AnyArray, Volume, reorient
from ..label_maps import label_type
from ..networks.devices import is_out_of_memory, memory_layout, resolve_device, short_numbers
from ..networks.factory import size_multiple
from ..preprocessing import Prepared
from ..task import TaskSpec, Voxels
from .pieces import tidy
from .scores import decision_of, scores_of
from .slabs import SlabStitcher
from .windows import WindowPlan, plan_windows, round_up

Progress = Callable[[float, str], None]
Cancelled = Callable[[], bool]

_SLAB_LIMIT_BYTES = 2 * 2**30


def predict(
    network: nn.Module,
    prepared: Prepared,
    *,
    spec: TaskSpec,
    device: str | torch.device = "auto",
    overlap: float | None = None,
    batch_size: int | None = None,
    progress: Progress | None = None,
    cancelled: Cancelled | None = None,
    timings: MutableMapping[str, float] | None = None,
) -> Volume:
    """Segment a prepared image.

    When memory runs out the work starts again on the next rung: one window at a time → stitching on the CPU →
    windows of half the size. The network is left in the mode (train or eval) it came in.

    Args:
        network: Takes `(B, 1, x, y, z)`, or `(B, 1, x, y)` for a 2D task, gives as many scores per voxel as the task
            has channels; moved to `device`, channels last.
        prepared: From `preprocessing.prepare` with the same `spec`.
        spec: The task.
        device: `auto`, `cpu`, `cuda`, `cuda:1`…
        overlap: Overrides the task's.
        batch_size: Windows at once; default 1 on CPU, 2 on CUDA.
        progress: Told the share of windows done; never falls.
        cancelled: Asked before every window.
        timings: Filled with the seconds of `network` and `finalise` (stitching, interpolation, labels).

    Returns:
        Label map on `prepared.source` exactly, of `label_maps.label_type`. Outside the body 0.

    Raises:
        CancelledError: If `cancelled` answered true.
        InvalidInputError: If the overlap or the device makes no sense.
        OutOfMemoryError: If every rung failed; memory has been released and the next call may well succeed.
    """
    target = resolve_device(device)
    reporter = _Reporter(progress, cancelled)
    started = time.perf_counter()
    wanted = spec.overlap if overlap is None else overlap
    multiple = size_multiple(spec)
    shape = (prepared.axes[0].size, prepared.axes[1].size, prepared.axes[2].size)
    rungs = _rungs(target, batch_size, spec.roi_voxels, multiple)
    training = network.training
    network.eval()
    try:
        for rung in rungs:
            plan = plan_windows(
                shape, roi_voxels=rung.roi_voxels, overlap=wanted, multiple=multiple, dimension=spec.dimension
            )
            label = _attempt(network, prepared, plan, rung, spec, reporter)
            if label is not None:
                tidy(label, spec)
                if timings is not None:
                    timings["network"] = round(reporter.network_s, 3)
                    timings["finalise"] = round(time.perf_counter() - started - reporter.network_s, 3)
                return Volume(label, prepared.source)
            _release_memory()
    finally:
        network.train(training)
    raise OutOfMemoryError(
        f"Inference must fit into memory, got none of {len(rungs)} attempts through for {shape} voxels and "
        f"{spec.out_channels} classes; the last used windows of {plan.window} voxels and a slab of "
        f"{_slab_bytes(plan, spec.out_channels) / 2**30:.1f} GiB. Free memory, or give the task a smaller roi_voxels."
    )


@dataclass(frozen=True)
class _Rung:
    """One way to run: the first is the fastest, each next needs less memory."""

    device: torch.device
    batch_size: int
    stitching: torch.device
    roi_voxels: Voxels


def _rungs(device: torch.device, batch_size: int | None, roi_voxels: Voxels, multiple: int) -> list[_Rung]:
    cpu = torch.device("cpu")
    batch = batch_size or (2 if device.type == "cuda" else 1)
    x, y, z = (round_up(max(1, size // 2), multiple) for size in roi_voxels)
    rungs = [
        _Rung(device, batch, device, roi_voxels),
        _Rung(device, 1, device, roi_voxels),
        _Rung(device, 1, cpu, roi_voxels),
        _Rung(device, 1, cpu, (x, y, z)),
    ]
    return list(dict.fromkeys(rungs))


class _Reporter:
    """Progress that never falls, although an attempt may start again; the question whether to stop; network time."""

    def __init__(self, progress: Progress | None, cancelled: Cancelled | None) -> None:
        self._progress = progress
        self._cancelled = cancelled
        self._furthest = 0.0
        self.network_s = 0.0

    def step(self, done: int, count: int) -> None:
        if self._cancelled is not None and self._cancelled():
            raise CancelledError(f"Inference was cancelled after {done} of {count} windows.")
        self._furthest = max(self._furthest, done / count)
        if self._progress is not None:
            self._progress(self._furthest, f"window {done} of {count}")


def _attempt(
    network: nn.Module, prepared: Prepared, plan: WindowPlan, rung: _Rung, spec: TaskSpec, reporter: _Reporter
) -> AnyArray | None:
    """One rung; None when memory ran out. The error is not kept: its traceback holds the tensors that have to go."""
    try:
        return _run(network, prepared, plan, rung, spec=spec, reporter=reporter)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
    return None


def _run(
    network: nn.Module, prepared: Prepared, plan: WindowPlan, rung: _Rung, *, spec: TaskSpec, reporter: _Reporter
) -> AnyArray:
    network.to(rung.device).to(memory_format=memory_layout(spec.dimension))
    label = np.zeros(prepared.source.shape, dtype=label_type(spec.labels))
    slab = plan.slab_axis()
    turn = (slab, *(axis for axis in range(3) if axis != slab))
    stitcher = SlabStitcher(
        (prepared.axes[turn[0]], prepared.axes[turn[1]], prepared.axes[turn[2]]),
        # Views: what is written in canonical axes, slab axis first, lands in the source's own order.
        np.transpose(reorient(Volume(label, prepared.source), prepared.order, prepared.flips).array, turn),
        classes=spec.out_channels,
        depth=plan.window[slab],
        device=rung.stitching,
        dtype=torch.float32 if _slab_bytes(plan, spec.out_channels) <= _SLAB_LIMIT_BYTES else torch.float16,
        decide=decision_of(spec),
    )
    weights = [torch.from_numpy(axis.weights()).to(rung.stitching) for axis in plan.axes]
    padded = _pad(prepared.tensor, plan.padded_shape)
    starts = plan.axes[slab].starts
    done = 0
    for layer, windows in plan.layers(slab):
        for first in range(0, len(windows), rung.batch_size):
            reporter.step(done, plan.count)
            batch = windows[first : first + rung.batch_size]
            places = [_Place.of(plan, window) for window in batch]
            before = time.perf_counter()
            scores_of_all = _forward(network, padded, places, rung.device, spec)
            reporter.network_s += time.perf_counter() - before
            for place, scores in zip(places, scores_of_all, strict=True):
                place.add_to(stitcher, scores, weights, turn)
            done += len(batch)
        stitcher.finish_below(starts[layer + 1] if layer + 1 < len(starts) else plan.axes[slab].size)
    reporter.step(done, plan.count)
    return label


@dataclass(frozen=True)
class _Place:
    """One window: its ordinals along the axes, its first voxel, and how much of it is volume, not padding."""

    ordinals: tuple[int, int, int]
    starts: tuple[int, int, int]
    window: Voxels
    inside: Voxels

    @classmethod
    def of(cls, plan: WindowPlan, ordinals: tuple[int, int, int]) -> _Place:
        x, y, z = (axis.starts[at] for axis, at in zip(plan.axes, ordinals, strict=True))
        i, j, k = (min(axis.size, axis.window) for axis in plan.axes)
        return cls(ordinals, (x, y, z), plan.window, (i, j, k))

    def cut(self, volume: Tensor) -> Tensor:
        x, y, z = (slice(start, start + size) for start, size in zip(self.starts, self.window, strict=True))
        return volume[..., x, y, z]

    def add_to(self, stitcher: SlabStitcher, scores: Tensor, weights: list[Tensor], turn: tuple[int, ...]) -> None:
        """Add `(classes, x, y, z)` scores; `turn` brings the axes into the stitcher's order."""
        scores = scores[(slice(None), *(slice(size) for size in self.inside))]
        a, b, c = (weights[axis][self.ordinals[axis], : self.inside[axis]] for axis in turn)
        stitcher.add(
            scores.permute(0, *(axis + 1 for axis in turn)),
            a[:, None, None] * b[None, :, None] * c[None, None, :],
            (self.starts[turn[0]], self.starts[turn[1]], self.starts[turn[2]]),
        )


def _forward(network: nn.Module, volume: Tensor, places: list[_Place], device: torch.device, spec: TaskSpec) -> Tensor:
    """`(B, classes, x, y, z)` scores of some windows."""
    batch = torch.stack([place.cut(volume) for place in places])
    with torch.inference_mode(), short_numbers(device):
        scores = scores_of(network, batch.to(device), spec=spec)
    if device.type == "cuda":
        torch.cuda.synchronize(device)  # or the time of the network would be counted as stitching
    return scores


def _pad(volume: Tensor, shape: Voxels) -> Tensor:
    """Repeat the last voxels of axes that are shorter than the window."""
    missing = [wanted - size for wanted, size in zip(shape, volume.shape[1:], strict=True)]
    if not any(missing):
        return volume
    return functional.pad(volume, (0, missing[2], 0, missing[1], 0, missing[0]), mode="replicate")


def _slab_bytes(plan: WindowPlan, classes: int) -> int:
    """What the slab takes with float32 scores."""
    slab = plan.axes[plan.slab_axis()]
    return 4 * classes * (min(slab.window + 1, slab.size)) * math.prod(axis.size for axis in plan.axes) // slab.size


def _release_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
