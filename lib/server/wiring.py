"""How a route reaches the services of its application."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from .services import Services


def services_of(request: Request) -> Services:
    """The services of the application that received `request`."""
    services: Services = request.app.state.services
    return services


ServicesOf = Annotated[Services, Depends(services_of)]
