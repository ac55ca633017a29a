"""carina's own routes, under `/carina`: what MONAI Label's protocol has no words for."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from ..datastores.ids import check_id
from ..errors import InvalidInputError
from ..task import TaskSpec
from .catalogue import label_details
from .inputs import refuse_reserved, text_of
from .services import Services
from .training import task_dictionary
from .wiring import ServicesOf

router = APIRouter(prefix="/carina", tags=["carina"])


@router.get("/tasks")
def tasks(services: ServicesOf) -> list[dict[str, Any]]:
    """Every task with its labels, their codes and colours."""
    return [_task(services, spec) for spec in services.tasks]


@router.get("/models/{task}")
def models(services: ServicesOf, task: str) -> dict[str, Any]:
    """The versions of a task, which one is served, and every change of that."""
    spec = services.tasks.get(task)
    served = services.models.served(spec.name)
    return {
        "task": spec.name,
        "served": served.version if served else None,
        "versions": [version.to_json() for version in services.models.list(spec.name)],
        "history": [dict(entry) for entry in services.models.history(spec.name)],
    }


@router.post("/models/{task}/promote")
def promote(services: ServicesOf, task: str, params: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    """Serve a version from the next request on."""
    refuse_reserved(params)
    version = text_of(params, "version")
    if version is None:
        raise InvalidInputError("A promotion must name the 'version'.")
    reason = text_of(params, "reason", limit=500) or "promoted by a person"
    return services.models.promote(services.tasks.get(task).name, version, reason=reason, by=_who(params)).to_json()


@router.post("/models/{task}/rollback")
def rollback(
    services: ServicesOf, task: str, params: Annotated[dict[str, Any] | None, Body()] = None
) -> dict[str, Any]:
    """Serve again what was served before."""
    options = params or {}
    refuse_reserved(options)
    reason = text_of(options, "reason", limit=500) or "rolled back by a person"
    return services.models.rollback(services.tasks.get(task).name, reason=reason, by=_who(options)).to_json()


@router.get("/jobs")
def jobs(services: ServicesOf) -> list[dict[str, Any]]:
    """All jobs, oldest first."""
    return [task_dictionary(services, job, details=False) for job in services.jobs.jobs()]


@router.get("/jobs/{job_id}")
def job(services: ServicesOf, job_id: str) -> dict[str, Any]:
    """One job with the last lines of its log."""
    return task_dictionary(services, services.jobs.status(check_id(job_id, what="A job id")))


@router.delete("/jobs/{job_id}")
def cancel_job(services: ServicesOf, job_id: str) -> dict[str, Any]:
    """Ask a job to stop."""
    return task_dictionary(services, services.jobs.cancel(check_id(job_id, what="A job id")))


@router.get("/jobs/{job_id}/events")
def job_events(services: ServicesOf, job_id: str, offset: Annotated[int, Query(ge=0)] = 0) -> dict[str, Any]:
    """What a job reported from `offset` on, and the offset to ask from next."""
    events, following = services.jobs.events(check_id(job_id, what="A job id"), offset=offset)
    return {"events": events, "offset": following}


@router.get("/annotations/{image_id}")
def annotation_versions(services: ServicesOf, image_id: str) -> list[dict[str, Any]]:
    """Every stored version of an image's labels, oldest first."""
    return [label_details(services, version) for version in services.annotations.versions(check_id(image_id))]


@router.get("/infer")
async def inferences(services: ServicesOf) -> list[dict[str, Any]]:
    """The inferences the server remembers."""
    return [ticket.describe() for ticket in services.pool.tickets()]


@router.get("/infer/{request_id}")
async def inference(services: ServicesOf, request_id: str) -> dict[str, Any]:
    """How far an inference is; clients choose its id with the parameter `request_id`."""
    return services.pool.ticket(check_id(request_id, what="A request id")).describe()


@router.delete("/infer/{request_id}")
async def cancel_inference(services: ServicesOf, request_id: str) -> dict[str, Any]:
    """Ask an inference to stop."""
    return services.pool.cancel(check_id(request_id, what="A request id")).describe()


@router.get("/deliveries")
def deliveries(services: ServicesOf) -> dict[str, Any]:
    """How many labels are on their way to the PACS, and what holds them up."""
    return services.outbox.status()


@router.post("/deliveries/retry")
def retry_deliveries(services: ServicesOf) -> dict[str, Any]:
    """Try again at once what failed or waits."""
    services.annotations.deliveries.retry_all()
    services.outbox.wake()
    return services.outbox.status()


@router.get("/store")
def store(services: ServicesOf) -> dict[str, Any]:
    """Where the images are, and whether it answers."""
    return dict(services.store.status())


def _who(params: dict[str, Any]) -> str:
    return text_of(params, "user") or text_of(params, "client_id") or "a client"


def _task(services: Services, spec: TaskSpec) -> dict[str, Any]:
    served = services.models.served(spec.name)
    return {
        "name": spec.name,
        "kind": spec.kind,
        "description": spec.description,
        "modality": list(spec.modality),
        "dimension": spec.dimension,
        "served": served.version if served else None,
        "weights": [{"file_name": known.file_name, "source": known.source} for known in spec.weights],
        "labels": [
            {
                "name": label.name,
                "index": label.index,
                "colour": list(label.colour),
                "type": vars(label.type),
                "modifier": vars(label.modifier) if label.modifier else None,
            }
            for label in spec.labels
        ],
    }
