"""What was seen in images: embeddings, and which structures a model finds; the newest look of each task only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select

from .annotation import safe
from .database import Database, locked_row, utc_now
from .mirror import Mirror
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
    """One look per task and image; a newer one replaces it. Any number of threads and processes may use it.

    What was read is kept, of the last version of each task, and only what changed is read again.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._looks: dict[str, tuple[str, Mirror[KeptLook]]] = {}
        self._scores: dict[str, tuple[str, Mirror[float | None]]] = {}

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
            version, mirror = self._looks.get(last.task, ("", None))
            if mirror is None or version != last.model_version:
                mirror = _looks_of(last.task, last.model_version)
                self._looks[last.task] = last.model_version, mirror
            looks = mirror.read(session)
        return Gallery(task=last.task, model_version=last.model_version, looks=looks)

    def scores(self, key: str, *, model_version: str) -> dict[str, float]:
        """Image id → the score that the image's notes hold under a key, as far as it is of this version."""
        version, mirror = self._scores.get(key, ("", None))
        if mirror is None or version != model_version:
            mirror = _scores_of(key, model_version)
            self._scores[key] = model_version, mirror
        with self._database.reading() as session:
            scores = mirror.read(session)
        return {image_id: score for image_id, score in scores.items() if score is not None}


def _looks_of(task: str, model_version: str) -> Mirror[KeptLook]:
    return Mirror(
        LookRow.image_id,
        LookRow.updated,
        (LookRow.embedding, LookRow.presence),
        lambda row: KeptLook(embedding=np.frombuffer(row.embedding, "<f4"), presence=row.presence),
        where=(LookRow.task == task, LookRow.model_version == model_version),
    )


def _scores_of(key: str, model_version: str) -> Mirror[float | None]:
    """Of all images that have notes; None where they hold no such score."""
    value, version = (ImageInfoRow.info[(key, name)] for name in ("value", "version"))
    return Mirror(
        ImageInfoRow.subject,
        ImageInfoRow.updated,
        (value.as_float().label("score"), version.as_string().label("version")),
        lambda row: row.score if row.version == model_version else None,
    )
