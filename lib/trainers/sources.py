"""Which of the labelled images a training learns from and is measured on, and what the model's record says of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic

from ..errors import InvalidInputError
from ..models.version import ModelVersion
from ..task import TaskSpec, TrainerOptions
from .cases import Case, LabelledImage
from .lesson import C, Cache, Cancelled, I, Progress, stop_if
from .pool import usable
from .splits import Fractions, Part, SplitStore, parts_of
from .warm_start import trained_labels

_log = logging.getLogger(__name__)

_MEASURED_FIRST: tuple[Part, ...] = ("holdout", "validation", "train")


@dataclass(frozen=True, kw_only=True)
class Items(Generic[I]):
    """Prepared cases.

    Attributes:
        training: To learn from; an image once for each reading.
        validation: To compare epochs by; empty where no patient is left for it.
        pool: Without labels.
    """

    training: Sequence[I]
    validation: Sequence[I]
    pool: Sequence[I]

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
        pool: Without labels, to learn from as well.
    """

    train: Sequence[C]
    validation: Sequence[C]
    holdout: Sequence[C]
    pool: Sequence[C]

    @property
    def measured_on(self) -> Part:
        """The part on which the candidate is measured: the holdout, where there is one."""
        return next(part for part in _MEASURED_FIRST if self.of(part))

    def of(self, part: Part) -> Sequence[C]:
        """The cases of a part."""
        found: Sequence[C] = getattr(self, part)
        return found

    def prepare(self, cache: Cache[C, I], progress: Progress, cancelled: Cancelled) -> Items[I]:
        """Prepare what is trained on and validated on, with and without labels; all else leaves the cache.

        Raises:
            CancelledError: If `cancelled` answers true.
        """
        train = [reading for case in self.train for reading in case.every_reading()]
        wanted = [*train, *self.validation, *self.pool]
        done = 0

        def get(case: C) -> I:
            nonlocal done
            stop_if(cancelled)
            item, done = cache.get(case), done + 1
            progress(done / len(wanted), f"prepared {done} of {len(wanted)} images")
            return item

        training, validation = [get(case) for case in train], [get(case) for case in self.validation]
        pool = []
        for case in self.pool:
            try:
                pool.append(get(case))
            except InvalidInputError as error:  # nobody looked at it yet, and there are others
                _log.warning("An image without a label cannot be learned from and is left out: %s", error)
        cache.prune(wanted)
        return Items(training=training, validation=validation, pool=pool)

    def listed(self) -> dict[str, Any]:
        """Image ids and revisions, never patients: `cases`, with their `part`, and `unlabelled` if there are any."""
        parts: tuple[Part, ...] = ("train", "validation", "holdout")
        cases = [{**_named(case), "part": part} for part in parts for case in self.of(part)]
        return {"cases": cases} | ({"unlabelled": [_named(case) for case in self.pool]} if self.pool else {})

    def trained_labels(self, spec: TaskSpec, parent: ModelVersion | None) -> tuple[str, ...]:
        """Labels that the candidate, or a version it started from, was trained on."""
        annotated: set[str] = set() if parent is None else set(trained_labels(parent))
        for case in self.train:
            annotated |= set(spec.labels.names) if case.annotated is None else case.annotated
        return tuple(name for name in spec.labels.names if name in annotated)


def split(
    cases: Sequence[C], *, spec: TaskSpec, splits: SplitStore, options: TrainerOptions, pool: Sequence[Case] = ()
) -> Sources[Any]:
    """Put every case into the part of its patient, which is kept; new patients are added.

    Args:
        cases: With labels.
        spec: The task.
        splits: Which patient is in which part.
        options: For shares, seed, and whether the pool counts.
        pool: Images without labels; see `pool.usable`.

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
    labelled = {case.image_id for case in cases}
    if not options.unlabelled_weight:
        return Sources(**parts, pool=[])
    # All patients that ever got a part count: labels of some may not be among these cases.
    return Sources(**parts, pool=usable(pool, labelled=labelled, parts=splits.get(spec.name), seed=options.seed))


def _named(case: LabelledImage) -> dict[str, Any]:
    readings = [reading.revision for reading in case.readings]
    return {"image_id": case.image_id, "revision": case.revision} | ({"readings": readings} if readings else {})
