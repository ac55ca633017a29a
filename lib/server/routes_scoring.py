"""Scoring: `/scoring`, as MONAI Label's clients call it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body

from ..errors import CarinaError, InvalidInputError
from ..jobs.job import Job
from ..jobs.look import KIND as LOOK
from ..jobs.score import KIND
from ..labels import did_you_mean
from . import background
from .background import task_dictionary
from .inputs import refuse_reserved, text_of
from .services import Services
from .wiring import ServicesOf

router = APIRouter(prefix="/scoring", tags=["Scoring"])
Params = Annotated[dict[str, Any] | None, Body()]

_NOT_OPTIONS = frozenset({"client_id", "user", "model", "task", "run_sync", "method"})


@router.get("")
def scoring_status(services: ServicesOf, all: bool = False, check_if_running: bool = False) -> Any:  # noqa: A002
    """The newest scoring, all of them, or 404 when none runs (or ever ran)."""
    return background.status(services, KIND.name, all_of_them=all, check_if_running=check_if_running)


@router.post("")
def score_all(services: ServicesOf, params: Params = None) -> dict[str, Any]:
    """Queue every scoring method; the parameters of each are under its name."""
    answer: dict[str, Any] = {}
    for method in services.scoring:
        own = (params or {}).get(method.name)
        try:
            job = _start(services, method.name, own if isinstance(own, dict) else {}, enqueue=True)
        except CarinaError as error:
            answer[method.name] = {"result": None, "detail": str(error)}
        else:
            answer[method.name] = {"result": task_dictionary(services, job, details=False), "detail": None}
    return answer


@router.post("/{method}")
def score(services: ServicesOf, method: str, params: Params = None) -> dict[str, Any]:
    """Score images with the model of the task that `model` names, in a process of its own."""
    return task_dictionary(services, _start(services, services.scoring.get(method).name, params or {}))


@router.put("/looks/{task}")
def look_at_images(services: ServicesOf, task: str, params: Params = None) -> dict[str, Any]:
    """Look at images so that strategies can compare them, with the task's model or without one."""
    given = params or {}
    refuse_reserved(given)
    options = {name: value for name, value in given.items() if name not in _NOT_OPTIONS}
    user = text_of(given, "user") or text_of(given, "client_id")
    request = {"task": services.tasks.get(task).name, "options": options}
    return task_dictionary(services, services.jobs.start(LOOK.name, request, user=user))


@router.delete("")
def scoring_stop(services: ServicesOf) -> dict[str, Any]:
    """Stop the scoring that runs, and those that wait."""
    return background.stop(services, KIND.name)


def _start(services: Services, method: str, params: Mapping[str, Any], *, enqueue: bool = False) -> Job:
    refuse_reserved(params)
    options = {name: value for name, value in params.items() if name not in _NOT_OPTIONS}
    request = {"task": _task(services, params), "options": {"method": method, **options}}
    user = text_of(params, "user") or text_of(params, "client_id")
    return services.jobs.start(KIND.name, request, user=user, enqueue=enqueue)


def _task(services: Services, params: Mapping[str, Any]) -> str:
    """The task whose model scores; it need not be said where there is one only."""
    name = text_of(params, "model") or text_of(params, "task")
    if name is not None:
        return services.tasks.get(name).name
    if len(services.tasks) == 1:
        return services.tasks.names[0]
    raise InvalidInputError(
        f"A scoring must say whose model scores, got no 'model'.{did_you_mean('', services.tasks.names)}"
    )
