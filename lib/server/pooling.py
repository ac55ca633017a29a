"""What a strategy gets to see: the images that are left, what is known of them, and what is covered already."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence

from ..annotations.looks import Gallery, KeptLook
from ..annotations.worklist import Outlook
from ..datastores.port import ImageRecord
from ..jobs.score import score_key
from ..strategies import Candidate, Knowledge, Needs
from .services import Services

_NOT_SEEN: Mapping[str, KeptLook] = {}
_NO_SCORES: Mapping[str, float] = {}


def is_left(record: ImageRecord, outlook: Outlook, holder: str | None) -> bool:
    """Whether an image may be handed to a client: not closed, and in nobody else's hands."""
    return record.image_id not in outlook.closed and outlook.holders.get(record.image_id, holder) == holder


def candidates(
    services: Services, records: Sequence[ImageRecord], outlook: Outlook, *, holder: str | None, task: str | None,
    needs: Needs,
) -> tuple[list[Candidate], Knowledge]:  # fmt: skip
    """The pool of a client, with what the strategy needs, all of it of one model version.

    Args:
        services: The server's parts.
        records: Images of the task's modalities.
        outlook: What is closed and who holds what.
        holder: The client, if it says who it is.
        task: Whose labels are wanted; of any task, what was looked at last is used.
        needs: The strategy's; nothing else is read.

    Returns:
        The images that are left, and what is known of those that are labelled, skipped or in somebody's hands.
    """
    wants = needs.embedding or needs.presence or bool(needs.scores)
    gallery = services.annotations.looks.newest(task) if wants else None
    looks = gallery.looks if gallery else _NOT_SEEN
    left = {record.image_id: record for record in records if is_left(record, outlook, holder)}
    scores = _scores(services, gallery, needs, left)
    pool = [
        _candidate(record, outlook, looks.get(image_id), scores.get(image_id, _NO_SCORES), gallery)
        for image_id, record in left.items()
    ]
    return pool, _knowledge([look for image_id, look in looks.items() if image_id not in left])


def _candidate(
    record: ImageRecord, outlook: Outlook, look: KeptLook | None, scores: Mapping[str, float], gallery: Gallery | None
) -> Candidate:
    return Candidate(
        image_id=record.image_id,
        patient_id=record.patient_id or record.image_id,
        last_offered=outlook.offered.get(record.image_id, 0.0),
        waiting_since=outlook.drafted.get(record.image_id, 0.0),
        scores=scores,
        embedding=look.embedding if look else None,
        presence=look.presence if look else {},
        model_version=gallery.model_version if gallery else None,
    )


def _scores(
    services: Services, gallery: Gallery | None, needs: Needs, left: Container[str]
) -> dict[str, dict[str, float]]:
    """Image id → method → score, of the first method the strategy likes that scored any of what is left."""
    if gallery is None:
        return {}
    for method in needs.scores:
        key = score_key(gallery.task, method)
        values = services.annotations.looks.scores(key, model_version=gallery.model_version)
        if any(image_id in left for image_id in values):
            return {image_id: {method: value} for image_id, value in values.items()}
    return {}


def _knowledge(looks: Sequence[KeptLook]) -> Knowledge:
    """How often a structure was drawn is taken from what the model sees: a label file also names what is not there."""
    occurrences: dict[str, float] = {}
    for look in looks:
        for name, presence in look.presence.items():
            occurrences[name] = occurrences.get(name, 0.0) + presence
    return Knowledge(embeddings=[look.embedding for look in looks], occurrences=occurrences)
