"""Which of the labelled images a training learns from and is measured on, and what the model's record says of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic

from ..errors import InvalidInputError
from ..models.version import ModelVersion
from ..task import TaskSpec, TrainerOptions
from .lesson import C, Cache, Cancelled, I, Progress, stop_if
from .splits import Fractions, Part, SplitStore, parts_of
from .warm_start import trained_labels

_MEASURED_FIRST: tuple[Part, ...] = ("holdout", "validation", "train")


@dataclass(frozen=True, kw_only=True)
class Items(Generic[I]):
    """Prepared cases.

    Attributes:
        training: To learn from.
        validation: To compare epochs by; empty where no patient is left for it.
    """

    training: Sequence[I]
    validation: Sequence[I]

    @property
    def compared(self) -> Sequence[I]:
        """What epochs are compared on: training cases where there are no others."""
        return self.validation or self.training


@dataclass(frozen=True, kw_only=True)
class Sources(Generic[C]):
    """The cases of one training, by their part of the split.

    Attributes:
        train: To learn from, ordered by id, as all are.
        validation: To choose the best epoch by.
        holdout: For the promotion gate.
    """

    train: Sequence[C]
    validation: Sequence[C]
    holdout: Sequence[C]

    @property
    def measured_on(self) -> Part:
        """The part on which the candidate is measured: the holdout, where there is one."""
        return next(part for part in _MEASURED_FIRST if self.of(part))

    def of(self, part: Part) -> Sequence[C]:
        """The cases of a part."""
        found: Sequence[C] = getattr(self, part)
        return found

    def prepare(self, cache: Cache[C, I], progress: Progress, cancelled: Cancelled) -> Items[I]:
        """Prepare what is trained on and validated on; all else leaves the cache.

        Raises:
            CancelledError: If `cancelled` answers true.
        """
        wanted = [*self.train, *self.validation]
        items: list[I] = []
        for position, case in enumerate(wanted):
            stop_if(cancelled)
            items.append(cache.get(case))
            progress((position + 1) / len(wanted), f"prepared {position + 1} of {len(wanted)} images")
        cache.prune(wanted)
        return Items(training=items[: len(self.train)], validation=items[len(self.train) :])

    def listed(self) -> list[dict[str, Any]]:
        """Image ids, revisions and parts; never patients."""
        return [
            {"image_id": case.image_id, "revision": case.revision, "part": part}
            for part in ("train", "validation", "holdout")
            for case in self.of(part)
        ]

    def trained_labels(self, spec: TaskSpec, parent: ModelVersion | None) -> tuple[str, ...]:
        """Labels that the candidate, or a version it started from, was trained on."""
        annotated: set[str] = set() if parent is None else set(trained_labels(parent))
        for case in self.train:
            annotated |= set(spec.labels.names) if case.annotated is None else case.annotated
        return tuple(name for name in spec.labels.names if name in annotated)


def split(cases: Sequence[C], *, spec: TaskSpec, splits: SplitStore, options: TrainerOptions) -> Sources[C]:
    """Put every case into the part of its patient, which is kept; new patients are added.

    Raises:
        InvalidInputError: If no case may be trained on.
    """
    known = parts_of(
        (case.patient_id for case in cases),
        task=spec.name,
        store=splits,
        fractions=Fractions(validation=options.validation_fraction, holdout=options.holdout_fraction),
        seed=options.seed,
    )
    parts: dict[Part, list[C]] = {"train": [], "validation": [], "holdout": []}
    for case in sorted(cases, key=lambda case: case.image_id):
        parts[known[case.patient_id]].append(case)
    if not parts["train"]:
        raise InvalidInputError(
            f"At least one labelled image must belong to a training patient, got {len(cases)} image(s), all "
            f"of validation or holdout patients. Label an image of another patient."
        )
    return Sources(**parts)
