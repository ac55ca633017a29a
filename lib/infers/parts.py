"""What a network says about an image, part by part, for those who need more than the label map."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import torch
from torch import Tensor, nn

from ..errors import CancelledError
from ..networks.devices import resolve_device, short_numbers
from ..networks.factory import size_multiple
from ..preprocessing import Prepared
from ..task import TaskSpec
from .sampling import asking
from .windows import plan_windows


def logits_of_parts(
    network: nn.Module,
    prepared: Prepared,
    *,
    spec: TaskSpec,
    sampling: str = "once",
    others: Sequence[nn.Module] = (),
    device: str | torch.device = "auto",
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Tensor]:
    """Logits of a prepared image, each voxel once: windows do not overlap but where the last one has to.

    Cheaper and coarser than `sliding_window.predict`: nothing is averaged, and nothing brought to the image's grid.

    Args:
        network: In evaluation mode; moved to `device`.
        prepared: From `preprocessing.prepare` with the same `spec`.
        spec: The task.
        sampling: How the network is asked, see `sampling.asking`.
        others: Networks that are asked beside it, likewise; moved to `device`.
        device: As in `predict`.
        cancelled: Asked before every window.

    Yields:
        `(channels, x, y, z)` on the device; `(samples, channels, x, y, z)` of a network that is asked more than once.

    Raises:
        CancelledError: If `cancelled` answered true.
        InvalidInputError: If the network cannot be asked so.
    """
    target = resolve_device(device)
    for one in (network, *others):
        one.to(target)
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
    with asking(network, sampling, spec=spec, others=others) as ask:
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
                    scores = ask(volume[:, box[0], box[1], box[2]][None].to(target))
                logits = scores[:, :, fresh[0], fresh[1], fresh[2]]
                yield logits[0] if sampling == "once" else logits


def as_classes(parts: Iterable[Tensor], spec: TaskSpec) -> Iterator[Tensor]:
    """Parts as a scoring method takes them: class 0 is the background.

    Labels that overlap, and findings, come one after the other, each as two classes whose softmax is the label's
    sigmoid: background and label.
    """
    for logits in parts:
        if not (spec.labels.overlapping or spec.of_whole_images):
            yield logits
            continue
        for label in logits.unbind(dim=-4):
            yield torch.stack([torch.zeros_like(label), label], dim=-4)
