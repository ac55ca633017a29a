"""Which image next: `/activelearning/{strategy}`."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body

from .activelearning import PARAMETERS, choose_next
from .inputs import chosen
from .wiring import ServicesOf

router = APIRouter(prefix="/activelearning", tags=["Active learning"])


@router.post("/{strategy}")
def next_sample(
    services: ServicesOf, strategy: str, params: Annotated[dict[str, Any] | None, Body()] = None
) -> dict[str, Any]:
    """The next image to label; an empty object when every image has its label."""
    return choose_next(services, strategy, chosen(params or {}, PARAMETERS))
