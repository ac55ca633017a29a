"""A job's events as server-sent events (WHATWG HTML, 9.2); the event loop only waits, files are read in threads."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.concurrency import run_in_threadpool

from ..errors import InvalidInputError
from .background import task_dictionary
from .services import Services

_LOOK_S = 0.5
_HEARTBEAT_S = 15.0


async def stream(
    services: Services, job_id: str, *, offset: int, heartbeat_s: float = _HEARTBEAT_S
) -> AsyncIterator[str]:
    """The events of a job from a byte offset on, as they come, and `end` with the job's dictionary once it has ended.

    A client that hangs up cancels this generator at its next wait.

    Args:
        services: The server's parts.
        job_id: Of a job that is there.
        offset: Where the first event begins.
        heartbeat_s: Without events for so long, a comment keeps proxies from closing the connection.
    """
    spoken = time.monotonic()
    while True:
        job = await run_in_threadpool(services.jobs.status, job_id)  # before the events, so that none is missed
        for following, event in await run_in_threadpool(services.jobs.folder(job_id).events_at, offset=offset):
            yield _event(event.get("type", "message"), event, identity=following)
            offset, spoken = following, time.monotonic()
        if not job.active:
            yield _event("end", await run_in_threadpool(task_dictionary, services, job), identity=offset)
            return
        if time.monotonic() - spoken >= heartbeat_s:
            yield ": still there\n\n"
            spoken = time.monotonic()
        await anyio.sleep(_LOOK_S)


def offset_of(last_event_id: str | None, *, default: int) -> int:
    """Where a client that comes back goes on.

    Raises:
        InvalidInputError: If the header is not an id that `stream` gave.
    """
    if not last_event_id:
        return default
    if not (last_event_id.isascii() and last_event_id.isdecimal()) or len(last_event_id) > 18:
        raise InvalidInputError(
            f"Last-Event-ID must be the id of an event of this stream, got '{last_event_id[:32]}'. Leave it out."
        )
    return int(last_event_id)


def _event(name: str, content: dict[str, Any], *, identity: int) -> str:
    return f"event: {name}\nid: {identity}\ndata: {json.dumps(content)}\n\n"
