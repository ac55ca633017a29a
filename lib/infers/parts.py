"""What a network says about an image, part by part, for those who need more than the label map."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from ..errors import CancelledError
from ..networks.devices import resolve_device, short_numbers
from ..networks.factory import size_multiple
from ..preprocessing import Prepared
from ..task import TaskSpec
from .scores import scores_of
from .windows import plan_windows


def logits_of_parts(
    network: nn.Module,
    prepared: Prepared,
    *,
    spec: TaskSpec,
    device: str | torch.device = "auto",
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Tensor]:
    """Logits of a prepared image, each voxel once: windows do not overlap but where the last one has to.

    Cheaper and coarser than `sliding_window.predict`: nothing is averaged, and nothing brought to the image's grid.

    Args:
        network: In evaluation mode; moved to `device`.
        prepared: From `preprocessing.prepare` with the same `spec`.
        spec: The task.
        device: As in `predict`.
        cancelled: Asked before every window.

    Yields:
        `(classes, x, y, z)` on the device. Labels that overlap come one after the other, each as two classes whose
        softmax is the label's sigmoid: background and label.

    Raises:
        CancelledError: If `cancelled` answered true.
    """
    target = resolve_device(device)
    network.to(target)
    size = prepared.tensor.shape[1:]
    plan = plan_windows(
        (size[0], size[1], size[2]),
        roi_voxels=spec.roi_voxels,
        overlap=0.0,
        multiple=size_multiple(spec),
        dimension=spec.dimension,
    )
    missing = [wanted - there for wanted, there in zip(plan.padded_shape, size, strict=True)]
    padding = (0, missing[2], 0, missing[1], 0, missing[0])
    volume = nn.functional.pad(prepared.tensor, padding, mode="replicate") if any(missing) else prepared.tensor
    for _, windows in plan.layers(0):
        for ordinals in windows:
            if cancelled():
                raise CancelledError("Scoring was cancelled.")
            box, fresh = [], []
            for axis, at in zip(plan.axes, ordinals, strict=True):
                start = axis.starts[at]
                before = axis.starts[at - 1] + axis.window if at else start
                box.append(slice(start, start + axis.window))
                fresh.append(slice(max(before - start, 0), min(axis.window, axis.size - start)))
            with torch.inference_mode(), short_numbers(target):
                scores = scores_of(network, volume[:, box[0], box[1], box[2]][None].to(target), spec=spec)
            logits = scores[0][:, fresh[0], fresh[1], fresh[2]]
            yield from _one_by_one(logits) if spec.labels.overlapping else (logits,)


def _one_by_one(logits: Tensor) -> Iterator[Tensor]:
    return (torch.stack([torch.zeros_like(label), label]) for label in logits)
