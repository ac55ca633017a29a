"""Lets a strategy choose among the images that are left to label, and hands the choice out to one client only."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from ..annotations.annotation import FINAL_TAG
from ..annotations.worklist import Outlook, Wanted
from ..datastores.ids import check_id
from ..datastores.port import ImageRecord
from ..strategies import Choice, Strategy
from .catalogue import image_details
from .inputs import text_of, user_of
from .pooling import candidates, is_left
from .services import Services

SLICER_DEFAULT = "user-xyz"
"""What 3D Slicer's module says it is until somebody enters a name; it could be any number of people."""
_ONE_AT_A_TIME = threading.Lock()
"""Readers who ask at once are served one after the other: the rows and images that each looks through change threads
at every one, and eight would all wait many times longer. It is taken before the locks of the store and the database."""
PARAMETERS = frozenset({"label_tag", "model", "task", "client_id", "user"})


def choose_next(services: Services, strategy: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """The next image to label, with what is known of it. Blocks.

    The image stays with the client until it submits or skips it, gives it back, or the lease runs out; a client that
    asks again gets the image it has. What another client has, what is labelled and what was skipped is not offered.

    Args:
        services: The server's parts.
        strategy: Its name.
        params: `label_tag` (which sort of label is wanted, `final` by default), `task` or `model` (whose labels; any
            by default), `user` or `client_id` (who asks; a client that does not say it, and a Slicer without a name of
            its own, hold nothing).

    Returns:
        `id`, `weight`, `reason` (why this one, for people) and the image's details; empty when nothing is left for
        this client. With a task only images of its modalities are offered.

    Raises:
        UnknownNameError: If there is no such strategy or task.
    """
    chooser = services.strategies.get(strategy)
    wanted = _wanted(services, params)
    user = user_of(params)
    holder = None if user == SLICER_DEFAULT else user
    records = _records(services, wanted)
    with _ONE_AT_A_TIME:
        choice = _handed_out(services, chooser, records, wanted, holder=holder, user=user)
    if choice is None:
        return {}
    services.prefetcher.fetch(choice.image_id)
    told = {"id": choice.image_id, "weight": choice.weight, "reason": choice.reason}
    return {**told, **image_details(services, choice.image_id)}


def _handed_out(
    services: Services, chooser: Strategy, records: Sequence[ImageRecord], wanted: Wanted, *, holder: str | None,
    user: str | None,
) -> Choice | None:  # fmt: skip
    """What the client gets, which nobody else has; None when there is nothing."""
    worklist = services.annotations.worklist
    while True:
        now = time.time()
        outlook = worklist.look(wanted, strategy=chooser.name)
        choice = _held(records, outlook, holder) or _chosen(services, chooser, records, outlook, holder, wanted, now)
        if choice is None:
            return None
        note = {"ts": int(now), "client_id": user}
        if worklist.hand_out(choice.image_id, wanted, strategy=chooser.name, holder=holder, note=note):
            return choice
        # Somebody else was faster: what there is left is looked at again.


def queue(services: Services, params: Mapping[str, Any]) -> dict[str, Any]:
    """What is left to label for a client, what is done, and what the client holds. Blocks.

    Args:
        services: The server's parts.
        params: `label_tag`, `task` or `model`, `user` or `client_id`, as `choose_next` takes them.

    Returns:
        `total` images of the task's modalities, as `choose_next` offers them; `left` to be had by this client;
        `with_others`, which somebody else holds; `closed`, labelled or skipped; `mine`, labelled by this client;
        `leases` of this client with the image's study; `states` with the number of the task's cases in each.
    """
    wanted = _wanted(services, params)
    user = user_of(params)
    records = {record.image_id: record for record in _records(services, wanted)}
    outlook = services.annotations.worklist.look(wanted, strategy="")
    left = sum(is_left(record, outlook, user) for record in records.values())
    closed = len(outlook.closed & records.keys())
    leases = services.annotations.leases.active(holder=user) if user else []
    return {
        "total": len(records),
        "left": left,
        "with_others": len(records) - left - closed,
        "closed": closed,
        "mine": services.annotations.worklist.labelled_by(user, wanted) if user else 0,
        "leases": [
            {**lease.to_json(), "study_instance_uid": records[lease.image_id].study_instance_uid}
            for lease in leases
            if lease.image_id in records
        ],
        "states": services.annotations.cases.counts(task=wanted.task),
    }


def _wanted(services: Services, params: Mapping[str, Any]) -> Wanted:
    tag = check_id(text_of(params, "label_tag") or FINAL_TAG, what="A tag")
    task = text_of(params, "task") or text_of(params, "model")
    return Wanted(tag=tag, task=services.tasks.get(task).name if task else None)


def _records(services: Services, wanted: Wanted) -> list[ImageRecord]:
    records = services.store.list_images()
    if wanted.task is None:
        return records
    spec = services.tasks.get(wanted.task)
    taken = {modality for modality in {record.modality for record in records} if spec.takes(modality)}
    return [record for record in records if record.modality in taken]


def _held(records: Sequence[ImageRecord], outlook: Outlook, holder: str | None) -> Choice | None:
    """What the client has already, so that a restarted one goes on where it was; what it has had longest first."""
    if holder is None:
        return None
    held = [image_id for image_id, has in outlook.holders.items() if has == holder and image_id not in outlook.closed]
    there = {record.image_id for record in records} if held else set()
    kept = next((image_id for image_id in held if image_id in there), None)
    return Choice(image_id=kept, reason="You have it already.") if kept is not None else None


def _chosen(
    services: Services, chooser: Strategy, records: Sequence[ImageRecord], outlook: Outlook, holder: str | None,
    wanted: Wanted, now: float,
) -> Choice | None:  # fmt: skip
    pool, knowledge = candidates(
        services, records, outlook, holder=holder, task=wanted.task, needs=chooser.needs
    )  # fmt: skip
    batch = chooser.choose_batch(pool, count=1, seed=secrets.randbits(32), now=now, knowledge=knowledge)
    return batch[0] if batch else None
