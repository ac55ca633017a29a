"""What was seen in images: embeddings, and which structures a model finds; the newest look of each task only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from .annotation import safe
from .database import Database, locked_row, utc_now
from .tables import ImageInfoRow, LookRow

NO_MODEL = ""
"""In place of a model version: features of the image alone."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KeptLook:
    """One image, seen by one model version.

    Attributes:
        embedding: `(n,)` float32.
        presence: Label name → 0–1; empty without a model.
    """

    embedding: NDArray[np.float32]
    presence: Mapping[str, float]


@dataclass(frozen=True, kw_only=True, eq=False)
class Gallery:
    """Looks that may be compared with each other.

    Attributes:
        task: Whose.
        model_version: Which version looked; `NO_MODEL` if none did.
        looks: Image id → look.
    """

    task: str
    model_version: str
    looks: Mapping[str, KeptLook]


class LookTable:
    """One look per task and image; a newer one replaces it. Any number of threads and processes may use it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, image_id: str, look: KeptLook, *, task: str, model_version: str) -> None:
        """Keep a look; one that a power cut undoes is taken again."""
        safe(image_id, what="An image id")
        embedding = np.asarray(look.embedding, "<f4").tobytes()
        with self._database.writing(durable=False) as session:
            row, _ = locked_row(
                session,
                LookRow,
                (task, image_id),
                lambda: LookRow(
                    task=task, image_id=image_id, model_version=model_version, embedding=b"", presence={},
                    updated=utc_now(),
                ),
            )  # fmt: skip
            row.model_version = model_version
            row.embedding = embedding
            row.presence = dict(look.presence)
            row.updated = utc_now()

    def version(self, image_id: str, *, task: str) -> str | None:
        """Which version looked at an image last; None if nobody has."""
        with self._database.reading() as session:
            row = session.get(LookRow, (task, image_id))
            return row.model_version if row else None

    def newest(self, task: str | None = None) -> Gallery | None:
        """The looks of the version that looked last; None if there are none.

        Args:
            task: Whose; None for the task that was looked at last.
        """
        with self._database.reading() as session:
            wanted = select(LookRow.task, LookRow.model_version).order_by(LookRow.updated.desc()).limit(1)
            if task is not None:
                wanted = wanted.where(LookRow.task == task)
            last = session.execute(wanted).first()
            if last is None:
                return None
            columns = select(LookRow.image_id, LookRow.embedding, LookRow.presence).where(
                LookRow.task == last.task, LookRow.model_version == last.model_version
            )
            looks = {
                row.image_id: KeptLook(embedding=np.frombuffer(row.embedding, "<f4"), presence=row.presence)
                for row in session.execute(columns)
            }
        return Gallery(task=last.task, model_version=last.model_version, looks=looks)

    def scores(self, key: str, *, model_version: str) -> dict[str, float]:
        """Image id → the score that the image's notes hold under a key, as far as it is of this version."""
        value, version = (ImageInfoRow.info[(key, name)] for name in ("value", "version"))
        found = select(ImageInfoRow.subject, value.as_float()).where(version.as_string() == model_version)
        with self._database.reading() as session:
            return {image_id: score for image_id, score in session.execute(found) if score is not None}
