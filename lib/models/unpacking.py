"""Takes up a model file from another house: everything is checked before anything is stored, nothing is executed."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import stat
import struct
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ArchiveError, ConfigurationError, InvalidInputError
from ..registry import Registry
from ..task import TaskSpec
from .difference import changes
from .drawings import coarse_cells
from .files import sha256_of
from .package import FORMAT, MANIFEST_NAME, PART_NAMES, TASK_NAME
from .plausibility import FEATURES, Plausibility, plausibility_of
from .store import ModelStore
from .version import METADATA_NAME, PLAUSIBILITY_NAME, WEIGHTS_NAME, ModelVersion
from .weights import check_state, load_state

_CHUNK_BYTES = 1 << 20
_LARGEST_TEXT_BYTES = 16 << 20
_SHOWN = 4
# What the zipfile module raises for archives that are broken in one way or another.
_BROKEN = (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, UnicodeDecodeError, struct.error)
_DECISIVE = ("spacing_mm", "dimension", "network", "intensity")
_SOFTWARE = ("version", "created", "carina_version", "code", "data_sha256")


def import_package(
    models: ModelStore, tasks: Registry[TaskSpec], path: Path, *, sha256: str | None = None
) -> ModelVersion:
    """Store the version in a file as a new version of the same task; a second import returns the first's version.

    It is never promoted by this: `origin` in its data says where it is from, and the metrics are those of that house.

    Args:
        models: Where it goes.
        tasks: What is known here.
        path: A file that `package.export_version` wrote.
        sha256: Of the whole file, as told over another channel; None checks only what the file says of itself.

    Raises:
        ArchiveError: If the file is not one of ours, damaged, or made to do harm.
        InvalidInputError: If it is another file than announced, or its weights are no tensors.
        UnknownNameError: If the task is not known here.
        ConfigurationError: If the task here has another form, or the weights do not fit its network.
    """
    digest = _readable_sha256(path)
    if sha256 is not None and digest != sha256.lower():
        raise InvalidInputError(f"'{path.name}' must have the SHA-256 {sha256}, got {digest}. Ask for the file again.")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        try:
            with zipfile.ZipFile(path) as archive:
                manifest, texts = _unpack(archive, path, folder)
        except _BROKEN as error:
            raise ArchiveError(f"'{path.name}' must be a carina model file, got none. Export it again.") from error
        return _store(models, tasks, manifest, texts, folder, file_sha256=digest)


def _readable_sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise ArchiveError(f"'{path.name}' must be readable, got {error.strerror}. Check the path.") from error


def _unpack(archive: zipfile.ZipFile, path: Path, folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Manifest and the other JSON parts by name; writes all other parts into a folder. Every hash is checked."""
    entries = _checked_entries(archive, path)
    manifest = _json_object(_read_text(archive, entries[MANIFEST_NAME]), MANIFEST_NAME)
    form = manifest.get("format_version")
    if manifest.get("format") != FORMAT or not isinstance(form, int) or form not in PART_NAMES:
        raise ArchiveError(
            f"A model file must have format {FORMAT} {' or '.join(map(str, PART_NAMES))}, got {manifest.get('format')} "
            f"{form}. Use a carina of the version that wrote it."
        )
    announced = manifest.get("parts")
    if (
        not isinstance(announced, dict)
        or set(announced) != set(PART_NAMES[form])
        or set(entries) != {*announced, MANIFEST_NAME}
    ):
        raise ArchiveError("A model file's manifest must list each of its parts once, but does not. Export it again.")
    texts = {}
    for name in (METADATA_NAME, TASK_NAME):
        content = _read_text(archive, entries[name])
        _same_hash(name, hashlib.sha256(content).hexdigest(), announced[name])
        texts[name] = _json_object(content, name)
    for name in announced.keys() - texts.keys():
        with archive.open(entries[name]) as source, (folder / name).open("wb") as target:
            shutil.copyfileobj(source, target, _CHUNK_BYTES)
        _same_hash(name, sha256_of(folder / name), announced[name])
    return manifest, texts


