"""Which image next: `/activelearning/{strategy}`; how much is left: `/carina/queue`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from .activelearning import PARAMETERS, choose_next, queue
from .inputs import chosen
from .wiring import ServicesOf

router = APIRouter(tags=["Active learning"])


@router.post("/activelearning/{strategy}")
def next_sample(
    services: ServicesOf, strategy: str, params: Annotated[dict[str, Any] | None, Body()] = None
) -> dict[str, Any]:
    """The next image to label; an empty object when every image has its label."""
    return choose_next(services, strategy, chosen(params or {}, PARAMETERS))


@router.get("/carina/queue")
def what_is_left(services: ServicesOf, user: str | None = None, task: str | None = None) -> dict[str, Any]:
    """How many images are left for a user, how many are done, and which ones the user holds."""
    return queue(services, {"user": user, "task": task})
