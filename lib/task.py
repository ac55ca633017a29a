"""TaskSpec: everything a task declares, as frozen data that needs no torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from .errors import ConfigurationError
from .labels import LabelSet

Spacing = tuple[float, float, float]
Voxels = tuple[int, int, int]
Layout = Literal["carina", "torchxrayvision", "medicalnet"]
Kind = Literal["segmentation", "scribbles", "deepedit", "classification"]

LOSSES: Mapping[Kind, tuple[str, ...]] = {
    "segmentation": ("dice_ce", "dice_focal"),
    "deepedit": ("dice_ce", "dice_focal"),
    "classification": ("cross_entropy", "focal", "auc_margin"),
}
"""What a training of each kind may descend, the usual one first."""

WHOLE: Final = "image"
LUNGS: Final = "lungs"
"""What a classification of radiographs looks at."""

_OF_WHOLE_IMAGES: frozenset[Kind] = frozenset({"classification"})


@dataclass(frozen=True, kw_only=True)
class Window:
    """Clip to `[lower, upper]` and scale linearly to `[-1, 1]`.

    Attributes:
        lower: Intensity (HU for CT) that becomes -1.
        upper: Intensity that becomes +1.
    """

    lower: float
    upper: float


@dataclass(frozen=True, kw_only=True)
class ZScoreThenRange:
    """Z-score over the non-zero voxels, then scale the whole volume's minimum and maximum to `[-1, 1]`.

    The statistics are those of the resampled volume before any crop, as in MONAI's public
    wholeBody_ct_segmentation bundle (`NormalizeIntensityd(nonzero=True)`, `ScaleIntensityd(-1, 1)`).
    """


@dataclass(frozen=True, kw_only=True)
class Percentiles:
    """Clip to two percentiles of the image and scale linearly to `[-1, 1]`, for images without a unit.

    Attributes:
        lower: Percentile, 0–100, that becomes -1.
        upper: Percentile that becomes +1.
    """

    lower: float = 1.0
    upper: float = 99.0


Intensity = Window | ZScoreThenRange | Percentiles


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """A network by its registered name, and the keyword arguments its factory takes besides channels."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


NO_NETWORK = NetworkSpec(name="")
"""Of tasks that compute their result and learn nothing."""


@dataclass(frozen=True, kw_only=True)
class TrainerOptions:
    """Defaults of a training; every field can be overridden per request by its name.

    Attributes:
        max_epochs: Upper limit; early stop may end sooner.
        steps_per_epoch: Optimiser steps between two validations.
        batch_size: Patches per step.
        patch_voxels: Patch size at the task's spacing.
        learning_rate: Peak of the schedule.
        weight_decay: AdamW's.
        patience_epochs: Validations without improvement before stopping.
        validation_fraction: Share of the patients used to choose the best epoch.
        holdout_fraction: Share of the patients kept frozen for the promotion gate.
        gate_margin: A label's mean Dice on the holdout may fall by at most this much.
        new_share: Share of the patches taken from cases that the version a training starts from has not learned, as far
            as they show what is drawn; 0 takes all cases alike.
        warm_share: A training from an earlier version takes this share of the epochs and of the learning rate, or the
            share of its cases that are new if that is larger; 1 always takes all.
        trial_share: Where a training tries both an earlier version and random weights to start from, each takes this
            share of the epochs before the better one is gone on with; 1 trains both to the end.
        ema: Decay of a moving average of the weights, kept where it validates better than the weights; 0 for none.
        layer_decay: Share of the learning rate for the first layer in a training from an earlier version; the last
            takes all of it, those between rise by equal factors. 1 trains all alike.
        sharpness: Radius within which a step looks for the worst loss, to descend from there (SAM); 0.05 is usual and
            takes twice the time; 0 for none.
        unlabelled_weight: Weight of the agreement with a mean teacher on images without labels, 1 is usual; 0 for none.
        head_epochs: Of a training from an earlier version, the first epochs teach the last layer alone, then all.
        loss: By name (`LOSSES`); empty for the usual one of the task's kind.
        class_weights: Of findings, how much more the rarer answer weighs: 1 by the inverse of its share, 0 not at all.
        mixup: Of findings, the parameter of the share by which two images are mixed, 0.2 is usual; 0 for none.
        augmentation: Strength of the random changes, 1 is usual; 0 shows whether a network can fit its cases at all.
        seed: Of sampling, augmentation and initialisation.
        processes: That share each batch, one per GPU or on the CPU; the result is that of one process.
    """

    max_epochs: int = 50
    steps_per_epoch: int = 50
    batch_size: int = 2
    patch_voxels: Voxels = (96, 96, 96)
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    patience_epochs: int = 10
    validation_fraction: float = 0.15
    holdout_fraction: float = 0.15
    gate_margin: float = 0.01
    new_share: float = 0.0
    warm_share: float = 1.0
    trial_share: float = 0.2
    ema: float = 0.0
    layer_decay: float = 1.0
    sharpness: float = 0.0
    unlabelled_weight: float = 0.0
    head_epochs: int = 0
    loss: str = ""
    class_weights: float = 0.0
    mixup: float = 0.0
    augmentation: float = 1.0
    seed: int = 0
    processes: int = 1