def _checked_entries(archive: zipfile.ZipFile, path: Path) -> dict[str, zipfile.ZipInfo]:
    """The archive's entries, if they are exactly ours: plain files of known names, stored as they are."""
    infos = archive.infolist()
    names = sorted(info.filename for info in infos)
    known = [sorted([MANIFEST_NAME, *parts]) for parts in PART_NAMES.values()]
    if names not in known:
        shown = ", ".join(repr(name) for name in names[:_SHOWN]) or "nothing"
        raise ArchiveError(
            f"A model file must hold {', '.join(known[-1])} and nothing else, got {shown}. "
            f"It was not made by carina: do not use it."
        )
    for info in infos:
        mode = info.external_attr >> 16
        if info.compress_type != zipfile.ZIP_STORED or info.file_size != info.compress_size or info.flag_bits & 0x1:
            raise ArchiveError(f"Part {info.filename} must be stored as it is, got it packed. Export the model again.")
        if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
            raise ArchiveError(f"Part {info.filename} must be a plain file, got something else. Do not use this file.")
    if sum(info.file_size for info in infos) > path.stat().st_size:
        raise ArchiveError("The parts of a model file must not be larger than the file. Do not use this file.")
    return {info.filename: info for info in infos}


def _read_text(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    if info.file_size > _LARGEST_TEXT_BYTES:
        raise ArchiveError(f"Part {info.filename} must be small, got {info.file_size} bytes. Do not use this file.")
    return archive.read(info)


def _json_object(content: bytes, name: str) -> dict[str, Any]:
    try:
        read = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ArchiveError(f"Part {name} must be JSON, got {type(error).__name__}. Export the model again.") from error
    if not isinstance(read, dict):
        raise ArchiveError(f"Part {name} must be a JSON object, got {type(read).__name__}. Export the model again.")
    return read


def _same_hash(name: str, digest: str, announced: object) -> None:
    wanted = announced.get("sha256") if isinstance(announced, dict) else None
    if digest != wanted:
        raise ArchiveError(f"Part {name} must have the SHA-256 {wanted}, got {digest}. Ask for the file again.")


def _store(
    models: ModelStore,
    tasks: Registry[TaskSpec],
    manifest: Mapping[str, Any],
    texts: Mapping[str, Mapping[str, Any]],
    folder: Path,
    *,
    file_sha256: str,
) -> ModelVersion:
    from ..networks.factory import build_network

    model, task_spec = texts[METADATA_NAME], texts[TASK_NAME]
    spec = tasks.get(str(manifest.get("task")))
    what = f"The model file's '{spec.name}' {manifest.get('version')}"
    _same_task(spec, manifest, model, task_spec, what=what)
    weights = folder / WEIGHTS_NAME
    check_state(load_state(weights), build_network(spec), what=what)
    usual = _plausibility(folder / PLAUSIBILITY_NAME, spec, what=what)
    digest = sha256_of(weights)
    for known in models.list(spec.name):
        complete = usual is None or plausibility_of(known) is not None
        if (known.sha256, known.fingerprint, known.has_weights, complete) == (digest, spec.fingerprint(), True, True):
            return known
    data = model.get("data")
    origin = {name: model.get(name) for name in _SOFTWARE if name in model}
    return models.add(
        spec.name,
        weights,
        fingerprint=spec.fingerprint(),
        labels=spec.labels.indices,
        metrics=_numbers(model.get("metrics"), spec),
        task_spec=task_spec,
        data={**(data if isinstance(data, dict) else {}), "origin": origin, "file_sha256": file_sha256},
        intervals=_intervals(model.get("intervals"), spec),
        plausibility=usual,
        source="imported",
    )


def _plausibility(path: Path, spec: TaskSpec, *, what: str) -> Plausibility | None:
    """What drafts are to be compared with, if the file has it and it can be used here."""
    if not path.exists():
        return None
    found = Plausibility.load(path)
    if not _judges(found, spec):
        raise InvalidInputError(
            f"{what} must be judged by structures of the task, got a {path.name} of others, or with values that are "
            f"none. Export the model again."
        )
    return found


def _judges(found: Plausibility, spec: TaskSpec) -> bool:
    """Whether it is of some of a task's structures, and complete: a foreign file may say anything."""
    names, space = set(found.names), found.space
    if found.dimension != spec.dimension or not names or not names <= set(spec.labels.names):
        return False
    shape = (len(found.names), math.prod(coarse_cells(len(found.names), spec.dimension)))
    rows, pairs = found.spreads.values(), found.pairs.values()
    shares = [*found.present.values(), *(pair.agreeing for pair in pairs)]
    spreads = [*(spread for row in rows for spread in row.values()), *(pair.ratio for pair in pairs)]
    return (
        len(names) == len(found.names)
        and set(found.present) == names
        and set(found.spreads) <= names
        and all(set(row) == set(FEATURES) for row in rows)
        and all(set(pair) <= names for pair in found.pairs)
        and all(0 <= share <= 1 for share in shares)
        and all(spread.usable for spread in spreads)
        and space.mean.shape == shape
        and (space.axes.ndim, space.axes.shape[::2]) == (3, shape)
        and all(bool(np.isfinite(array).all()) for array in (space.mean, space.axes))
    )


def _same_task(
    spec: TaskSpec,
    manifest: Mapping[str, Any],
    model: Mapping[str, Any],
    task_spec: Mapping[str, Any],
    *,
    what: str,
) -> None:
    """Refuse weights of another form of the task, with the first differences in words."""
    told = {manifest.get("fingerprint"), model.get("fingerprint"), task_spec.get("fingerprint")}
    if told == {spec.fingerprint()} and model.get("labels") == spec.labels.indices:
        return
    differing = changes(_decisive(json.loads(json.dumps(spec.to_json()))), _decisive(task_spec))
    words = "; ".join(f"{change.name} {change.after} there, {change.before} here" for change in differing[:_SHOWN])
    more = f"; … ({len(differing)} in all)" if len(differing) > _SHOWN else ""
    raise ConfigurationError(
        f"{what} must be made for the task as it is here, got another form of it"
        f"{f' ({words}{more})' if words else ''}. Declare a task like the one in its task.json, or ask "
        f"for a model made for yours."
    )


def _decisive(task_spec: Mapping[str, Any]) -> dict[str, Any]:
    """What decides whether weights fit, as far as a foreign file tells it."""
    labels = task_spec.get("labels")
    rows = [row for row in labels if isinstance(row, dict)] if isinstance(labels, list) else []
    named = {str(row.get("name")): row.get("index") for row in rows}
    return {"labels": named, **{name: task_spec.get(name) for name in _DECISIVE}}


def _numbers(metrics: object, spec: TaskSpec) -> dict[str, dict[str, float | None]]:
    """Those metrics that are numbers of this task's labels; the rest of a foreign file is not believed."""
    rows = metrics if isinstance(metrics, dict) else {}
    return {
        name: {str(metric): _number(value) for metric, value in row.items()}
        for name, row in rows.items()
        if name in spec.labels and isinstance(row, dict)
    }


def _intervals(intervals: object, spec: TaskSpec) -> dict[str, dict[str, dict[str, float | int | None]]]:
    rows = intervals if isinstance(intervals, dict) else {}
    return {
        name: {
            str(metric): {field: _number(spread.get(field)) for field in ("mean", "low", "high")}
            | {"n": int(_number(spread.get("n")) or 0)}
            for metric, spread in row.items()
            if isinstance(spread, dict)
        }
        for name, row in rows.items()
        if name in spec.labels and isinstance(row, dict)
    }


def _number(value: object) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if is_number else None  # type: ignore[arg-type]
