"""Training: `/train`, as MONAI Label's clients call it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from ..errors import CarinaError
from . import background
from .background import task_dictionary
from .training import TRAIN, start_training
from .wiring import ServicesOf

router = APIRouter(tags=["Training"])
Params = Annotated[dict[str, Any] | None, Body()]


@router.get("/train")
def status(services: ServicesOf, all: bool = False, check_if_running: bool = False) -> Any:  # noqa: A002  MONAI's name
    """The newest training, all of them, or 404 when none runs (or ever ran)."""
    return background.status(services, TRAIN, all_of_them=all, check_if_running=check_if_running)


@router.post("/train")
def train_all(services: ServicesOf, params: Params = None) -> dict[str, Any]:
    """Queue a training of every task; the parameters of each are under its name."""
    answer: dict[str, Any] = {}
    for spec in services.tasks:
        if not spec.learns:
            continue
        own = (params or {}).get(spec.name)
        try:
            job = start_training(services, spec, own if isinstance(own, dict) else {}, enqueue=True)
        except CarinaError as error:
            answer[spec.name] = {"result": None, "detail": str(error)}
        else:
            answer[spec.name] = {"result": task_dictionary(services, job, details=False), "detail": None}
    return answer


@router.post("/train/{model}")
def train(services: ServicesOf, model: str, params: Params = None, enqueue: bool = False) -> dict[str, Any]:
    """Start training a task from the labels submitted so far."""
    job = start_training(services, services.tasks.get(model), params or {}, enqueue=enqueue)
    return task_dictionary(services, job)


@router.delete("/train")
def stop(services: ServicesOf) -> dict[str, Any]:
    """Stop the training that runs, and those that wait."""
    return background.stop(services, TRAIN)
