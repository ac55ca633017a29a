"""Model versions: written once, hashed, never changed; which one is served is a pointer with a history.

Layout, all under `<root>/<task>/`:

    v1/weights.safetensors  v1/model.json      one immutable version
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
from ..errors import ConfigurationError, InvalidInputError, NoModelError, UnknownModelError, UnsafeIdError
from ..task import PublicWeights, TaskSpec
from .files import append_json_line, read_json_lines, sha256_of, sync, write_json
from .version import METADATA_NAME, WEIGHTS_NAME, Metrics, ModelVersion, Source, read_version
from .weights import check_state, load_foreign_state, load_state, save_state

if TYPE_CHECKING:
    from torch import Tensor, nn

_VERSION = re.compile(r"v([1-9][0-9]*)")
_SERVED = "served.json"
_HISTORY = "promotions.jsonl"


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
        state: Mapping[str, Tensor],
        *,
        fingerprint: str,
        labels: Mapping[str, int],
        metrics: Metrics | None = None,
        data: Mapping[str, Any] | None = None,
        parent: str | None = None,
        source: Source = "trained",
    ) -> ModelVersion:
        """Store a new version; nothing is served by it until `promote`.

        Args:
            task: Task name.
            state: The network's state dict.
            fingerprint: `TaskSpec.fingerprint()`.
            labels: `TaskSpec.labels.indices`.
            metrics: Label → metric → value; None for undefined, never NaN.
            data: Data manifest, JSON-able.
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
            save_state(incoming / WEIGHTS_NAME, state)
            sync(incoming / WEIGHTS_NAME)
            digest = sha256_of(incoming / WEIGHTS_NAME)
            with self._lock(task):
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
                    data=dict(data or {}),
                    folder=folder / f"v{number}",
                )
                write_json(incoming / METADATA_NAME, version.to_json())
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

    def promote(self, task: str, version: str, *, reason: str, by: str = "carina") -> ModelVersion:
        """Serve `version` from now on.

        Args:
            task: Task name.
            version: An existing version; promoting the served one changes nothing.
            reason: For the history: the gate's words, or a person's.
            by: Who decided.

        Raises:
            UnknownModelError: If there is no such version.
        """
        target = self.get(task, version)
        with self._lock(task):
            if self._served_name(task) != version:
                self._point(task, version, action="promote", reason=reason, by=by)
        return target

    def rollback(self, task: str, *, reason: str = "rollback", by: str = "carina") -> ModelVersion:
        """Serve again what was served before; repeated, it goes further back.

        Raises:
            NoModelError: If nothing was served before.
        """
        with self._lock(task):
            stack = _served_stack(self.history(task))
            if len(stack) < 2:
                raise NoModelError(f"Task '{task}' must have served two versions to roll back, got {len(stack)}.")
            target = self.get(task, stack[-2])
            self._point(task, target.version, action="rollback", reason=reason, by=by)
        return target

    def history(self, task: str) -> tuple[Mapping[str, Any], ...]:
        """Changes of the pointer, oldest first: `when`, `action`, `from`, `to`, `by`, `reason`."""
        return tuple(read_json_lines(self.folder(task) / _HISTORY))

    def load_state(self, version: ModelVersion) -> dict[str, Tensor]:
        """The weights on the CPU, after checking their hash.

        Raises:
            UnknownModelError: If the file is gone.
            ConfigurationError: If it is not the file that was stored.
        """
        path = version.weights_path
        if not path.is_file():
            raise UnknownModelError(f"Weights of '{version.task}' {version.version} are missing. Restore them.")
        if sha256_of(path) != version.sha256:
            raise ConfigurationError(
                f"Weights of '{version.task}' {version.version} must have the SHA-256 in model.json, got another one: "
                f"the file was changed. Restore it, or roll back with `carina models rollback {version.task}`."
            )
        return load_state(path)

    def load_into(self, network: nn.Module, version: ModelVersion, *, spec: TaskSpec) -> None:
        """Load a version's weights into a task's network.

        Raises:
            ConfigurationError: If the version was made for other labels, spacing, intensities or network.
        """
        what = f"Model '{version.task}' {version.version}"
        if version.fingerprint != spec.fingerprint():
            raise ConfigurationError(
                f"{what} must match the task's labels, spacing, intensities and network, got a version made for "
                f"others{_label_difference(version, spec)}. Train a new version or promote one that matches."
            )
        state = self.load_state(version)
        check_state(state, network, what=what)
        network.load_state_dict(state)

    def import_weights(
        self, spec: TaskSpec, path: Path, *, source: Source = "imported", public: PublicWeights | None = None
    ) -> ModelVersion:
        """Make a version from a weights file of somebody else; a second import of one file returns the first's version.

        Nothing in the file is executed, and every tensor's shape is checked against the task's network.

        Raises:
            InvalidInputError: If the file is damaged, unsafe, or not the one its publisher announced.
            ConfigurationError: If it does not fit the network.
        """
        from ..networks.factory import build_network

        digest = sha256_of(path)
        if public is not None and public.sha256 not in (None, digest):
            raise InvalidInputError(
                f"Weights file '{path.name}' must have the SHA-256 {public.sha256}, got {digest}. Fetch it again."
            )
        fingerprint = spec.fingerprint()
        for version in self.list(spec.name):
            if version.data.get("file_sha256") == digest and version.fingerprint == fingerprint:
                return version
        state = load_foreign_state(path, state_key=public.state_key if public else None)
        check_state(state, build_network(spec), what=f"Weights file '{path.name}'")
        data: dict[str, Any] = {"file_name": path.name, "file_sha256": digest}
        if public is not None:
            data |= {"published_at": public.source, "licence": public.licence}
        return self.add(spec.name, state, fingerprint=fingerprint, labels=spec.labels.indices, data=data, source=source)

    def import_public(self, spec: TaskSpec) -> ModelVersion | None:
        """Take up public weights that a user put into the task's folder; served at once if nothing else is.

        Returns:
            The version, or None if none of `spec.weights` is there.

        Raises:
            InvalidInputError: As `import_weights`.
            ConfigurationError: As `import_weights`.
        """
        for public in spec.weights:
            path = self.folder(spec.name) / public.file_name
            if path.is_file():
                with FileLock(self.folder(spec.name) / ".import.lock"):
                    version = self.import_weights(spec, path, source="public", public=public)
                if self._served_name(spec.name) is None:
                    self.promote(spec.name, version.version, reason=f"public weights '{public.file_name}' found")
                return version
        return None

    def _lock(self, task: str) -> FileLock:
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


def _served_stack(history: tuple[Mapping[str, Any], ...]) -> tuple[str, ...]:
    """Versions a rollback can reach, the served one last: a promotion pushes, a rollback pops."""
    stack: tuple[str, ...] = ()
    for entry in history:
        stack = stack[:-1] if entry["action"] == "rollback" else (*stack, str(entry["to"]))
    return stack


def _label_difference(version: ModelVersion, spec: TaskSpec) -> str:
    ours, theirs = set(spec.labels.names), set(version.labels)
    parts = [f"without {', '.join(sorted(ours - theirs)[:3])}"] if ours - theirs else []
    parts += [f"with {', '.join(sorted(theirs - ours)[:3])}"] if theirs - ours else []
    return f" ({'; '.join(parts)})" if parts else ""
