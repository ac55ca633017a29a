"""Every version of a label, as it can be asked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sqlalchemy import Select, or_, select

from ..errors import UnknownLabelError
from .annotation import CONSENSUS_TAG, FINAL_TAG, Annotation, from_row
from .database import Database
from .tables import AnnotationRow, WithdrawalRow
from .versions import fit_for_training, in_use, row_of


class VersionTable:
    """The rows of all versions, read only.

    Args:
        database: Where they are; its tables must be there.
    """

    def __init__(self, database: Database) -> None:
        self.database = database

    def get(self, annotation_id: str) -> Annotation:
        """One version, withdrawn or not.

        Raises:
            UnknownLabelError: If there is none.
        """
        with self.database.reading() as session:
            row = row_of(session, annotation_id)
            return from_row(row, withdrawn=session.get(WithdrawalRow, row.id) is not None)

    def latest(self, image_id: str, *, tag: str = "final", task: str | None = None) -> Annotation:
        """The newest version of an image that was not withdrawn.

        Args:
            image_id: Id in the image store.
            tag: Which sort.
            task: Only versions made for this task; None takes any.

        Raises:
            UnknownLabelError: If there is none.
        """
        query = in_use().where(AnnotationRow.image_id == image_id, AnnotationRow.tag == tag)
        if task is not None:
            query = query.where(AnnotationRow.task == task)
        found = self._first(query)
        if found is None:
            raise UnknownLabelError(f"Image '{image_id[:64]}' must have a label tagged '{tag[:64]}', got none stored.")
        return found

    def versions(self, image_id: str) -> list[Annotation]:
        """All versions of an image, oldest first, withdrawn ones included and marked."""
        return self.versions_of_all([image_id])[image_id]

    def versions_of_all(self, image_ids: Sequence[str]) -> dict[str, list[Annotation]]:
        """As `versions`, of several images at once: image id → versions, none of an image without."""
        found: dict[str, list[Annotation]] = {image_id: [] for image_id in image_ids}
        with self.database.reading() as session:
            withdrawn = AnnotationRow.id.in_(select(WithdrawalRow.annotation_id))
            query = select(AnnotationRow, withdrawn).where(AnnotationRow.image_id.in_(image_ids))
            for row, out in session.execute(query.order_by(AnnotationRow.sequence)):
                found[row.image_id].append(from_row(row, withdrawn=bool(out)))
        return found

    def labelled(self, tag: str = "final") -> list[Annotation]:
        """Every version with a tag that was not withdrawn, oldest first."""
        query = in_use().where(AnnotationRow.tag == tag).order_by(AnnotationRow.sequence)
        with self.database.reading() as session:
            return [from_row(row, withdrawn=False) for row in session.scalars(query)]

    def for_training(self, tag: str = FINAL_TAG) -> list[Annotation]:
        """The versions that may be learned from, oldest first: nothing rejected, of an accepted case only that."""
        with self.database.reading() as session:
            return [from_row(row, withdrawn=False) for row in fit_for_training(session, tag=tag)]

    def named(self, annotation_ids: Collection[str]) -> list[Annotation]:
        """Those of these versions that were not withdrawn, oldest first, whatever became of their cases."""
        query = in_use().where(AnnotationRow.id.in_(annotation_ids)).order_by(AnnotationRow.sequence)
        with self.database.reading() as session:
            return [from_row(row, withdrawn=False) for row in session.scalars(query)]

    def labelled_images(self, tag: str = "final") -> list[str]:
        """Ids of the images that have a version with a tag, in alphabetical order."""
        query = in_use().where(AnnotationRow.tag == tag).with_only_columns(AnnotationRow.image_id).distinct()
        with self.database.reading() as session:
            return sorted(session.scalars(query))

    def before(self, image_id: str, task: str | None) -> Annotation | None:
        """The version that a new one of a case would follow; None if it is the first."""
        query = in_use().where(AnnotationRow.image_id == image_id, AnnotationRow.tag != CONSENSUS_TAG)
        if task is not None:
            query = query.where(or_(AnnotationRow.task == task, AnnotationRow.task.is_(None)))
        return self._first(query)

    def _first(self, query: Select[AnnotationRow]) -> Annotation | None:
        with self.database.reading() as session:
            row = session.scalars(query.order_by(AnnotationRow.sequence.desc()).limit(1)).first()
            return None if row is None else from_row(row, withdrawn=False)
