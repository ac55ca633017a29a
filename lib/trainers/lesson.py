"""The interface of a kind of training: what the driver in `training` asks of it, whatever is learnt."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import CancelledError
from ..models.gate import Wording
from ..models.plausibility import Plausibility
from ..models.scores import Score
from ..task import TaskSpec
from .cases import LabelledImage
from .loss import PartialLoss
from .patches import WHOLE, Batch

NOT_CALIBRATED: Mapping[str, Any] = MappingProxyType({})

Progress = Callable[[float, str], None]
Cancelled = Callable[[], bool]
C = TypeVar("C", bound=LabelledImage)
C_in = TypeVar("C_in", bound=LabelledImage, contravariant=True)
I = TypeVar("I")  # noqa: E741 — an item: one prepared case
I_in = TypeVar("I_in", contravariant=True)
I_out = TypeVar("I_out", covariant=True)


def stop_if(cancelled: Cancelled) -> None:
    """Between units of work.

    Raises:
        CancelledError: If `cancelled` answers true.
    """
    if cancelled():
        raise CancelledError("The training was cancelled.")


class Cache(Protocol[C_in, I_out]):
    """Prepared cases on disk."""

    def get(self, case: C_in) -> I_out:
        """The prepared case, made now if it is not there."""
        ...

    def prune(self, keep: Iterable[C_in]) -> None:
        """Delete all others."""
        ...


class Sampler(Protocol):
    """Where batches come from."""

    def draw(self, batch_size: int, *, random: np.random.Generator, part: slice = WHOLE) -> Batch:
        """The next batch; one seed gives one sequence of batches.

        Args:
            batch_size: Of the whole batch.
            random: Decides everything, and is left in the same state whatever the part.
            part: Which of the batch to read and return.
        """
        ...


class Measured(Protocol):
    """How well a model does on labelled cases."""

    def means(self) -> dict[str, dict[str, float | None]]:
        """Label → metric → value, None where undefined."""
        ...

    def intervals(self) -> dict[str, dict[str, dict[str, float | int | None]]]:
        """Label → metric → `mean`, `low`, `high` (95 %, bootstrap over patients) and `n` cases."""
        ...

    def scores(self) -> dict[str, dict[str, Score]]:
        """Image id → label → score, as the promotion gate takes it."""
        ...

    def patients(self) -> dict[str, str]:
        """Image id → patient."""
        ...

    def to_json(self, *, model_version: str | None, per_case: bool = False) -> dict[str, Any]:
        """All of it for a program; no patients."""
        ...


class Change(Protocol):
    """Random changes of a batch: `augmentation.augment` or its like."""

    def __call__(
        self, image: Tensor, label: Tensor, *, spec: TaskSpec, random: torch.Generator, strength: float
    ) -> tuple[Tensor, Tensor]:
        """Both, same shapes and types."""
        ...


class Examiner(Protocol[C_in, I_in]):
    """Measures networks of one task on one device."""

    @property
    def spec(self) -> TaskSpec:
        """The task."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it runs."""
        ...

    @property
    def wording(self) -> Wording:
        """How the gate speaks of what is measured."""
        ...

    def evaluate(
        self,
        network: nn.Module,
        cases: Sequence[C_in],
        progress: Progress,
        *,
        calibration: Mapping[str, Any] = NOT_CALIBRATED,
    ) -> tuple[Measured, Any]:
        """All metrics on the cases themselves, and what `Lesson.picture` shows of them.

        Args:
            network: The task's.
            cases: At least one.
            progress: Told after each case.
            calibration: `ModelVersion.calibration` of the version.
        """
        ...

    def learnt(self, network: nn.Module, training: Sequence[I_in]) -> dict[str, dict[str, Score]]:
        """Scores on (some of) the training cases: whether anything could be learnt at all."""
        ...


class Lesson(Examiner[C_in, I], Protocol[C_in, I]):
    """All that a kind brings to a training."""

    @property
    def change(self) -> Change:
        """How batches are changed at random."""
        ...

    def cache(self, folder: Path) -> Cache[C_in, I]:
        """Where prepared cases are kept."""
        ...

    def begin(self, network: nn.Module, training: Sequence[I], before: Iterable[str] | None) -> PartialLoss:
        """Make a network ready for its first step, in place, and give the loss.

        Args:
            network: With random weights or those of an earlier version.
            training: The prepared training cases.
            before: Labels the earlier version knew; None for random weights.
        """
        ...

    def sampler(self, training: Sequence[I], new: Collection[str] = ()) -> Sampler:
        """Where batches come from.

        Args:
            training: The prepared training cases.
            new: Ids of the images among them that the version a training starts from has not learned.
        """
        ...

    def pool_sampler(self, pool: Sequence[I], training: Sequence[I]) -> Sampler:
        """Where batches without labels come from, of the same size.

        Args:
            pool: Prepared images, at least one; only of kinds that `options.check_options` lets pass.
            training: The prepared training cases.
        """
        ...

    def validate(self, network: nn.Module, items: Sequence[I]) -> dict[str, float]:
        """Label → quality (the wording's metric), nan where undefined: quick enough for every epoch."""
        ...

    def calibration(self, network: nn.Module, validation: Sequence[I]) -> Mapping[str, Any]:
        """What is stored as `ModelVersion.calibration`; empty where there is nothing to calibrate."""
        ...

    def plausibility(self, training: Sequence[I]) -> Plausibility | None:
        """What the labels learned from usually look like; None of a kind that draws nothing, or of too few labels."""
        ...

    def picture(self, path: Path, case: C_in, before: Any, after: Any) -> None:
        """Show the served version (None if there is none) beside the candidate and the truth, as a PNG."""
        ...
