"""One look of a network at an image: a score, an embedding, and which structures it sees."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..geometry import Volume
from ..models.drawings import measure
from ..networks.devices import resolve_device
from ..networks.factory import feature_layer
from ..preprocessing import Prepared
from ..task import TaskSpec
from .parts import as_classes, logits_of_parts
from .sampling import asking
from .sliding_window import predict

Score = Callable[[Iterable[Tensor]], float]

_DECISIVE_VOXELS = 32
_PICTURE = {2: (12, 12, 1), 3: (6, 6, 4)}
_BINS = 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What is known of an image after one pass.

    Attributes:
        score: What the scoring method made of it; None if none was asked for.
        embedding: `(n,)` float32, comparable among looks of one model version.
        presence: Label name → mean probability of the voxels that look most like it, 0–1; empty without a model.
    """

    score: float | None
    embedding: NDArray[np.float32]
    presence: Mapping[str, float]


def look(
    network: nn.Module,
    prepared: Prepared,
    *,
    spec: TaskSpec,
    score: Score | None = None,
    sampling: str = "once",
    others: Sequence[nn.Module] = (),
    device: str | torch.device = "auto",
    cancelled: Callable[[], bool] = lambda: False,
) -> Look:
    """Let a network look at an image once.

    Args:
        network: In evaluation mode; moved to `device`.
        prepared: From `preprocessing.prepare` with the same `spec`.
        spec: The task.
        score: A scoring method's. Of a network that scores whole images it is given each finding as one voxel.
        sampling: The method's.
        others: Networks that are asked beside it where the method wants several; the embedding is the first one's.
        device: As in `logits_of_parts`.
        cancelled: Asked before every window.

    Raises:
        CancelledError: If `cancelled` answered true.
        InvalidInputError: If the network cannot be asked as the method wants.
    """
    if spec.of_whole_images:
        return _look_at_whole(
            network, prepared, spec=spec, score=score, sampling=sampling, others=others, device=resolve_device(device)
        )
    if sampling == "pieces":
        seen_once = look(network, prepared, spec=spec, device=device, cancelled=cancelled)
        drawn = predict(network, prepared, spec=_kept_whole(spec), device=device, cancelled=cancelled)
        return replace(seen_once, score=score([_pieces(drawn, spec)]) if score is not None else None)
    seen = _Presence(spec)
    with _pooled(network, spec) as pooled:
        parts = logits_of_parts(
            network, prepared, spec=spec, sampling=sampling, others=others, device=device, cancelled=cancelled
        )  # fmt: skip
        classes = as_classes(seen.watch(parts), spec)
        value = score(classes) if score is not None else None
        for _ in classes:  # what a method left over, or all of it
            pass
    embedding = pooled.mean()
    return Look(
        score=value,
        embedding=embed_plainly(prepared, spec) if embedding is None else embedding,
        presence=seen.by_name(),
    )


def _look_at_whole(
    network: nn.Module,
    prepared: Prepared,
    *,
    spec: TaskSpec,
    score: Score | None,
    sampling: str,
    others: Sequence[nn.Module],
    device: torch.device,
) -> Look:
    """A network that scores whole images sees each finding with a probability, not calibrated."""
    for one in (network, *others):
        one.to(device)
    with (
        torch.inference_mode(),
        _pooled(network, spec) as pooled,
        asking(network, sampling, spec=spec, others=others) as ask,
    ):
        answers = ask(prepared.tensor[None].to(device)).float()
    shares = answers.sigmoid().mean(dim=0).flatten().tolist()
    said = answers[0] if sampling == "once" else answers
    embedding = pooled.mean()
    return Look(
        score=score(as_classes([said], spec)) if score is not None else None,
        embedding=embed_plainly(prepared, spec) if embedding is None else embedding,
        presence=dict(zip(spec.labels.names, shares, strict=True)),
    )


def _kept_whole(spec: TaskSpec) -> TaskSpec:
    """The task without the rule that takes islands away."""
    return replace(spec, smallest_piece=0.0)


def _pieces(drawn: Volume, spec: TaskSpec) -> Tensor:
    """`(structures, 2)` volumes in ml: of each, and of what of it lies outside its largest piece."""
    found = measure(drawn, labels=spec.labels, names=spec.labels.names, dimension=spec.dimension)
    return torch.from_numpy(np.stack([found.volumes_ml, found.volumes_ml * found.apart], axis=1))


def embed_plainly(prepared: Prepared, spec: TaskSpec) -> NDArray[np.float32]:
    """Features of an image without a model: a coarse picture, a histogram of intensities, and how rough it is.

    Returns:
        `(n,)` float32; `n` depends on the task's dimension alone.
    """
    image = prepared.tensor.float()
    picture = nn.functional.adaptive_avg_pool3d(image, _PICTURE[spec.dimension]).flatten()
    histogram = torch.histc(image, bins=_BINS, min=-1.0, max=1.0) / image.numel()
    rough = [image.diff(dim=axis).abs().mean() if image.shape[axis] > 1 else image.new_zeros(()) for axis in (1, 2, 3)]
    features: NDArray[np.float32] = torch.cat([picture, histogram, torch.stack(rough)]).numpy()
    return features


class _Pooled:
    """The mean of a layer's output over everything that passes it."""

    def __init__(self) -> None:
        self._sum: Tensor | None = None
        self._count = 0

    def __call__(self, _layer: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        features = output.detach().float().transpose(0, 1).flatten(1)
        total = features.sum(dim=1).cpu()
        self._sum = total if self._sum is None else self._sum + total
        self._count += features.shape[1]

    def mean(self) -> NDArray[np.float32] | None:
        """`(features,)`; None if nothing has passed."""
        return None if self._sum is None else (self._sum / self._count).numpy()


@contextmanager
def _pooled(network: nn.Module, spec: TaskSpec) -> Iterator[_Pooled]:
    pooled, layer = _Pooled(), feature_layer(network, spec)
    handle = layer.register_forward_hook(pooled) if layer is not None else None
    try:
        yield pooled
    finally:
        if handle is not None:
            handle.remove()


class _Presence:
    """How probable each label is where it is most probable."""

    def __init__(self, spec: TaskSpec) -> None:
        self._spec = spec
        self._best = torch.zeros(len(spec.labels), _DECISIVE_VOXELS)

    def watch(self, parts: Iterable[Tensor]) -> Iterator[Tensor]:
        """Pass parts on, unchanged."""
        for logits in parts:
            with torch.inference_mode():
                channels = logits.float()
                shares = channels.sigmoid() if self._spec.labels.overlapping else channels.softmax(dim=-4)
                shares = shares.mean(dim=0) if shares.ndim == 5 else shares
                labels = shares.flatten(1)[-len(self._spec.labels) :].cpu()
                both = torch.cat([self._best, labels], dim=1)
                self._best = both.topk(_DECISIVE_VOXELS, dim=1).values
            yield logits

    def by_name(self) -> dict[str, float]:
        """Label name → 0–1."""
        return dict(zip(self._spec.labels.names, self._best.mean(dim=1).tolist(), strict=True))
