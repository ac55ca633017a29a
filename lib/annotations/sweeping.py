"""Tidies up what crashes left behind among the label files."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import select

from .store import AnnotationStore
from .tables import AnnotationRow

logger = logging.getLogger(__name__)

_SWEEP_AGE_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class Swept:
    """What a crash had left behind: half files deleted, whole files without a row set aside."""

    deleted: int
    set_aside: tuple[Path, ...]


def sweep(annotations: AnnotationStore, *, older_than_s: float = _SWEEP_AGE_S) -> Swept:
    """Tidy up after crashes: delete half-written files, set aside whole ones that no row names.

    Nothing that was acknowledged is touched. Younger files may belong to a submit that is under way.
    """
    files = annotations.files
    parts = list(files.unfinished(older_than_s=older_than_s))
    for part in parts:
        part.unlink(missing_ok=True)
    complete = list(files.complete(older_than_s=older_than_s))
    with annotations.database.reading() as session:
        known = set(session.scalars(select(AnnotationRow.file_name)))
    orphans = [path for path in complete if path.relative_to(files.folder).as_posix() not in known]
    aside = tuple(files.set_aside(path) for path in orphans)
    if parts or aside:
        logger.warning("Swept %d half-written and set aside %d unacknowledged label files.", len(parts), len(aside))
    return Swept(deleted=len(parts), set_aside=aside)
