"""How a route reaches the services of its application."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from .services import Services
from .slow_lane import SlowLane


def services_of(request: Request) -> Services:
    """The services of the application that received `request`."""
    services: Services = request.app.state.services
    return services


ServicesOf = Annotated[Services, Depends(services_of)]


def slow_lane_of(request: Request) -> SlowLane:
    """Where the application that received `request` reads whole images."""
    lane: SlowLane = request.app.state.slow_lane
    return lane


SlowLaneOf = Annotated[SlowLane, Depends(slow_lane_of)]
