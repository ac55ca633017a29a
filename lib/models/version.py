"""One immutable model version: what `model.json` says about `weights.safetensors`, and `decision.json` about both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import ConfigurationError

Source = Literal["trained", "public", "imported", "pretrained"]
PRETRAINED: Literal["pretrained"] = "pretrained"
"""Of versions that have learned from images without labels: trainings start from them, and nothing is drawn."""

Metrics = Mapping[str, Mapping[str, float | None]]
Intervals = Mapping[str, Mapping[str, Mapping[str, float | int | None]]]

WEIGHTS_NAME = "weights.safetensors"
METADATA_NAME = "model.json"
DECISION_NAME = "decision.json"
PRUNED_NAME = "pruned.json"
PLAUSIBILITY_NAME = "plausibility.safetensors"


QUALITIES = {"dice": "Dice", "auroc": "AUROC"}
"""What versions are compared by, of structures and of findings: the metric, and what people call it."""


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One immutable version of a task's model.

    The fields from `intervals` on came later; versions written before do not have them.

    Attributes:
        task: Task name.
        version: `v1`, `v2`, …
        sha256: Of `weights.safetensors`.
        fingerprint: `TaskSpec.fingerprint()` of the task it was made for.
        labels: Name → label index at that time.
        source: Trained here, published by somebody else, brought by a user, or learned from images without labels.
        created: ISO 8601, UTC.
        carina_version: That wrote it.
        parent: Version it was warm-started from.
        metrics: Label → metric → value on the holdout (or validation) cases; None where undefined.
        data: What it was made from: image and annotation ids with their split, or the public file and its licence.
        intervals: Label → metric → `mean`, `low`, `high` (95 %, bootstrap over patients) and `n` cases.
        task_spec: `TaskSpec.to_json()` of the task it was made for.
        data_sha256: Of `data` in canonical form, see `canonical_sha256`.
        calibration: `calibration.Calibration.to_json()` of a classification; empty for other kinds.
        code: What wrote it: `source_sha256` of carina's files, and the versions of Python and the libraries.
        folder: Where it lies; not part of `model.json`.
    """

    task: str
    version: str
    sha256: str
    fingerprint: str
    labels: Mapping[str, int]
    source: Source
    created: str
    carina_version: str
    parent: str | None = None
    metrics: Metrics = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    intervals: Intervals = field(default_factory=dict)
    task_spec: Mapping[str, Any] = field(default_factory=dict)
    data_sha256: str | None = None
    code: Mapping[str, str] = field(default_factory=dict)
    calibration: Mapping[str, Any] = field(default_factory=dict)
    folder: Path = field(default=Path(), compare=False)

    @property
    def weights_path(self) -> Path:
        """The safetensors file."""
        return self.folder / WEIGHTS_NAME

    @property
    def has_weights(self) -> bool:
        """Whether the weights are still there; retention takes them from old versions."""
        return self.weights_path.is_file()

    @property
    def quality(self) -> tuple[str, float] | None:
        """Name and mean of the metric in `QUALITIES` that its kind has, over the labels where it is defined.

        None for a version that was never measured.
        """
        for metric in QUALITIES:
            known = [value for row in self.metrics.values() if (value := row.get(metric)) is not None]
            if known:
                return metric, sum(known) / len(known)
        return None

    def decision(self) -> dict[str, Any] | None:
        """What the gate decided, `Decision.to_json()`; None for a version that never went through it."""
        return self._beside(DECISION_NAME)

    def pruned(self) -> dict[str, Any] | None:
        """When, by whom and why the weights were taken away; None while they are not."""
        return self._beside(PRUNED_NAME)

    def to_json(self) -> dict[str, Any]:
        """What `model.json` holds."""
        content = asdict(self)
        del content["folder"]
        return content

    def listed(self) -> dict[str, Any]:
        """As `to_json`, without the task's declaration, which is long and of little interest in a list."""
        content = self.to_json()
        del content["task_spec"]
        return content

    def _beside(self, name: str) -> dict[str, Any] | None:
        try:
            content: dict[str, Any] = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except json.JSONDecodeError as error:
            raise _damaged(self.folder, name, error) from error
        return content


def canonical_sha256(content: Mapping[str, Any]) -> str:
    """SHA-256 of a JSON object with sorted keys and no spaces, as UTF-8."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return sha256_of_bytes(text.encode())


def sha256_of_bytes(content: bytes) -> str:
    """Hex SHA-256 of what is in memory."""
    return hashlib.sha256(content).hexdigest()


def read_version(folder: Path) -> ModelVersion:
    """Read a version's metadata.

    Raises:
        ConfigurationError: If `model.json` is missing or damaged.
    """
    try:
        content = json.loads((folder / METADATA_NAME).read_text(encoding="utf-8"))
        return ModelVersion(**content, folder=folder)
    except (OSError, json.JSONDecodeError, TypeError) as error:
        raise _damaged(folder, METADATA_NAME, error) from error


def _damaged(folder: Path, name: str, error: Exception) -> ConfigurationError:
    return ConfigurationError(
        f"{folder.parent.name}/{folder.name}/{name} must be as carina wrote it, got "
        f"{type(error).__name__}. Restore the file, or move the version's folder away."
    )
