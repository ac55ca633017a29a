"""Lets a strategy choose among the unlabelled images, and notes what was handed out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ..datastores.ids import check_id
from ..strategies import Candidate
from .catalogue import image_details
from .inputs import text_of
from .services import Services

_OFFERED = "strategy"


def choose_next(services: Services, strategy: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The next image to label, with what is known of it. Blocks.

    Args:
        services: The server's parts.
        strategy: Its name.
        params: `label_tag` (which sort of label is wanted, `final` by default) and `client_id`.

    Returns:
        `id`, `weight` and the image's details; empty when every image has its label.

    Raises:
        UnknownNameError: If there is no such strategy.
    """
    chooser = services.strategies.get(strategy)
    tag = check_id(text_of(params, "label_tag") or "final", what="A tag")
    now = time.time()
    choice = chooser.choose(_pool(services, strategy, tag), now=now)
    if choice is None:
        return {}
    offered = services.annotations.image_info(choice.image_id).get(_OFFERED, {})
    note = {"ts": int(now), "client_id": text_of(params, "client_id")}
    services.annotations.update_image_info(choice.image_id, {_OFFERED: {**offered, strategy: note}})
    return {"id": choice.image_id, "weight": choice.weight, **image_details(services, choice.image_id)}


def _pool(services: Services, strategy: str, tag: str) -> list[Candidate]:
    labelled = set(services.annotations.labelled_images(tag))
    return [
        Candidate(
            image_id=record.image_id,
            patient_id=record.patient_id or record.image_id,
            last_offered=_last_offered(services, record.image_id, strategy),
        )
        for record in services.store.list_images()
        if record.image_id not in labelled
    ]


def _last_offered(services: Services, image_id: str, strategy: str) -> float:
    note = services.annotations.image_info(image_id).get(_OFFERED, {}).get(strategy, {})
    return float(note.get("ts", 0))
