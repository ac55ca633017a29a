"""The lesson of a classification: whole images, the findings somebody looked for, and AUROC."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import InvalidInputError
from ..models.calibration import Calibration, fit_finding, sigmoid
from ..models.gate import TELLING, Wording
from ..models.ranking import Numbers, Truths, auroc, brier
from ..models.scores import Score
from ..networks.whole_image import image_logits
from ..preprocessing import prepare
from ..task import TaskSpec, TrainerOptions
from .augmentation import augment_image
from .cache import CachedVolume, VolumeCache
from .cases import FindingsCase
from .findings_evaluation import FindingsEvaluation, FindingsResult
from .findings_loss import findings_loss
from .lesson import NOT_CALIBRATED, Cancelled, Change, Progress, Sampler, stop_if
from .loss import PartialLoss
from .options import no_pool
from .patches import WHOLE, Batch
from .roc_picture import write_roc

_TIE_BREAK = 1e-3
_READ_AT_ONCE = 64


@dataclass(frozen=True, eq=False)
class CachedFindings:
    """One prepared image and its findings.

    Attributes:
        volume: The image; its label map is empty, and no voxels of it are kept.
        case: Where it came from.
    """

    volume: CachedVolume
    case: FindingsCase


class FindingsCache:
    """Prepared images of one task; see `cache.VolumeCache`.

    Args:
        folder: Any folder; it may be deleted while no training runs.
        spec: Decides what is done to the images.
    """

    def __init__(self, folder: Path, spec: TaskSpec) -> None:
        self._volumes = VolumeCache(folder, spec)

    def get(self, case: FindingsCase) -> CachedFindings:
        """The prepared image of a case, made now if it is not there."""
        volume = self._volumes.get(case.with_empty_label())
        return CachedFindings(dataclasses.replace(volume, voxels={}), case)

    def prune(self, keep: Iterable[FindingsCase]) -> None:
        """Delete the images of all other cases."""
        self._volumes.prune([case.with_empty_label() for case in keep])


class FindingsSampler:
    """Draws images so that every finding, and each answer to it, is met equally often, however rare it is.

    Args:
        items: To draw from; all of one size.
        spec: For its labels.
        mixup: Each image is mixed with another of its batch, by a share from a beta distribution with this parameter
            (Zhang et al., arXiv:1710.09412); what was looked for in one of the two alone then teaches nothing. 0: none.

    Raises:
        InvalidInputError: If the images are of several sizes, or nobody looked for any finding.
    """

    def __init__(self, items: Sequence[CachedFindings], *, spec: TaskSpec, mixup: float = 0.0) -> None:
        shapes = {item.volume.grid.shape for item in items}
        if len(shapes) > 1:
            raise InvalidInputError(
                f"Images of '{spec.name}' must be prepared to one size, got {len(shapes)}. Declare matrix_voxels."
            )
        self._mixup = mixup
        self._volumes = [item.volume for item in items]
        self._truths = [truths_of(item.case, spec) for item in items]
        self._having: dict[str, list[list[int]]] = {}
        for position, item in enumerate(items):
            for name, there in item.case.findings.items():
                self._having.setdefault(name, [[], []])[there].append(position)
        if not self._having:
            raise InvalidInputError(f"Training '{spec.name}' must have findings, got none. Fill in the table.")
        self._names = sorted(self._having)

    def draw(self, batch_size: int, *, random: np.random.Generator, part: slice = WHOLE) -> Batch:
        """The next batch.

        Args:
            batch_size: Images in it.
            random: Decides everything; one seed gives one sequence of batches.
            part: Which images of it to read and return; all are chosen.
        """
        positions = [self._position(random) for _ in range(batch_size)]
        if not self._mixup:
            return self._batch(positions[part])
        partners = [positions[other] for other in random.permutation(batch_size)]
        shares = torch.from_numpy(random.beta(self._mixup, self._mixup, batch_size)).float()[part]
        return _mixed(self._batch(positions[part]), self._batch(partners[part]), shares)

    def _batch(self, positions: Sequence[int]) -> Batch:
        values, asked = zip(*(self._truths[position] for position in positions), strict=True)
        return Batch(
            image=torch.stack([self._volumes[position].tensor for position in positions]),
            label=torch.stack(values),
            annotated=torch.stack(asked),
        )

    def _position(self, random: np.random.Generator) -> int:
        answers = [answer for answer in self._having[str(random.choice(self._names))] if answer]
        return int(random.choice(answers[int(random.integers(len(answers)))]))


def _mixed(one: Batch, other: Batch, shares: Tensor) -> Batch:
    """Two batches as one; `shares` is what each image of the first has in the mixture."""

    def mix(first: Tensor, second: Tensor) -> Tensor:
        share = shares.view(-1, *(1,) * (first.ndim - 1))
        return share * first + (1 - share) * second

    return Batch(
        image=mix(one.image, other.image),
        label=mix(one.label, other.label),
        annotated=one.annotated & other.annotated,
    )


@dataclass(frozen=True, kw_only=True)
class ClassificationLesson:
    """See `lesson.Lesson`.

    Attributes:
        spec: The task.
        options: Of the training.
        device: Where it runs.
        cancelled: Asked before each image.
    """

    spec: TaskSpec
    options: TrainerOptions
    device: torch.device
    cancelled: Cancelled
    wording: ClassVar[Wording] = TELLING
    change: ClassVar[Change] = staticmethod(augment_image)

    def cache(self, folder: Path) -> FindingsCache:
        """Prepared images."""
        return FindingsCache(folder, self.spec)

    def begin(
        self, network: nn.Module, training: Sequence[CachedFindings], before: Iterable[str] | None
    ) -> PartialLoss:
        """Nothing to make ready: a finding that nobody looked for gets no gradient."""
        return findings_loss(self.options, [item.case for item in training], self.spec).to(self.device)

    def sampler(self, training: Sequence[CachedFindings], new: Collection[str] = ()) -> Sampler:
        """Whole images, balanced by finding alone: an epoch meets most of them."""
        return FindingsSampler(training, spec=self.spec, mixup=self.options.mixup)

    def pool_sampler(self, pool: Sequence[CachedFindings], training: Sequence[CachedFindings]) -> Sampler:
        """None there is: images without findings are not learned from.

        Raises:
            InvalidInputError: Always.
        """
        raise no_pool(self.spec)

    def validate(self, network: nn.Module, items: Sequence[CachedFindings]) -> dict[str, float]:
        """Finding → AUROC; a thousandth of the Brier score decides between epochs that rank alike."""
        found = {}
        for name, (logits, truths) in self._by_finding(network, items).items():
            found[name] = auroc(logits, truths) - _TIE_BREAK * brier(sigmoid(logits), truths)
        return found

    def learnt(self, network: nn.Module, training: Sequence[CachedFindings]) -> dict[str, dict[str, Score]]:
        """On all training images: a ranking of few says nothing."""
        cases = [item.case for item in training]
        return self._evaluation(cases, self._logits(network, training), Calibration(findings={})).scores()

    def evaluate(
        self,
        network: nn.Module,
        cases: Sequence[FindingsCase],
        progress: Progress,
        *,
        calibration: Mapping[str, Any] = NOT_CALIBRATED,
    ) -> tuple[FindingsEvaluation, FindingsEvaluation]:
        """All metrics; the picture shows the evaluation itself.

        Args:
            network: The task's.
            cases: At least one.
            progress: Told after each case.
            calibration: Of the version; without it the probabilities are the network's own.
        """
        logits = []
        for position, case in enumerate(cases):
            stop_if(self.cancelled)
            tensor = prepare(case.load(), self.spec).tensor
            logits.append(image_logits(network, [tensor], spec=self.spec, device=self.device)[0])
            progress((position + 1) / len(cases), f"measured {position + 1} of {len(cases)} cases")
        evaluation = self._evaluation(cases, torch.stack(logits), Calibration.from_json(calibration))
        return evaluation, evaluation

    def calibration(self, network: nn.Module, validation: Sequence[CachedFindings]) -> Mapping[str, Any]:
        """Per finding, fitted on the validation images."""
        columns = self._by_finding(network, validation)
        return Calibration(
            findings={name: fit_finding(logits, truths) for name, (logits, truths) in columns.items()}
        ).to_json()

    def plausibility(self, training: Sequence[CachedFindings]) -> None:
        """None: nothing is drawn."""

    def picture(
        self, path: Path, case: FindingsCase, before: FindingsEvaluation | None, after: FindingsEvaluation
    ) -> None:
        """ROC curves of the findings: served before, and candidate."""
        panels = [("served before", before)] if before is not None else []
        write_roc(path, [*panels, ("candidate", after)], labels=self.spec.labels)

    def _logits(self, network: nn.Module, items: Sequence[CachedFindings]) -> Tensor:
        """`(items, findings)`; memory holds a few images at a time."""
        logits = [torch.empty(0, self.spec.out_channels)]
        for start in range(0, len(items), _READ_AT_ONCE):
            stop_if(self.cancelled)
            tensors = [item.volume.tensor for item in items[start : start + _READ_AT_ONCE]]
            logits.append(image_logits(network, tensors, spec=self.spec, device=self.device))
        return torch.cat(logits)

    def _by_finding(self, network: nn.Module, items: Sequence[CachedFindings]) -> dict[str, tuple[Numbers, Truths]]:
        """Finding → logits and truths of the images in which somebody looked for it."""
        logits = self._logits(network, items).double().numpy()
        columns = {}
        for label in self.spec.labels:
            rows = [row for row, item in enumerate(items) if label.name in item.case.findings]
            if rows:
                truths = np.array([items[row].case.findings[label.name] for row in rows], dtype=bool)
                columns[label.name] = (logits[rows, label.index - 1], truths)
        return columns

    def _evaluation(
        self, cases: Sequence[FindingsCase], logits: Tensor, calibration: Calibration
    ) -> FindingsEvaluation:
        columns = {
            label.name: calibration.of(label.name).probability(logits[:, label.index - 1].double().numpy())
            for label in self.spec.labels
        }
        results = [
            FindingsResult(
                image_id=case.image_id,
                patient_id=case.patient_id,
                probabilities={name: float(column[row]) for name, column in columns.items()},
                truths=case.findings,
            )
            for row, case in enumerate(cases)
        ]
        return FindingsEvaluation(task=self.spec.name, names=self.spec.labels.names, cases=tuple(results))


def truths_of(case: FindingsCase, spec: TaskSpec) -> tuple[Tensor, Tensor]:
    """`(findings,)` float32 1 where a finding is there, and bool whether somebody looked for it."""
    values = [float(case.findings.get(name, False)) for name in spec.labels.names]
    return torch.tensor(values), torch.tensor([name in case.findings for name in spec.labels.names])
