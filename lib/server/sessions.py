"""Sessions: images a client brings that are in no PACS, kept under an id until they expire."""

from __future__ import annotations

import json
import shutil
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..datastores.ids import check_id
from ..errors import NotFoundError

_META = "session.json"
_DEFAULT_EXPIRY_S = 3600
_LONGEST_EXPIRY_S = 7 * 24 * 3600


@dataclass(frozen=True, kw_only=True)
class Session:
    """One session's image.

    Attributes:
        session_id: Made by the server; cannot be guessed.
        folder: The session's own folder.
        image: Name of the image inside it: one file, or a folder of DICOM instances.
        created: Unix time.
        last_access: Unix time.
        expiry_s: Seconds after the last access at which it goes.
    """

    session_id: str
    folder: Path
    image: str
    created: float
    last_access: float
    expiry_s: float

    @property
    def path(self) -> Path:
        """The image."""
        return self.folder / self.image

    @property
    def expired(self) -> bool:
        """Whether its time has run out."""
        return time.time() > self.last_access + self.expiry_s

    def describe(self) -> dict[str, Any]:
        """The form MONAI Label's clients know; `path` and `image` are names, not places on the server."""
        return {
            "name": self.session_id,
            "path": self.session_id,
            "image": self.image,
            "meta": {},
            "create_ts": int(self.created),
            "last_access_ts": int(self.last_access),
            "expiry": int(self.expiry_s),
        }


class Sessions:
    """All sessions, one folder each. Safe for threads: every session is written once and renamed into place.

    Args:
        root: `Settings.sessions_dir`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def add(self, fill: Callable[[Path], str], *, expiry_s: float = 0) -> Session:
        """Make a session.

        Args:
            fill: Puts the image into the folder it is given and returns its name there; when it raises, nothing stays.
            expiry_s: Seconds after the last access; 0 means one hour, a week at most.
        """
        self.remove_expired()
        session_id = str(uuid.uuid4())
        incoming = self._root / f".{session_id}"
        incoming.mkdir(parents=True)
        try:
            now = time.time()
            session = Session(
                session_id=session_id,
                folder=self._root / session_id,
                image=fill(incoming),
                created=now,
                last_access=now,
                expiry_s=min(expiry_s, _LONGEST_EXPIRY_S) if expiry_s > 0 else _DEFAULT_EXPIRY_S,
            )
            _write(incoming, session)
            incoming.rename(session.folder)
        except BaseException:
            shutil.rmtree(incoming, ignore_errors=True)
            raise
        return session

    def get(self, session_id: str, *, touch: bool = False) -> Session:
        """A session that has not expired.

        Args:
            session_id: As `add` made it.
            touch: Start its time anew.

        Raises:
            UnsafeIdError: If the id could leave the folder.
            NotFoundError: If there is no such session.
        """
        folder = self._root / check_id(session_id, what="A session id")
        session = _read(folder)
        if session is None or session.expired:
            raise NotFoundError(f"A session must exist, got '{session_id}'. It may have expired: upload it again.")
        if touch:
            session = Session(**{**_fields(session), "last_access": time.time()})
            _write(folder, session)
        return session

    def remove(self, session_id: str) -> Session:
        """End a session and delete its image.

        Raises:
            NotFoundError: If there is no such session.
        """
        session = self.get(session_id)
        shutil.rmtree(session.folder, ignore_errors=True)
        return session

    def remove_expired(self) -> int:
        """Delete what has expired, and what a killed server left half written; how many."""
        gone = 0
        for folder in self._root.iterdir() if self._root.is_dir() else ():
            session = None if folder.name.startswith(".") else _read(folder)
            try:
                stale = time.time() - folder.stat().st_mtime > _DEFAULT_EXPIRY_S
            except FileNotFoundError:  # another request has just finished, or removed it
                continue
            if (session is None and stale) or (session is not None and session.expired):
                shutil.rmtree(folder, ignore_errors=True)
                gone += 1
        return gone


def _fields(session: Session) -> dict[str, Any]:
    return {name: getattr(session, name) for name in asdict(session)}


def _write(folder: Path, session: Session) -> None:
    fields = {key: value for key, value in _fields(session).items() if key != "folder"}
    partial = folder / f".{uuid.uuid4().hex}"
    partial.write_text(json.dumps(fields))
    partial.replace(folder / _META)


def _read(folder: Path) -> Session | None:
    try:
        return Session(folder=folder, **json.loads((folder / _META).read_text()))
    except (OSError, ValueError, TypeError):
        return None
