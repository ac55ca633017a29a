"""What is left to label, and handing it out: one look at the database for any number of images.

Choosing needs no lock: whatever was chosen is checked again in the transaction that hands it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from ..errors import ConflictError
from .annotation import safe
from .database import Database, utc_now
from .leases import take_lease
from .notes import merge_notes
from .tables import AnnotationRow, CaseStateRow, ImageInfoRow, LeaseRow
from .versions import in_use

OFFERED = "strategy"
"""Key of the notes that say when which strategy handed an image out, in MONAI Label's own form."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which labels are wanted.

    Attributes:
        tag: Which sort.
        task: For which task; None for any.
    """

    tag: str
    task: str | None = None


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What stands against handing out images, at one moment.

    Attributes:
        closed: Images with a label that was not turned down, and skipped ones.
        holders: Image id → who holds it now, in the order in which they were taken.
        offered: Image id → Unix time at which the strategy last offered it.
        drafted: Image id → Unix time since which a draft waits for a person.
    """

    closed: frozenset[str]
    holders: Mapping[str, str]
    offered: Mapping[str, float]
    drafted: Mapping[str, float]


class Worklist:
    """Finds what is left and hands it out; any number of threads and processes may.

    Args:
        database: Where labels, cases, leases and notes are.
        lease_s: How long an image stays with the one who got it.
    """

    def __init__(self, database: Database, *, lease_s: float) -> None:
        self._database = database
        self._lease_s = lease_s

    def look(self, wanted: Wanted, *, strategy: str) -> Outlook:
        """What is closed, leased, and when it was offered; a handful of queries, whatever the number of images."""
        noted = ImageInfoRow.info[(OFFERED, strategy, "ts")].as_string()
        with self._database.reading() as session:
            active = select(LeaseRow.image_id, LeaseRow.holder).where(LeaseRow.expires > utc_now())
            leases = session.execute(active.order_by(LeaseRow.taken, LeaseRow.image_id)).all()
            notes = session.execute(select(ImageInfoRow.subject, noted).where(noted.is_not(None)))
            drafts = select(CaseStateRow.image_id, CaseStateRow.changed).where(CaseStateRow.state == "draft")
            if wanted.task is not None:
                drafts = drafts.where(CaseStateRow.task == wanted.task)
            return Outlook(
                closed=frozenset(_closed(session, wanted)),
                holders={lease.image_id: lease.holder for lease in leases},
                offered={image_id: _seconds(text) for image_id, text in notes},
                drafted={image_id: changed.timestamp() for image_id, changed in session.execute(drafts)},
            )

    def labelled_by(self, user: str, wanted: Wanted) -> int:
        """How many images a user has labelled, whatever a reviewer said of it."""
        mine = in_use().where(AnnotationRow.tag == wanted.tag, AnnotationRow.author == user)
        if wanted.task is not None:
            mine = mine.where(AnnotationRow.task == wanted.task)
        images = mine.with_only_columns(AnnotationRow.image_id).distinct().subquery()
        with self._database.reading() as session:
            return session.scalar(select(func.count()).select_from(images)) or 0

    def hand_out(
        self, image_id: str, wanted: Wanted, *, strategy: str, holder: str | None, note: Mapping[str, Any]
    ) -> bool:
        """Hand an image out, unless somebody was faster; the lease, and the note of it, in one transaction.

        Args:
            image_id: Which.
            wanted: What for; an image labelled meanwhile is not handed out.
            strategy: Which chose it.
            holder: Who gets it. A client that does not say who it is gets the image without holding it.
            note: Kept among the image's notes.

        Returns:
            False if the image is not to be had any more.
        """
        safe(image_id, what="An image id")
        try:
            with self._database.writing(durable=False) as session:
                if holder:
                    take_lease(session, image_id, holder=holder, duration_s=self._lease_s)
                elif self._held(session, image_id):
                    return False
                if _closed(session, wanted, image_id=image_id):
                    raise ConflictError("An image must lack its label when it is handed out, got one labelled now.")
                _note(session, image_id, strategy, note)
        except ConflictError:  # leaves nothing behind, the lease included
            return False
        return True

    def _held(self, session: Session, image_id: str) -> bool:
        row = session.get(LeaseRow, image_id)
        return row is not None and row.expires > utc_now()


def _closed(session: Session, wanted: Wanted, *, image_id: str | None = None) -> set[str]:
    """Images not to be handed out: skipped ones, and those whose label nobody has turned down."""
    labelled = in_use().where(AnnotationRow.tag == wanted.tag).with_only_columns(AnnotationRow.image_id).distinct()
    cases = select(CaseStateRow.image_id, CaseStateRow.state).where(
        CaseStateRow.state.in_(("skipped", "rejected", "reopened"))
    )
    if wanted.task is not None:
        labelled = labelled.where(AnnotationRow.task == wanted.task)
        skipped_for_all = (CaseStateRow.task == "") & (CaseStateRow.state == "skipped")
        cases = cases.where(or_(CaseStateRow.task == wanted.task, skipped_for_all))
    if image_id is not None:
        labelled = labelled.where(AnnotationRow.image_id == image_id)
        cases = cases.where(CaseStateRow.image_id == image_id)
    skipped: set[str] = set()
    turned_down: set[str] = set()
    for image, state in session.execute(cases):
        (skipped if state == "skipped" else turned_down).add(image)
    return (set(session.scalars(labelled)) - turned_down) | skipped


def _note(session: Session, image_id: str, strategy: str, note: Mapping[str, Any]) -> None:
    offered = merge_notes(session, ImageInfoRow, image_id, {}).get(OFFERED)  # locks them before they are read
    known = offered if isinstance(offered, dict) else {}
    merge_notes(session, ImageInfoRow, image_id, {OFFERED: {**known, strategy: dict(note)}})


def _seconds(text: str) -> float:
    try:
        return float(text)
    except ValueError:  # a client's own note under this name
        return 0.0
