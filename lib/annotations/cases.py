"""Where the work on each image and task stands: reading it, and the one function that changes it.

Any number of threads and processes may use one database. Lock order within a transaction: lease, case, notes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from ..errors import ConflictError, InvalidInputError, UnknownLabelError
from .annotation import DRAFT_TAG, HISTORY_TAG, safe
from .audit import AuditAction, record
from .database import Database, locked_row, locked_rows, utc_now
from .leases import drop_lease
from .states import STATES, Action, State, check_reason, targets
from .tables import AnnotationRow, CaseStateRow, WithdrawalRow
from .versions import is_readers_work, of_case, row_of, verdicts


@dataclass(frozen=True, kw_only=True)
class Case:
    """The work on one image for one task.

    Attributes:
        image_id: Id in the image store.
        task: Whose labels; empty for labels of no task.
        state: Where it stands.
        annotation_id: The version it stands on, if there is one: the newest, or the accepted one.
        user: Who brought it there.
        reason: Why, if somebody said.
        changed: UTC; None for a case nobody has touched.
    """

    image_id: str
    task: str
    state: State = "unlabelled"
    annotation_id: str | None = None
    user: str | None = None
    reason: str = ""
    changed: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """For clients and programs."""
        return {**vars(self), "changed": self.changed.isoformat() if self.changed else None}


class CaseTable:
    """Reads cases, and takes a reviewer's and a reader's word on them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, image_id: str, task: str | None) -> Case:
        """One case; an untouched one is `unlabelled`."""
        with self._database.reading() as session:
            row = session.get(CaseStateRow, (image_id, task or ""))
            return Case(image_id=image_id, task=task or "") if row is None else _case(row)

    def of_image(self, image_id: str) -> list[Case]:
        """The cases of an image that somebody has touched, by task."""
        query = select(CaseStateRow).where(CaseStateRow.image_id == image_id).order_by(CaseStateRow.task)
        with self._database.reading() as session:
            return [_case(row) for row in session.scalars(query)]

    def task_of(self, image_id: str, named: str | None) -> str:
        """The task named, else the only one of the image; empty if there is none.

        Raises:
            InvalidInputError: If none is named and there are several.
        """
        if named is not None:
            return named
        tasks = [case.task for case in self.of_image(image_id)]
        if len(tasks) > 1:
            listed = ", ".join(task or "none" for task in tasks)
            raise InvalidInputError(f"The task must be named, got an image with work for several. Name one: {listed}.")
        return tasks[0] if tasks else ""

    def list(
        self, *, state: State | None = None, task: str | None = None, offset: int = 0, limit: int | None = 100
    ) -> list[Case]:
        """Touched cases in the order of their images, filtered and by the page; without a limit all."""
        query = select(CaseStateRow).where(*_conditions(state, task))
        query = query.order_by(CaseStateRow.image_id, CaseStateRow.task)
        with self._database.reading() as session:
            return [_case(row) for row in session.scalars(query.offset(offset).limit(limit))]

    def counts(self, *, task: str | None = None) -> dict[State, int]:
        """State → touched cases in it; every state is named."""
        query = select(CaseStateRow.state, func.count()).where(*_conditions(None, task)).group_by(CaseStateRow.state)
        with self._database.reading() as session:
            found = {cast(State, state): count for state, count in session.execute(query)}
        return {state: found.get(state, 0) for state in STATES}

    def accept(
        self,
        image_id: str,
        task: str | None,
        *,
        user: str | None = None,
        reason: str = "",
        annotation_id: str | None = None,
    ) -> Case:
        """Accept a version of a case; the newest submitted one when none is named. From then on it alone trains.

        Raises:
            ConflictError: If the case is in no state to be accepted, or has nothing to accept.
            UnknownLabelError: If the version named is not one of the case's, is withdrawn or is a draft.
        """
        with self._database.writing() as session:
            row = _locked(session, image_id, task)
            targets(cast(State, row.state), "accept")
            wanted = annotation_id or row.annotation_id
            if wanted is None:
                raise ConflictError("To accept a case it must have a label, got none. Submit one first.")
            version = row_of(session, wanted)
            withdrawn = session.get(WithdrawalRow, version.id) is not None
            if (version.image_id, version.task or "") != (image_id, row.task) or withdrawn or version.tag == DRAFT_TAG:
                raise UnknownLabelError(
                    f"Annotation '{version.id}' must be submitted work on this case and in use. Ask for its versions."
                )
            return _move(session, row, "accept", user=user, reason=reason, annotation_id=version.id, current=version.id)

    def reject(self, image_id: str, task: str | None, *, user: str | None = None, reason: str = "") -> Case:
        """Reject what was submitted: it does not train, and the case is handed out again.

        Raises:
            ConflictError: If the case is not submitted.
        """
        return self._say(image_id, task, "reject", user=user, reason=reason)

    def reopen(self, image_id: str, task: str | None, *, user: str | None = None, reason: str = "") -> Case:
        """Ask for more work on a case.

        Raises:
            ConflictError: If there is nothing to reopen.
        """
        return self._say(image_id, task, "reopen", user=user, reason=reason)

    def skip(self, image_id: str, task: str | None, *, user: str | None = None, reason: str) -> Case:
        """Leave a case out, and release its lease when the user holds it.

        Raises:
            UnsafeIdError: If the id is not safe.
            InvalidInputError: If no reason is given.
            ConflictError: If there is submitted work on the case.
        """
        return self._say(image_id, task, "skip", user=user, reason=reason)

    def _say(self, image_id: str, task: str | None, action: Action, *, user: str | None, reason: str) -> Case:
        safe(image_id, what="An image id")
        reason = check_reason(action, reason)
        with self._database.writing() as session:
            if action == "skip" and user:
                drop_lease(session, image_id, holder=user)
            row = _locked(session, image_id, task)
            about = current = row.annotation_id
            if action == "reopen":  # what was submitted after an acceptance has waited for this
                current = _newest_work(session, row) or current
            return _move(session, row, action, user=user, reason=reason, annotation_id=about, current=current)