@dataclass(frozen=True, kw_only=True)
class PublicWeights:
    """Weights somebody else published, loaded when a user puts the file into the task's model folder.

    Attributes:
        file_name: As published, such as `model.pt`.
        source: Where a person finds it; never fetched by carina.
        licence: SPDX identifier or the licence's name.
        sha256: Expected hash, None where the publisher gives none.
        state_key: Key of the state dict inside the checkpoint; None when the file is the state dict itself.
        layout: Whose names and axes its parameters have (`models.foreign_layouts`).
        judges: Whether it can answer. What cannot becomes a pretrained version, to train from, and is never served.
    """

    file_name: str
    source: str
    licence: str
    sha256: str | None = None
    state_key: str | None = None
    layout: Layout = "carina"
    judges: bool = True


@dataclass(frozen=True, kw_only=True)
class TaskSpec:
    """All that a task declares. One per file in `lib/configs/`, or per `carina.tasks` entry point.

    Attributes:
        name: Unique, snake case; what users type.
        kind: The code that runs it (`lib/infers/<kind>.py`, `lib/trainers/<kind>.py`).
        description: One sentence for a person choosing a task.
        modality: DICOM modalities it is meant for, such as `("CT",)`.
        dimension: 2 or 3; in 2 every slice is seen alone.
        labels: The structures, and whether they overlap; none for a tool that draws whatever structure it is asked for.
            Of a classification the findings (`findings.finding_set`).
        spacing_mm: Working spacing in the RAS-closest axis order; None keeps the image's own.
        matrix_voxels: Working size in the same order instead of a spacing, for radiographs, whose pixels have often no
            size; every image is stretched to it. A size of 1 keeps the image's own.
        intensity: How intensities reach the network.
        crop_mm: Of a classification that judges a part of an image: the size of the part, whose middle a click or a box
            tells. None: it judges the whole image.
        roi: Of a classification of radiographs: `lungs` cuts out, in training and inference alike, the box around the
            lungs that the served `cxr_anatomy` draws.
        body_threshold: Voxels above it are body; the input is cropped to their bounding box. None: no crop.
        roi_voxels: Sliding-window size at the working spacing.
        overlap: Share of a window that overlaps the next, 0 ≤ overlap < 1.
        network: Which network; without one there is nothing to train and no model to serve.
        trainer: Training defaults.
        symmetric: Whether an image mirrored along its first axis could be another patient's, with left and right
            exchanged: a training mirrors images at random, and a draft is the mean of an image and its mirror. Every
            label with a side needs its other side.
        smallest_piece: A draft loses the pieces of a label that are smaller than this share of its largest one: 0 keeps
            all of them, 1 the largest alone.
        fill_holes: Whether a draft has the holes of each label filled.
        weights: Public weights that fit.
        config: String options that Slicer shows as editable fields, sent back with each request.
    """

    name: str
    kind: Kind
    description: str
    modality: tuple[str, ...]
    dimension: Literal[2, 3]
    labels: LabelSet
    spacing_mm: Spacing | None = None
    intensity: Intensity = field(default_factory=ZScoreThenRange)
    network: NetworkSpec = NO_NETWORK
    matrix_voxels: Voxels | None = None
    crop_mm: Spacing | None = None
    roi: Literal["image", "lungs"] = WHOLE
    body_threshold: float | None = None
    roi_voxels: Voxels = (96, 96, 96)
    overlap: float = 0.25
    trainer: TrainerOptions = field(default_factory=TrainerOptions)
    symmetric: bool = False
    smallest_piece: float = 0.0
    fill_holes: bool = False
    weights: tuple[PublicWeights, ...] = ()
    config: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ConfigurationError(f"A task name must be an identifier, got {self.name!r}.")
        if not 0 <= self.overlap < 1:
            raise ConfigurationError(f"Overlap of task '{self.name}' must lie in [0, 1), got {self.overlap}.")
        if self.spacing_mm is not None and min(self.spacing_mm) <= 0:
            raise ConfigurationError(f"Spacing of task '{self.name}' must be positive, got {self.spacing_mm}.")
        if self.crop_mm is not None and (not self.of_whole_images or min(self.crop_mm) <= 0):
            raise ConfigurationError(
                f"A crop must be positive and of a task that tells findings, got {self.crop_mm} of '{self.name}'."
            )
        if self.roi != WHOLE and (not self.of_whole_images or self.dimension != 2 or self.crop_mm is not None):
            raise ConfigurationError(
                f"A task that looks at the lungs must tell findings of whole radiographs, got '{self.name}'."
            )
        if self.matrix_voxels is not None and (self.spacing_mm is not None or min(self.matrix_voxels) < 1):
            raise ConfigurationError(
                f"Task '{self.name}' must declare a spacing or a matrix of positive sizes, got {self.spacing_mm} and "
                f"{self.matrix_voxels}. Set spacing_mm to None for a matrix."
            )
        if not 0 <= self.smallest_piece <= 1:
            raise ConfigurationError(
                f"The smallest piece of task '{self.name}' must be a share, 0 to 1, got {self.smallest_piece}."
            )
        self._check_symmetry()

    def _check_symmetry(self) -> None:
        alone = [label.name for label in self.labels if label.has_side and self.labels.other_side(label) is None]
        if self.symmetric and (alone or self.kind != "segmentation"):
            raise ConfigurationError(
                f"A symmetric task must be a segmentation whose labels have both sides, got '{self.name}' of kind "
                f"'{self.kind}', without the other side of {', '.join(alone) or 'none'}. Set symmetric to False."
            )

    @property
    def learns(self) -> bool:
        """Whether it has a network, and so model versions and trainings."""
        return self.network != NO_NETWORK

    @property
    def of_whole_images(self) -> bool:
        """Whether its labels are findings that an image has or has not, instead of structures in its voxels."""
        return self.kind in _OF_WHOLE_IMAGES

    @property
    def in_channels(self) -> int:
        """Channels of the network's input: the image, and for clicks one each for the background and every label."""
        return 1 + self.out_channels if self.kind == "deepedit" else 1

    @property
    def out_channels(self) -> int:
        """Channels of the network's output: every label and the background, or where labels overlap the labels alone.

        Labels that exclude each other share a softmax; each of those that overlap has a sigmoid of its own, and so has
        each finding of a whole image.
        """
        return len(self.labels) + (0 if self.labels.overlapping or self.of_whole_images else 1)

    @property
    def exchanged_channels(self) -> list[int]:
        """For each output channel the one that it is in a mirrored image, where left and right are exchanged."""
        indices = [label.index for label in self.labels.exchanged]
        return [index - 1 for index in indices] if self.labels.overlapping else [0, *indices]

    def takes(self, modality: str) -> bool:
        """Whether an image of this DICOM modality is for the task; a file without one may be."""
        return not modality or modality in self.modality

    def to_json(self) -> dict[str, Any]:
        """Everything the task declares, as JSON-able values; `fingerprint` is part of it."""
        content = dataclasses.asdict(dataclasses.replace(self, config=dict(self.config)))
        content["labels"] = [dataclasses.asdict(label) for label in self.labels]
        content["intensity"] = {"kind": type(self.intensity).__name__, **dataclasses.asdict(self.intensity)}
        content["fingerprint"] = self.fingerprint()
        return content

    def fingerprint(self) -> str:
        """SHA-256 over what decides the meaning of a checkpoint: labels, network, spacing, intensity.

        Two specs with one fingerprint can exchange weights; trainer options and texts do not count.
        """
        decisive: dict[str, Any] = {
            "labels": self.labels.indices,
            "network": [self.network.name, dict(self.network.arguments)],
            "spacing_mm": self.spacing_mm,
            "intensity": [type(self.intensity).__name__, dataclasses.asdict(self.intensity)],
            "dimension": self.dimension,
            **({} if self.in_channels == 1 else {"in_channels": self.in_channels}),
        }
        # Left out where they say nothing, so that what was trained before they existed still fits its task.
        if self.labels.overlapping:
            decisive["overlapping"] = True
        if self.of_whole_images:
            decisive["of_whole_images"] = True
        if self.matrix_voxels is not None:
            decisive["matrix_voxels"] = self.matrix_voxels
        if self.crop_mm is not None:
            decisive["crop_mm"] = self.crop_mm
        if self.roi != WHOLE:
            decisive["roi"] = self.roi
        return hashlib.sha256(json.dumps(decisive, sort_keys=True, default=list).encode()).hexdigest()
