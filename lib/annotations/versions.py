"""Queries for versions: which are in use, which were turned down, which may train."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from sqlalchemy import Select, exists, or_, select
from sqlalchemy.orm import Session

from ..errors import UnknownLabelError
from ..regions import Place
from .annotation import CONSENSUS_TAG, DRAFT_TAG, HISTORY_TAG
from .notes import notes_on, place_in
from .tables import AnnotationRow, AuditRow, CaseStateRow, LabelInfoRow, WithdrawalRow

_NOT_READERS_WORK = (DRAFT_TAG, CONSENSUS_TAG, HISTORY_TAG)


def in_use() -> Select[AnnotationRow]:
    """Every version that was not withdrawn."""
    return select(AnnotationRow).where(~exists().where(WithdrawalRow.annotation_id == AnnotationRow.id))


def row_of(session: Session, annotation_id: str) -> AnnotationRow:
    """The row of one version, withdrawn or not.

    Raises:
        UnknownLabelError: If there is none.
    """
    row = session.scalars(select(AnnotationRow).where(AnnotationRow.id == annotation_id)).first()
    if row is None:
        raise UnknownLabelError(f"Annotation '{annotation_id[:64]}' must be stored, got no version of that id.")
    return row


def is_readers_work(tag: str) -> bool:
    """Whether versions with a tag are what a person submitted, and not a draft or computed from others."""
    return tag not in _NOT_READERS_WORK


def of_case(image_id: str, task: str | None) -> Select[AnnotationRow]:
    """The versions in use of one case, drafts and merged ones among them, newest first."""
    of_task = AnnotationRow.task == task if task else AnnotationRow.task.is_(None)
    return in_use().where(AnnotationRow.image_id == image_id, of_task).order_by(AnnotationRow.sequence.desc())


@dataclass
class Verdicts:
    """What reviewers said so far; a rejection concerns every version that its case had at the time."""

    _rejected_up_to: dict[tuple[str, str], int] = field(default_factory=dict)
    _accepted_since: dict[tuple[str, str], set[str]] = field(default_factory=dict)

    def rejected(self, version: AnnotationRow) -> bool:
        """Whether the last word on a version was a rejection."""
        case = version.image_id, version.task or ""
        if version.sequence > self._rejected_up_to.get(case, 0):
            return False
        return version.id not in self._accepted_since.get(case, ())

    def add(self, action: str, version: AnnotationRow) -> None:
        """Take in one verdict; they come in their order."""
        case = version.image_id, version.task or ""
        if action == "reject":
            self._rejected_up_to[case] = max(version.sequence, self._rejected_up_to.get(case, 0))
            self._accepted_since.pop(case, None)
        else:
            self._accepted_since.setdefault(case, set()).add(version.id)


def verdicts(session: Session, *, image_id: str | None = None) -> Verdicts:
    """The verdicts on one image, or on all."""
    query = (
        select(AuditRow.action, AnnotationRow)
        .join(AnnotationRow, AnnotationRow.id == AuditRow.annotation_id)
        .where(AuditRow.action.in_(("accept", "reject")))
        .order_by(AuditRow.sequence)
    )
    if image_id is not None:
        query = query.where(AuditRow.image_id == image_id)
    found = Verdicts()
    for action, version in session.execute(query):
        found.add(action, version)
    return found


def fit_for_training(session: Session, *, tag: str) -> Iterable[AnnotationRow]:
    """The versions a training may learn from, oldest first.

    Of an accepted case the accepted version alone, whatever its tag, and where that is about a part of the image what
    was said before of other parts; of a rejected or skipped case nothing; of any other every version in use with the
    tag that no rejection concerns.

    Args:
        session: To read with.
        tag: Of finished work.
    """
    cases = {(row.image_id, row.task): row for row in session.scalars(select(CaseStateRow))}
    accepted = select(CaseStateRow.annotation_id).where(CaseStateRow.state == "accepted")
    said, at_places = verdicts(session), _places(session, accepted)
    query = in_use().where(or_(AnnotationRow.tag == tag, AnnotationRow.id.in_(accepted)))
    for version in session.scalars(query.order_by(AnnotationRow.sequence)):
        case = cases.get((version.image_id, version.task or ""))
        if case is not None and case.state == "accepted":
            place, until = at_places.get(case.annotation_id or "", (None, 0))
            before = version.sequence < until and not said.rejected(version)
            if version.id == case.annotation_id or (
                before and place_in(notes_on(session, LabelInfoRow, version.id)) not in (None, place)
            ):
                yield version
        elif (case is None or case.state not in ("rejected", "skipped")) and not said.rejected(version):
            yield version


def _places(session: Session, ids: Select[str | None]) -> dict[str, tuple[Place, int]]:
    """Of the versions that are about a part of their image: id → which, and their place in the order of versions."""
    query = select(AnnotationRow.id, AnnotationRow.sequence, LabelInfoRow.info).join(
        LabelInfoRow, LabelInfoRow.subject == AnnotationRow.id
    )
    rows = session.execute(query.where(AnnotationRow.id.in_(ids)))
    return {version: (place, sequence) for version, sequence, info in rows if (place := place_in(info)) is not None}