def note_version(session: Session, version: AnnotationRow) -> None:
    """Advance the case of a new version, within the transaction that stores it.

    Merged versions change no state: they count once somebody accepts them. Nor do old ones adopted from the PACS.
    """
    details = {
        "tag": version.tag,
        "origin": version.origin,
        "parent": version.parent,
        "model_version": version.model_version,
        "voxels_changed": version.voxels_changed,
        "time_spent_s": version.time_spent_s,
        "sources": version.sources,
    }
    if version.tag != DRAFT_TAG and not is_readers_work(version.tag):
        beside: AuditAction = "adopt" if version.tag == HISTORY_TAG else "consensus"
        record(
            session, beside, version.image_id, task=version.task, user=version.author, annotation_id=version.id,
            details=details,
        )  # fmt: skip
        return
    row = _locked(session, version.image_id, version.task)
    action: Action = "draft" if version.tag == DRAFT_TAG else "submit"
    (target,) = targets(cast(State, row.state), action)
    taken_up = target == ("draft" if action == "draft" else "submitted")
    _move(
        session,
        row,
        action,
        user=version.author,
        annotation_id=version.id,
        current=version.id if taken_up else row.annotation_id,
        details=details,
    )


def note_drafts(
    session: Session,
    image_ids: Collection[str],
    *,
    task: str,
    user: str | None = None,
    model_version: str | None = None,
) -> None:
    """Advance the cases that a model has made a draft of, within the transaction that notes the drafts."""
    there = (CaseStateRow.image_id.in_(image_ids), CaseStateRow.task == task)
    rows = locked_rows(
        session,
        select(CaseStateRow).where(*there).order_by(CaseStateRow.image_id),
        key=lambda row: row.image_id,
        new=lambda image_id: _new(image_id, task),
        wanted=image_ids,
    )
    details = {"origin": "automatic", "model_version": model_version}
    for image_id in image_ids:
        _move(session, rows[image_id], "draft", user=user, current=rows[image_id].annotation_id, details=details)


