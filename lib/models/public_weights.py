"""Weights that somebody else published: which ones a task can load, whether they are there, and how they are taken up.

Nothing is downloaded. A user puts the file into `<models_dir>/<task>/`, or names it to `carina weights import`; it is
hashed, read with `weights_only=True`, compared with the network tensor by tensor, and stored as safetensors.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from ..errors import InvalidInputError
from ..task import PublicWeights, TaskSpec
from .files import sha256_of
from .foreign_layouts import adapted
from .store import ModelStore
from .version import PRETRAINED, ModelVersion, Source
from .weights import check_state, load_foreign_state

State = Literal["missing", "unchecked", "verified", "damaged"]

# Part of a licence's name, in lower case -> what it means for a hospital. The first one that is found counts.
_RESTRICTIONS = {
    "-nc": "No commercial use, which clinical routine may be.",
    "noncommercial": "No commercial use, which clinical routine may be.",
    "non-commercial": "No commercial use, which clinical routine may be.",
    "research": "For research only, not for clinical routine.",
    "academic": "For academic use only, not for clinical routine.",
    "proprietary": "Needs the publisher's permission.",
    "-sa": "What is trained from it must be passed on under the same licence.",
    "gpl": "What is trained from it may have to be passed on under the same licence.",
}


@dataclass(frozen=True, kw_only=True)
class WeightsFile:
    """One entry of the weights manifest, as it stands on this machine.

    Attributes:
        task: That can load it.
        public: What the task declares.
        path: Where the file belongs.
        state: `missing`; `damaged` (not the announced hash); `verified`; `unchecked`, where no hash is announced.
        sha256: Of the file that is there, None if there is none or it was not hashed.
        version: The model version made from it, None before it was taken up.
    """

    task: str
    public: PublicWeights
    path: Path
    state: State
    sha256: str | None
    version: str | None


def restriction(licence: str) -> str:
    """What a licence forbids, in words; empty for one that forbids nothing of concern."""
    lowered = licence.lower()
    return next((words for part, words in _RESTRICTIONS.items() if part in lowered), "")


def weights_of(models: ModelStore, spec: TaskSpec) -> tuple[WeightsFile, ...]:
    """The task's entries of the weights manifest, every file that is there hashed."""
    return tuple(_examine(models, spec, public) for public in spec.weights)


def import_weights(
    models: ModelStore, spec: TaskSpec, path: Path, *, source: Source = "imported", public: PublicWeights | None = None
) -> ModelVersion:
    """Make a version from a weights file of somebody else; a second import of one file returns the first's version.

    Nothing in the file is executed, and every tensor's shape is checked against the task's network.

    Raises:
        InvalidInputError: If the file is damaged, unsafe, or not the one its publisher announced.
        ConfigurationError: If it does not fit the network.
    """
    import torch

    from ..networks.factory import build_network

    digest = _hash(path)
    if public is not None and public.sha256 not in (None, digest):
        raise InvalidInputError(
            f"Weights file '{path.name}' must have the SHA-256 {public.sha256}, got {digest}. Fetch it again."
        )
    known = _version_of(models, spec, digest)
    if known is not None:
        return known
    with torch.random.fork_rng():
        torch.manual_seed(spec.trainer.seed)
        network = build_network(spec)
    layout = public.layout if public else "carina"
    state = load_foreign_state(path, state_key=public.state_key if public else None, layout=layout)
    state = adapted(state, layout, network)
    check_state(state, network, what=f"Weights file '{path.name}'")
    data: dict[str, Any] = {"file_name": path.name, "file_sha256": digest}
    if public is not None:
        data |= {"published_at": public.source, "licence": public.licence}
    return models.add(
        spec.name,
        state,
        fingerprint=spec.fingerprint(),
        labels=spec.labels.indices,
        task_spec=spec.to_json(),
        data=data,
        source=source if public is None or public.judges else PRETRAINED,
    )


def import_public(models: ModelStore, spec: TaskSpec) -> ModelVersion | None:
    """Take up public weights that a user put into the task's folder; served at once if nothing else is.

    Returns:
        The version, or None if none of `spec.weights` is there that can answer.

    Raises:
        InvalidInputError: As `import_weights`.
        ConfigurationError: As `import_weights`.
    """
    for public in spec.weights:
        path = models.folder(spec.name) / public.file_name
        if path.is_file():
            with FileLock(models.folder(spec.name) / ".import.lock"):
                version = import_weights(models, spec, path, source="public", public=public)
            if not public.judges:
                continue
            if models.served(spec.name) is None:
                models.promote(spec.name, version.version, reason=f"public weights '{public.file_name}' found")
            return version
    return None


def announced(spec: TaskSpec, path: Path) -> PublicWeights | None:
    """The task's entry that a file is: by its hash, else by its name; None if the task announces no such file."""
    digest = _hash(path)
    by_hash = [public for public in spec.weights if public.sha256 == digest]
    by_name = [public for public in spec.weights if public.file_name == path.name]
    return next(iter([*by_hash, *by_name]), None)


def _examine(models: ModelStore, spec: TaskSpec, public: PublicWeights) -> WeightsFile:
    path = models.folder(spec.name) / public.file_name
    digest = sha256_of(path) if path.is_file() else None
    version = _version_of(models, spec, digest or public.sha256)
    state: State = "missing"
    if digest is not None:
        state = "unchecked" if public.sha256 is None else "verified" if digest == public.sha256 else "damaged"
    return WeightsFile(
        task=spec.name,
        public=public,
        path=path,
        state=state,
        sha256=digest,
        version=version.version if version else None,
    )


def _version_of(models: ModelStore, spec: TaskSpec, digest: str | None) -> ModelVersion | None:
    """The version made from a file of this hash for this form of the task, if its weights are still there."""
    fingerprint = spec.fingerprint()
    made = (
        version
        for version in models.list(spec.name)
        if digest is not None and version.data.get("file_sha256") == digest and version.fingerprint == fingerprint
    )
    return next((version for version in made if version.has_weights), None)


def _hash(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise InvalidInputError(f"Weights file '{path.name}' must be readable, got {error.strerror}.") from error
