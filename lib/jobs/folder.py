"""The folder of one job: the only thing a server and a job's process share besides the database.

job.json                  what to do                        written by the server at each start
access.json               address and credentials, 0600     written by the server, deleted by the process once read
cancel                    its existence asks the process to stop
process.json              pid and start time                written by the process
plan.json                 what a training works on          written by the process at its first start
checkpoint.safetensors    where a training stands           deleted once it has ended well
start.json                what it began from, if tried      written by the process
events.jsonl              progress, one object per line, of all attempts
log.txt                   all it printed, in all attempts
result.json               how it ended well…
error.json                …or not: cause and a sentence
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from ..errors import ConfigurationError
from ..models.files import write_json
from .process import ProcessMark

Said = Literal["error", "cancel", "stop"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a process said about its end: a result, or a cause and a sentence."""

    result: Mapping[str, Any] | None
    cause: Said | None = None
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class ImageAccess:
    """How to reach the images; kept out of command lines, logs and the database.

    Attributes:
        store_url: As `datastores.port.open_store` takes it.
        credentials: User and password.
        verify_tls: True, False, or a file or folder of certificates.
    """

    store_url: str
    credentials: tuple[str, str] | None = None
    verify_tls: bool | Path = True


class JobFolder:
    """Reads and writes one job's files.

    Args:
        path: `<jobs_dir>/<id>`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.log = path / "log.txt"
        self.overlay = path / "overlay.png"
        self.checkpoint = path / "checkpoint.safetensors"
        self._plan = path / "plan.json"
        self._access = path / "access.json"
        self._cancel = path / "cancel"
        self._events = path / "events.jsonl"

    def prepare(self, request: Mapping[str, Any], *, access: ImageAccess) -> None:
        """Make the folder, for its owner only, and write what the process needs."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_json(self.path / "job.json", dict(request))
        self.forget_access()
        descriptor = os.open(self._access, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        verify = str(access.verify_tls) if isinstance(access.verify_tls, Path) else access.verify_tls
        content = {"store_url": access.store_url, "credentials": access.credentials, "verify_tls": verify}
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            json.dump(content, stream)

    def request(self) -> dict[str, Any]:
        """What to do.

        Raises:
            ConfigurationError: If `job.json` is missing or damaged.
        """
        content = _read(self.path / "job.json")
        if content is None:
            raise ConfigurationError("A job folder must hold an intact job.json, got none. Start the job again.")
        return content

    def take_access(self) -> ImageAccess:
        """How to reach the images; the file is gone afterwards.

        Raises:
            ConfigurationError: If it was taken already.
        """
        content = _read(self._access)
        if content is None:
            raise ConfigurationError("A job must be started by the server, got no access.json. Start it again.")
        self.forget_access()
        credentials = content["credentials"]
        verify = content["verify_tls"]
        return ImageAccess(
            store_url=str(content["store_url"]),
            credentials=None if credentials is None else (str(credentials[0]), str(credentials[1])),
            verify_tls=verify if isinstance(verify, bool) else Path(verify),
        )

    def forget_access(self) -> None:
        """Delete the credentials."""
        self._access.unlink(missing_ok=True)

    def ask_to_cancel(self) -> None:
        """Leave the flag the process looks for; asking twice keeps the first time."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileExistsError):
            self._cancel.touch(exist_ok=False)

    def cancel_age_s(self) -> float | None:
        """Seconds since cancelling was asked for; None when it was not."""
        try:
            return max(0.0, time.time() - self._cancel.stat().st_mtime)
        except FileNotFoundError:
            return None

    def write_process(self, process: ProcessMark) -> None:
        """Written by the process itself: the server may have died before it could note the pid."""
        write_json(self.path / "process.json", {"pid": process.pid, "started": process.started})

    def process(self) -> ProcessMark | None:
        """The process as it introduced itself; None when it has not come so far."""
        content = _read(self.path / "process.json")
        return None if content is None else ProcessMark(pid=int(content["pid"]), started=float(content["started"]))

    def plan(self) -> dict[str, Any] | None:
        """What a training works on, fixed at its first start; None before that."""
        return _read(self._plan)

    def write_plan(self, plan: Mapping[str, Any]) -> None:
        """Fix what a training works on, so that each later attempt is the same training."""
        write_json(self._plan, dict(plan))

    def append_event(self, event: Mapping[str, Any]) -> None:
        """Add one line to the events: the job's process does, and the server while there is no process.

        A line torn by a crash is closed first, so that it takes no other with it.
        """
        line = json.dumps({"time": round(time.time(), 3), **event}, allow_nan=False) + "\n"
        with self._events.open("ab+") as stream:
            size = stream.seek(0, os.SEEK_END)
            if size:
                stream.seek(size - 1)
                line = line if stream.read(1) == b"\n" else "\n" + line
            stream.write(line.encode())

    def events_at(self, *, offset: int = 0) -> list[tuple[int, dict[str, Any]]]:
        """Complete events from a byte offset on, each with the offset after it."""
        try:
            with self._events.open("rb") as stream:
                stream.seek(offset)
                content = stream.read()
        except FileNotFoundError:
            return []
        events = []
        for line in content[: content.rfind(b"\n") + 1].splitlines(keepends=True):
            offset += len(line)
            with contextlib.suppress(json.JSONDecodeError, UnicodeDecodeError):  # torn by a crash
                event = json.loads(line)
                if isinstance(event, dict):
                    events.append((offset, event))
        return events

    def events(self, *, offset: int = 0) -> tuple[list[dict[str, Any]], int]:
        """Complete events from a byte offset on, and the offset after them."""
        found = self.events_at(offset=offset)
        return [event for _, event in found], found[-1][0] if found else offset

    def log_tail(self, *, lines: int = 50, limit_bytes: int = 64 * 1024) -> list[str]:
        """The last lines of the log."""
        try:
            with self.log.open("rb") as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - limit_bytes))
                text = stream.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return text.splitlines()[-lines:]

    def log_from(self, offset: int) -> tuple[str, int]:
        """Complete lines of the log from a byte offset on, and the offset after them."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(offset)
                content = stream.read()
        except FileNotFoundError:
            return "", offset
        complete = content[: content.rfind(b"\n") + 1]
        return complete.decode("utf-8", errors="replace"), offset + len(complete)

    def write_result(self, result: Mapping[str, Any]) -> None:
        """The process ended well."""
        write_json(self.path / "result.json", dict(result))

    def write_error(self, cause: Said, error: str) -> None:
        """The process ended otherwise."""
        write_json(self.path / "error.json", {"cause": cause, "error": error})

    def outcome(self) -> Outcome | None:
        """What the process said about its end; None when it said nothing."""
        result = _read(self.path / "result.json")
        if result is not None:
            return Outcome(result=result)
        error = _read(self.path / "error.json")
        if error is None:
            return None
        return Outcome(result=None, cause=cast(Said, error.get("cause", "error")), error=str(error.get("error", "")))

    def clear_ending(self) -> None:
        """Forget how the last attempt ended, before there is another one; a request to cancel that came late stays."""
        for name in ("error.json", "process.json"):
            (self.path / name).unlink(missing_ok=True)

    def clear_for_resuming(self) -> None:
        """Forget the request to cancel too: a person wants the job to go on."""
        self.clear_ending()
        self._cancel.unlink(missing_ok=True)

    def forget_checkpoint(self) -> None:
        """Delete what only another attempt would need."""
        self.checkpoint.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return cast("dict[str, Any]", content) if isinstance(content, dict) else None
