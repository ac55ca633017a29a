"""carina's own routes, under `/carina`: what MONAI Label's protocol has no words for."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from ..datastores.ids import check_id
from ..errors import ForbiddenError, InvalidInputError
from ..models.version import QUALITIES, ModelVersion
from ..task import TaskSpec
from .inputs import refuse_reserved, text_of
from .services import Services
from .wiring import ServicesOf

router = APIRouter(prefix="/carina", tags=["carina"])


@router.get("/tasks")
def tasks(services: ServicesOf) -> list[dict[str, Any]]:
    """Every task with its labels, their codes and colours."""
    return [_task(services, spec) for spec in services.tasks]


@router.get("/models/{task}")
def models(services: ServicesOf, task: str) -> dict[str, Any]:
    """The versions of a task, which one is served, every change of that, and whether clients may change it."""
    spec = services.tasks.get(task)
    served = services.models.served(spec.name)
    return {
        "task": spec.name,
        "served": served.version if served else None,
        "versions": [_version(version) for version in services.models.list(spec.name)],
        "reachable": list(services.models.reachable(spec.name)),
        "changes_allowed": services.settings.promotion_allowed,
        "history": [dict(entry) for entry in services.models.history(spec.name)],
    }


@router.post("/models/{task}/promote")
def promote(services: ServicesOf, task: str, params: Annotated[dict[str, Any], Body()]) -> dict[str, Any]:
    """Serve a version from the next request on."""
    _check_promotion(services)
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
    _check_promotion(services)
    options = params or {}
    refuse_reserved(options)
    reason = text_of(options, "reason", limit=500) or "rolled back by a person"
    return services.models.rollback(services.tasks.get(task).name, reason=reason, by=_who(options)).to_json()


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


def _check_promotion(services: Services) -> None:
    if not services.settings.promotion_allowed:
        raise ForbiddenError(
            f"A client must be allowed to say which model is served, got a server on {services.settings.host}. "
            "Use `carina models`, or start the server with CARINA_PROMOTION=yes."
        )


def _version(version: ModelVersion) -> dict[str, Any]:
    decision, quality = version.decision(), version.quality
    return {
        **version.listed(),
        "quality": None if quality is None else {"metric": QUALITIES[quality[0]], "mean": quality[1]},
        "has_weights": version.has_weights,
        "decision": {key: decision[key] for key in ("promoted", "reason")} if decision else None,
    }


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
        "crop_mm": spec.crop_mm,
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
