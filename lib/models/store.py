"""Model versions: written once, hashed, never changed; which one is served is a pointer with a history.

Layout, all under `<root>/<task>/`:

    v1/weights.safetensors  v1/model.json      one immutable version
    v1/decision.json                           what the promotion gate said of it, and why
    v1/plausibility.safetensors                what its training labels usually look like
    v1/pruned.json                             there once retention took the weights away
    served.json                                the version in use, replaced atomically
    promotions.jsonl                           every change of the pointer, append only
    model.pt                                   public weights a user put there (see `TaskSpec.weights`)

Several threads and processes may write at once. There is one lock per task (`.lock`), never two held together,
and it guards numbering, pointer and history; large files are written before it is taken. Readers take no lock.
Reading metadata imports no torch.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from .. import __version__
from ..errors import ConflictError, NoModelError, UnknownModelError, UnsafeIdError
from .files import append_json_line, read_json_lines, sha256_of, sync, write_json
from .loading import weights_missing
from .software import code_versions
from .version import (
    DECISION_NAME,
    METADATA_NAME,
    PLAUSIBILITY_NAME,
    PRETRAINED,
    WEIGHTS_NAME,
    Intervals,
    Metrics,
    ModelVersion,
    Source,
    canonical_sha256,
    read_version,
)
from .weights import save_state

if TYPE_CHECKING:
    from torch import Tensor

    from .plausibility import Plausibility

_VERSION = re.compile(r"v([1-9][0-9]*)")
_SERVED = "served.json"
_HISTORY = "promotions.jsonl"
ANY_VERSION = "*"


class ModelStore:
    """All model versions of one installation.

    Args:
        root: `Settings.models_dir`; created when something is first written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, task: str) -> Path:
        """`<root>/<task>`, where users put public weights.

        Raises:
            UnsafeIdError: If the name could leave the root.
        """
        if not task.isidentifier():
            raise UnsafeIdError(f"A task name must be an identifier, got {task!r}.")
        return self.root / task

    def add(
        self,
        task: str,
        state: Mapping[str, Tensor] | Path,
        *,
        fingerprint: str,
        labels: Mapping[str, int],
        metrics: Metrics | None = None,
        intervals: Intervals | None = None,
        task_spec: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        decision: Mapping[str, Any] | None = None,
        calibration: Mapping[str, Any] | None = None,
        plausibility: Plausibility | None = None,
        parent: str | None = None,
        source: Source = "trained",
    ) -> ModelVersion:
        """Store a new version; nothing is served by it until `promote`.

        Args:
            task: Task name.
            state: The network's state dict, or a safetensors file that is taken as it is.
            fingerprint: `TaskSpec.fingerprint()`.
            labels: `TaskSpec.labels.indices`.
            metrics: Label → metric → value; None for undefined, never NaN.
            intervals: Label → metric → mean, low, high and n.
            task_spec: `TaskSpec.to_json()`.
            data: Data manifest, JSON-able.
            decision: `Decision.to_json()`, if it went through the gate.
            calibration: `Calibration.to_json()`, of a classification.
            plausibility: What its training labels usually look like, of a segmentation.
            parent: Version it was warm-started from.
            source: Where the weights come from.

        Returns:
            The version, on disk and flushed.
        """
        folder = self.folder(task)
        folder.mkdir(parents=True, exist_ok=True)
        incoming = Path(tempfile.mkdtemp(dir=folder, prefix=".incoming-"))
        try:
            incoming.chmod(0o755)
            if isinstance(state, Path):
                shutil.copyfile(state, incoming / WEIGHTS_NAME)
            else:
                save_state(incoming / WEIGHTS_NAME, state)
            sync(incoming / WEIGHTS_NAME)
            digest = sha256_of(incoming / WEIGHTS_NAME)
            if plausibility is not None:
                plausibility.save(incoming / PLAUSIBILITY_NAME)
            with self.lock(task):
                number = max((_number(path) for path in self._version_folders(task)), default=0) + 1
                version = ModelVersion(
                    task=task,
                    version=f"v{number}",
                    sha256=digest,
                    fingerprint=fingerprint,
                    labels=dict(labels),
                    source=source,
                    created=_now(),
                    carina_version=__version__,
                    parent=parent,
                    metrics=dict(metrics or {}),
                    intervals=dict(intervals or {}),
                    task_spec=dict(task_spec or {}),
                    data=dict(data or {}),
                    data_sha256=canonical_sha256(data or {}),
                    code=code_versions(),
                    calibration=dict(calibration or {}),
                    folder=folder / f"v{number}",
                )
                write_json(incoming / METADATA_NAME, version.to_json())
                if decision is not None:
                    write_json(incoming / DECISION_NAME, decision)
                incoming.rename(version.folder)
                sync(folder)
        except BaseException:
            shutil.rmtree(incoming, ignore_errors=True)
            raise
        return read_version(version.folder)  # as everybody else will see it: JSON has no tuples

    def list(self, task: str) -> tuple[ModelVersion, ...]:
        """Every version of a task, oldest first; empty for a task without any."""
        return tuple(read_version(path) for path in self._version_folders(task))

    def tasks(self) -> tuple[str, ...]:
        """Names of the tasks that have a version."""
        if not self.root.is_dir():
            return ()
        names = (path.name for path in self.root.iterdir() if path.name.isidentifier() and path.is_dir())
        return tuple(sorted(name for name in names if self._version_folders(name)))

    def get(self, task: str, version: str) -> ModelVersion:
        """One version by its name.

        Raises:
            UnknownModelError: If there is none; the message lists those there are.
        """
        folder = self.folder(task) / version
        if not _VERSION.fullmatch(version) or not folder.is_dir():
            there = ", ".join(path.name for path in self._version_folders(task)) or "none"
            raise UnknownModelError(f"Task '{task}' has no model version '{version}'. Available: {there}.")
        return read_version(folder)

    def served(self, task: str) -> ModelVersion | None:
        """The version in use, None if nothing was ever promoted.

        Raises:
            UnknownModelError: If the version the pointer names was deleted by hand.
        """
        name = self._served_name(task)
        return None if name is None else self.get(task, name)

    def promote(
        self, task: str, version: str, *, reason: str, by: str = "carina", over: str | None = ANY_VERSION
    ) -> ModelVersion:
        """Serve `version` from now on.

        Args:
            task: Task name.
            version: An existing version; promoting the served one changes nothing.
            reason: For the history: the gate's words, or a person's.
            by: Who decided.
            over: The version that must still be served now, None for none: a decision that compared with one version
                says nothing about another.

        Raises:
            UnknownModelError: If there is no such version, or its weights are gone.
            ConflictError: If another version is served than `over`, or this one has only been pretrained.
        """
        with self.lock(task):
            target = self.get(task, version)
            if not target.has_weights:
                raise weights_missing(target)
            if target.source == PRETRAINED:
                raise ConflictError(
                    f"'{task}' {version} must have learned from labels to be served, got one that was pretrained. "
                    f"Train from it: --start-from {version}."
                )
            now = self._served_name(task)
            if over not in (ANY_VERSION, now):
                raise ConflictError(
                    f"'{task}' {version} must replace {over or 'nothing'}, got {now or 'nothing'} served by now. "
                    f"Compare with that one: train again, or promote by hand."
                )
            if self._served_name(task) != version:
                self._point(task, version, action="promote", reason=reason, by=by)
        return target

    def rollback(self, task: str, *, reason: str = "rollback", by: str = "carina") -> ModelVersion:
        """Serve again what was served before; repeated, it goes further back.

        Raises:
            NoModelError: If nothing was served before.
        """
        with self.lock(task):
            stack = self.reachable(task)
            if len(stack) < 2:
                raise NoModelError(f"Task '{task}' must have served two versions to roll back, got {len(stack)}.")
            target = self.get(task, stack[-2])
            self._point(task, target.version, action="rollback", reason=reason, by=by)
        return target

    def history(self, task: str) -> tuple[Mapping[str, Any], ...]:
        """Changes of the pointer, oldest first: `when`, `action`, `from`, `to`, `by`, `reason`."""
        return tuple(read_json_lines(self.folder(task) / _HISTORY))

    def reachable(self, task: str) -> tuple[str, ...]:
        """Names of the versions a rollback can reach, the served one last: a promotion pushes, a rollback pops."""
        stack: tuple[str, ...] = ()
        for entry in self.history(task):
            stack = stack[:-1] if entry["action"] == "rollback" else (*stack, str(entry["to"]))
        return stack

    def lock(self, task: str) -> FileLock:
        """Guards a task's numbering, pointer and history, and which weights are there."""
        folder = self.folder(task)
        folder.mkdir(parents=True, exist_ok=True)
        return FileLock(folder / ".lock")

    def _version_folders(self, task: str) -> tuple[Path, ...]:
        folder = self.folder(task)
        if not folder.is_dir():
            return ()
        return tuple(sorted((path for path in folder.iterdir() if _VERSION.fullmatch(path.name)), key=_number))

    def _served_name(self, task: str) -> str | None:
        try:
            content = json.loads((self.folder(task) / _SERVED).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        return str(content["version"])

    def _point(self, task: str, version: str, *, action: str, reason: str, by: str) -> None:
        """Record and then move the pointer; the caller holds the task's lock."""
        now = _now()
        before = self._served_name(task)
        entry = {"when": now, "action": action, "from": before, "to": version, "by": by, "reason": reason}
        append_json_line(self.folder(task) / _HISTORY, entry)
        write_json(self.folder(task) / _SERVED, {"version": version, "since": now})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _number(path: Path) -> int:
    return int(path.name[1:])
