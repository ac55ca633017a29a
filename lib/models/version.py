"""One immutable model version: what `model.json` says about `weights.safetensors`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..errors import ConfigurationError

Source = Literal["trained", "public", "imported"]
Metrics = Mapping[str, Mapping[str, float | None]]

WEIGHTS_NAME = "weights.safetensors"
METADATA_NAME = "model.json"


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """One immutable version of a task's model.

    Attributes:
        task: Task name.
        version: `v1`, `v2`, …
        sha256: Of `weights.safetensors`.
        fingerprint: `TaskSpec.fingerprint()` of the task it was made for.
        labels: Name → label index at that time.
        source: Trained here, published by somebody else, or brought by a user.
        created: ISO 8601, UTC.
        carina_version: That wrote it.
        parent: Version it was warm-started from.
        metrics: Label → metric → value on the holdout (or validation) cases; None where undefined.
        data: What it was made from: image and annotation ids with their split, or the public file and its licence.
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
    folder: Path = field(default=Path(), compare=False)

    @property
    def weights_path(self) -> Path:
        """The safetensors file."""
        return self.folder / WEIGHTS_NAME

    def to_json(self) -> dict[str, Any]:
        """What `model.json` holds."""
        content = asdict(self)
        del content["folder"]
        return content


def read_version(folder: Path) -> ModelVersion:
    """Read a version's metadata.

    Raises:
        ConfigurationError: If `model.json` is missing or damaged.
    """
    try:
        content = json.loads((folder / METADATA_NAME).read_text(encoding="utf-8"))
        return ModelVersion(**content, folder=folder)
    except (OSError, json.JSONDecodeError, TypeError) as error:
        raise ConfigurationError(
            f"{folder.parent.name}/{folder.name}/{METADATA_NAME} must be as carina wrote it, got "
            f"{type(error).__name__}. Restore the file, or move the version's folder away."
        ) from error
