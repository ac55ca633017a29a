"""States, leases, versions and the audit trail of annotations, under `/carina`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Query

from ..annotations.consensus import make_consensus
from ..annotations.states import check_state, needs_reason, possible
from ..datastores.ids import check_id
from ..errors import InvalidInputError
from .catalogue import label_details
from .inputs import MOST, chosen, text_of, user_of
from .services import Services
from .wiring import ServicesOf

router = APIRouter(prefix="/carina", tags=["Annotations"])

_WHO = frozenset({"user", "client_id"})
_SAYING = _WHO | {"task", "model", "reason", "annotation"}
_MERGING = _WHO | {"task", "model", "method", "deliver"}
_REASON_LENGTH = 500

Params = Annotated[dict[str, Any] | None, Body()]
Offset = Annotated[int, Query(ge=0, le=MOST)]
Limit = Annotated[int, Query(ge=1, le=1000)]


@router.get("/cases")
def cases(
    services: ServicesOf, state: str | None = None, task: str | None = None, offset: Offset = 0, limit: Limit = 100
) -> dict[str, Any]:
    """The cases somebody has touched, by image; `counts` are of the task, whatever the state asked for."""
    wanted = check_state(state) if state else None
    table = services.annotations.cases
    found = table.list(state=wanted, task=task, offset=offset, limit=limit)
    return {"cases": [case.to_json() for case in found], "counts": table.counts(task=task)}


@router.get("/cases/{image_id}")
def cases_of_image(services: ServicesOf, image_id: str) -> list[dict[str, Any]]:
    """Where the work on one image stands, for each task somebody has touched."""
    return [case.to_json() for case in services.annotations.cases.of_image(check_id(image_id))]


@router.get("/cases/{image_id}/standing")
def standing(services: ServicesOf, image_id: str, task: str | None = None) -> dict[str, Any]:
    """Where one case stands, what a person may ask for now, and who has the image."""
    checked = check_id(image_id)
    case = services.annotations.cases.get(checked, _task(services, checked, {"task": task}))
    holder = next((lease for lease in services.annotations.leases.active() if lease.image_id == checked), None)
    return {
        **case.to_json(),
        "actions": {action: {"needs_reason": needs_reason(action)} for action in possible(case.state)},
        "lease": holder.to_json() if holder else None,
    }


@router.post("/cases/{image_id}/accept")
def accept(services: ServicesOf, image_id: str, params: Params = None) -> dict[str, Any]:
    """Accept a case's newest version, or the one that `annotation` names."""
    said = chosen(params or {}, _SAYING)
    annotation = text_of(said, "annotation")
    return services.annotations.cases.accept(
        check_id(image_id),
        _task(services, image_id, said),
        user=user_of(said),
        reason=_reason(said),
        annotation_id=check_id(annotation, what="An annotation's id") if annotation else None,
    ).to_json()


@router.post("/cases/{image_id}/reject")
def reject(services: ServicesOf, image_id: str, params: Params = None) -> dict[str, Any]:
    """Reject a case's submitted work; it does not train, and the case is handed out again."""
    said = chosen(params or {}, _SAYING)
    task = _task(services, image_id, said)
    return services.annotations.cases.reject(
        check_id(image_id), task, user=user_of(said), reason=_reason(said)
    ).to_json()


@router.post("/cases/{image_id}/skip")
def skip(services: ServicesOf, image_id: str, params: Params = None) -> dict[str, Any]:
    """Leave a case out for a `reason`; without a task, the image for every task."""
    said = chosen(params or {}, _SAYING)
    services.store.record(check_id(image_id))
    task = _task(services, image_id, said) if _named(said) else None
    return services.annotations.cases.skip(image_id, task, user=user_of(said), reason=_reason(said)).to_json()


@router.post("/cases/{image_id}/reopen")
def reopen(services: ServicesOf, image_id: str, params: Params = None) -> dict[str, Any]:
    """Ask for more work on a case, or take back that it was skipped."""
    said = chosen(params or {}, _SAYING)
    task = _task(services, image_id, said)
    return services.annotations.cases.reopen(
        check_id(image_id), task, user=user_of(said), reason=_reason(said)
    ).to_json()


@router.get("/leases")
def leases(services: ServicesOf) -> list[dict[str, Any]]:
    """Who has which image now, and until when."""
    return [lease.to_json() for lease in services.annotations.leases.active()]


@router.post("/leases/{image_id}")
def take_lease(services: ServicesOf, image_id: str, params: Params = None) -> dict[str, Any]:
    """Take an image, or hold on to it for longer."""
    services.store.record(check_id(image_id))
    return services.annotations.leases.take(image_id, user_of(chosen(params or {}, _WHO)) or "").to_json()


@router.delete("/leases/{image_id}")
def release_lease(
    services: ServicesOf, image_id: str, user: str | None = None, client_id: str | None = None, force: bool = False
) -> dict[str, bool]:
    """Give an image back; somebody else's only with `force`."""
    who = user_of({"user": user, "client_id": client_id})
    if who is None and not force:
        raise InvalidInputError("A lease must be released by its holder, got no name. Say 'user', or use 'force'.")
    released = services.annotations.leases.release(check_id(image_id), None if force else who, by=who)
    return {"released": released}


@router.get("/annotations/{image_id}")
def annotation_versions(services: ServicesOf, image_id: str) -> list[dict[str, Any]]:
    """Every stored version of an image's labels, oldest first."""
    return [label_details(services, version) for version in services.annotations.versions(check_id(image_id))]


@router.post("/annotations/{image_id}/consensus")
def consensus(services: ServicesOf, image_id: str, params: Params = None) -> dict[str, Any]:
    """Merge the newest version of each reader with the `method` `staple` or `majority`, as a version of its own."""
    said = chosen(params or {}, _MERGING)
    deliver = bool(said.get("deliver")) and bool(services.store.record(check_id(image_id)).study_instance_uid)
    merged = make_consensus(
        services.annotations,
        check_id(image_id),
        task=_task(services, image_id, said) or None,
        method=text_of(said, "method") or "staple",
        user=user_of(said),
        deliver=deliver,
    )
    services.outbox.wake()
    return label_details(services, merged)


@router.get("/audit")
def audit(services: ServicesOf, image: str | None = None, after: Offset = 0, limit: Limit = 100) -> dict[str, Any]:
    """The audit trail from its beginning, of one image or all; ask for the next page with `after`."""
    entries = services.annotations.audit.page(image_id=check_id(image) if image else None, after=after, limit=limit)
    return {
        "entries": [entry.to_json() for entry in entries],
        "after": entries[-1].sequence if entries else after,
    }


def _task(services: Services, image_id: str, said: dict[str, Any]) -> str:
    """The task a request names, else the only one of the image; empty for none."""
    named = _named(said)
    if named is None or named in {case.task for case in services.annotations.cases.of_image(image_id)}:
        return services.annotations.cases.task_of(check_id(image_id), named)
    return services.tasks.get(named).name


def _named(said: dict[str, Any]) -> str | None:
    return text_of(said, "task") or text_of(said, "model")


def _reason(said: dict[str, Any]) -> str:
    return text_of(said, "reason", limit=_REASON_LENGTH) or ""
