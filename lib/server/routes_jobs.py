"""Jobs of every kind, under `/carina/jobs`: list, look, follow, cancel, resume."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query
from starlette.responses import StreamingResponse

from ..datastores.ids import check_id
from .background import task_dictionary
from .inputs import MOST
from .job_stream import offset_of, stream
from .wiring import ServicesOf

router = APIRouter(prefix="/carina/jobs", tags=["Jobs"])
JobId = Annotated[str, Path()]
Offset = Annotated[int, Query(ge=0, le=MOST)]


@router.get("")
def jobs(services: ServicesOf, kind: str | None = None) -> list[dict[str, Any]]:
    """All jobs, oldest first."""
    return [task_dictionary(services, job, details=False) for job in services.jobs.jobs(kind=kind)]


@router.get("/{job_id}")
def job(services: ServicesOf, job_id: JobId) -> dict[str, Any]:
    """One job with the last lines of its log."""
    return task_dictionary(services, services.jobs.status(_checked(job_id)))


@router.delete("/{job_id}")
def cancel(services: ServicesOf, job_id: JobId) -> dict[str, Any]:
    """Ask a job to stop; it leaves a checkpoint."""
    return task_dictionary(services, services.jobs.cancel(_checked(job_id)))


@router.post("/{job_id}/resume")
def resume(services: ServicesOf, job_id: JobId) -> dict[str, Any]:
    """Let a job go on that was cancelled, failed or was interrupted."""
    return task_dictionary(services, services.jobs.resume(_checked(job_id)))


@router.get("/{job_id}/events")
def events(services: ServicesOf, job_id: JobId, offset: Offset = 0) -> dict[str, Any]:
    """What a job reported from `offset` on, and the offset to ask from next."""
    found, following = services.jobs.events(_checked(job_id), offset=offset)
    return {"events": found, "offset": following}


@router.get("/{job_id}/stream")
def follow(
    services: ServicesOf,
    job_id: JobId,
    offset: Offset = 0,
    last_event_id: Annotated[str | None, Header()] = None,
) -> StreamingResponse:
    """The same as server-sent events, until the job has ended: `progress`, `epoch`, `image`, `state`, then `end`.

    Each event's id is the offset after it. A client that comes back with `Last-Event-ID` misses nothing.
    """
    services.jobs.status(_checked(job_id))
    return StreamingResponse(
        stream(services, job_id, offset=offset_of(last_event_id, default=offset)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


def _checked(job_id: str) -> str:
    return check_id(job_id, what="A job id")
