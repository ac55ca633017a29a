"""One model version as one file for another hospital: `*.carina`, a zip archive whose every part is hashed.

    manifest.json             format, task, version, and SHA-256 and size of every other part
    model.json                as in the store, without ids of images and annotations unless asked for
    task.json                 `TaskSpec.to_json()`
    weights.safetensors       tensors only; nothing in the file can be executed
    plausibility.safetensors  what drafts are compared with, likewise; of a version that has it, in format 2

Parts are stored, not compressed, so the archive cannot unpack to more than its own size. A version always gives the
same bytes, so that the file's own SHA-256 can be told over another channel and compared. There is no patient in it:
what the model was trained on is counted, and ids stay at home.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UnknownModelError
from ..task import TaskSpec
from .files import sha256_of, sync
from .loading import check_weights
from .plausibility import plausibility_of
from .store import ModelStore
from .version import METADATA_NAME, PLAUSIBILITY_NAME, WEIGHTS_NAME, ModelVersion, sha256_of_bytes

SUFFIX = ".carina"
FORMAT = "carina-model"
MANIFEST_NAME = "manifest.json"
TASK_NAME = "task.json"
_ALWAYS = (METADATA_NAME, TASK_NAME, WEIGHTS_NAME)
PART_NAMES = {1: _ALWAYS, 2: (*_ALWAYS, PLAUSIBILITY_NAME)}
"""Format version → the parts of a file besides its manifest."""

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first day: a file's bytes must not depend on when it was made
# What may leave the house of a data manifest; everything else could name an image, a person or a folder.
_HARMLESS = ("measured_on", "trained_labels", "options", "epochs", "best_epoch", "start", "licence", "published_at")


@dataclass(frozen=True, kw_only=True)
class Package:
    """A file that was written.

    Attributes:
        path: Where it is.
        sha256: Of the whole file.
        bytes: Its size.
    """

    path: Path
    sha256: str
    bytes: int


def export_version(
    models: ModelStore, spec: TaskSpec, version: ModelVersion, path: Path, *, with_data_ids: bool = False
) -> Package:
    """Write a version as one file.

    Args:
        models: Where it is.
        spec: The task as it is now; used where the version does not know its own.
        version: To export; its weights are checked first.
        path: Destination, replaced only when complete.
        with_data_ids: Whether ids of images and annotations go along.

    Raises:
        UnknownModelError: If the weights are gone, or the version was made for another form of the task and does not
            say which.
        ConfigurationError: If the weights are not those that were stored, or its plausibility is damaged.
    """
    check_weights(version)
    task_spec = version.task_spec or (spec.to_json() if spec.fingerprint() == version.fingerprint else None)
    if task_spec is None:
        raise UnknownModelError(
            f"'{version.task}' {version.version} must know the task it was made for, got a version of an older carina "
            f"for another form of the task. Export a newer version."
        )
    texts = {
        METADATA_NAME: _encoded({**version.to_json(), "data": shared_data(version.data, with_ids=with_data_ids)}),
        TASK_NAME: _encoded(task_spec),
    }
    parts = {name: {"sha256": sha256_of_bytes(text), "bytes": len(text)} for name, text in texts.items()}
    files = {WEIGHTS_NAME: version.weights_path}
    parts[WEIGHTS_NAME] = {"sha256": version.sha256, "bytes": version.weights_path.stat().st_size}
    if plausibility_of(version) is not None:
        file = files[PLAUSIBILITY_NAME] = version.folder / PLAUSIBILITY_NAME
        parts[PLAUSIBILITY_NAME] = {"sha256": sha256_of(file), "bytes": file.stat().st_size}
    manifest = {
        "format": FORMAT,
        "format_version": 2 if PLAUSIBILITY_NAME in files else 1,
        "task": version.task,
        "version": version.version,
        "fingerprint": version.fingerprint,
        "parts": parts,
    }
    _write(path, {MANIFEST_NAME: _encoded(manifest), **texts}, files)
    return Package(path=path, sha256=sha256_of(path), bytes=path.stat().st_size)


def shared_data(data: Mapping[str, Any], *, with_ids: bool) -> dict[str, Any]:
    """A data manifest as another house may read it: how many cases in each part, and nothing that names one."""
    shared = {name: data[name] for name in _HARMLESS if name in data}
    cases = data.get("cases", ())
    shared["case_counts"] = {
        part: sum(case["part"] == part for case in cases) for part in ("train", "validation", "holdout")
    }
    if with_ids:
        shared["cases"] = list(cases)
    return shared


def _encoded(content: Mapping[str, Any]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _write(path: Path, texts: Mapping[str, bytes], files: Mapping[str, Path]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            for part, text in texts.items():
                archive.writestr(_entry(part), text)
            for part, file in files.items():
                with file.open("rb") as source, archive.open(_entry(part), "w", force_zip64=True) as target:
                    shutil.copyfileobj(source, target, 1 << 20)
        temporary.chmod(0o644)
        sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, date_time=_EPOCH)
    entry.external_attr = 0o644 << 16
    return entry
