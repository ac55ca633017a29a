"""Old weights make room: the newest versions, and all that anybody may still need, keep theirs.

What a version was made from and how good it was stays for ever; only `weights.safetensors` goes, and `pruned.json` says
when, by whom and why.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from ..errors import InvalidInputError
from .files import sync, write_json
from .store import ModelStore
from .version import PRUNED_NAME, ModelVersion


@dataclass(frozen=True, kw_only=True)
class Retention:
    """What stays and what goes.

    Attributes:
        removed: Versions whose weights go (or went), oldest first.
        kept: Version → why its weights stay.
        freed_bytes: Their size.
    """

    removed: tuple[str, ...]
    kept: dict[str, str]
    freed_bytes: int


def prune(
    models: ModelStore, task: str, *, keep: int, by: str, parents: bool = False, dry_run: bool = False
) -> Retention:
    """Take the weights of old versions away.

    Never those of the served version, of one that a rollback can reach, or of one that the served version started from.

    Args:
        models: The store.
        task: Task name.
        keep: How many of the newest versions with weights keep them in any case.
        by: Who asked.
        parents: Whether the parent of the served version may go too.
        dry_run: Only say what would happen.

    Raises:
        InvalidInputError: If `keep` is negative.
    """
    if keep < 0:
        raise InvalidInputError(f"The number of versions to keep must be at least 0, got {keep}.")
    with models.lock(task):
        there = [version for version in models.list(task) if version.has_weights]
        kept = _reasons(models, task, there, keep=keep, parents=parents)
        going = [version for version in there if version.version not in kept]
        freed = sum(version.weights_path.stat().st_size for version in going)
        if not dry_run:
            for version in going:
                _take_away(version, by=by, reason=f"retention, the newest {keep} kept")
    return Retention(removed=tuple(version.version for version in going), kept=kept, freed_bytes=freed)


def _reasons(models: ModelStore, task: str, there: list[ModelVersion], *, keep: int, parents: bool) -> dict[str, str]:
    """Version → why it stays; the strongest reason last."""
    reasons = {version.version: f"one of the newest {keep}" for version in there[len(there) - keep :] if keep}
    reasons |= dict.fromkeys(models.reachable(task), "a rollback can reach it")
    served = models.served(task)
    if served is not None:
        if served.parent and not parents:
            reasons[served.parent] = f"parent of the served {served.version}"
        reasons[served.version] = "served"
    names = [version.version for version in there]
    return {name: reasons[name] for name in names if name in reasons}


def _take_away(version: ModelVersion, *, by: str, reason: str) -> None:
    """Record first: a crash in between leaves weights with a record, which is read as weights that are there."""
    record = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": by,
        "reason": reason,
        "bytes": version.weights_path.stat().st_size,
    }
    write_json(version.folder / PRUNED_NAME, record)
    version.weights_path.unlink()
    sync(version.folder)