def note_withdrawal(session: Session, version: AnnotationRow, *, user: str | None, reason: str) -> None:
    """Bring a case back to where it stood before the version withdrawn, within the transaction that withdraws it.

    A withdrawal of another version than the one its case stands on changes nothing but the trail.
    """
    session.flush()  # the withdrawal itself, so that the version is out of use below
    row = _locked(session, version.image_id, version.task)
    if row.annotation_id != version.id:
        record(
            session, "withdraw", version.image_id, task=version.task, user=user, annotation_id=version.id,
            details={"from": row.state, "to": row.state, "reason": reason},
        )  # fmt: skip
        return
    to, current = _before(session, cast(State, row.state), version)
    _move(session, row, "withdraw", to=to, user=user, reason=reason, annotation_id=version.id, current=current)


def _before(session: Session, state: State, withdrawn: AnnotationRow) -> tuple[State, str | None]:
    """The state a withdrawal leads to, and the version the case then stands on."""
    left = session.scalars(of_case(withdrawn.image_id, withdrawn.task)).all()
    work = [version for version in left if is_readers_work(version.tag)]
    said = verdicts(session, image_id=withdrawn.image_id)
    standing = next((version for version in work if not said.rejected(version)), None)
    to: State = "submitted"
    if standing is None and work:
        standing, to = work[0], "rejected"
    elif standing is None:
        standing = next((version for version in left if version.tag == DRAFT_TAG), None)
        to = "unlabelled" if standing is None else "draft"
    if state == "skipped" or (state == "reopened" and to in ("submitted", "rejected")):
        to = state
    return to, standing.id if standing else None


def _newest_work(session: Session, row: CaseStateRow) -> str | None:
    versions = session.scalars(of_case(row.image_id, row.task))
    return next((version.id for version in versions if is_readers_work(version.tag)), None)


def _move(
    session: Session,
    row: CaseStateRow,
    action: Action,
    *,
    current: str | None,
    to: State | None = None,
    user: str | None = None,
    reason: str = "",
    annotation_id: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> Case:
    """The one writer of states: what the table allows, with its entry in the audit trail.

    Args:
        session: The transaction of the change.
        row: The case, locked.
        action: What happens.
        current: The version the case stands on afterwards.
        to: Which of the states the table allows; needed where there are several.
        user: Who.
        reason: Why.
        annotation_id: The version the action is about.
        details: More for the trail.

    Raises:
        ConflictError: If the table has no such transition.
    """
    before = cast(State, row.state)
    allowed = targets(before, action)
    after = to if to is not None else next(iter(allowed))
    assert after in allowed, f"{action} leads from {before} to {after}, which the table does not have"  # noqa: S101
    if (after, current) != (before, row.annotation_id) or reason:
        row.state, row.annotation_id, row.author, row.reason = after, current, user, reason
        row.changed = utc_now()
    record(
        session,
        action,
        row.image_id,
        task=row.task,
        user=user,
        annotation_id=annotation_id,
        details={"from": before, "to": after, "reason": reason, **(details or {})},
    )
    return _case(row)


def _locked(session: Session, image_id: str, task: str | None) -> CaseStateRow:
    row, _ = locked_row(session, CaseStateRow, (image_id, task or ""), lambda: _new(image_id, task))
    return row


def _new(image_id: str, task: str | None) -> CaseStateRow:
    return CaseStateRow(image_id=image_id, task=task or "", state="unlabelled", reason="", changed=utc_now())


def _conditions(state: State | None, task: str | None) -> list[ColumnElement[bool]]:
    wanted = [] if state is None else [CaseStateRow.state == state]
    return wanted if task is None else [*wanted, CaseStateRow.task == task]


def _case(row: CaseStateRow) -> Case:
    return Case(
        image_id=row.image_id,
        task=row.task,
        state=cast(State, row.state),
        annotation_id=row.annotation_id,
        user=row.author,
        reason=row.reason,
        changed=row.changed,
    )
