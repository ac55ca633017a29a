"""TaskSpec: everything a task declares, as frozen data that needs no torch."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ..errors import ConfigurationError
from ..labels import LabelSet
from .intensity import Intensity, ZScoreThenRange
from .terms import PROJECTIONS, WHOLE, Kind, Layout, Spacing, Voxels
from .trainer_options import TrainerOptions

_OF_WHOLE_IMAGES: frozenset[Kind] = frozenset({"classification"})


@dataclass(frozen=True, kw_only=True)
class NetworkSpec:
    """A network by its registered name.

    Attributes:
        name: Of its file in `lib/networks/`.
        arguments: Keyword arguments that its factory takes besides channels.
        members: How many of them are trained together and answer with their mean (a deep ensemble). Each takes its time
            in training and inference; a quick draft asks one alone.
    """

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    members: int = 1

    def __post_init__(self) -> None:
        if self.members < 1:
            raise ConfigurationError(f"Network '{self.name}' must have 1 or more members, got {self.members}.")


NO_NETWORK = NetworkSpec(name="")
"""Of tasks that compute their result and learn nothing."""


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
        if self.kind == "deepedit" and self.labels.overlapping:
            raise ConfigurationError(f"Labels of a task that takes clicks must not overlap, got '{self.name}'.")
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
    def of_projections(self) -> bool:
        """Whether its images are radiographs, in which nothing has a volume."""
        return not PROJECTIONS.isdisjoint(self.modality)

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
        if self.network.members > 1:
            decisive["members"] = self.network.members
        return hashlib.sha256(json.dumps(decisive, sort_keys=True, default=list).encode()).hexdigest()
