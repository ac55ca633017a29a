"""What `/info` tells a client, in the form MONAI Label's clients read."""

from __future__ import annotations

import dataclasses
from typing import Any

from .. import __version__
from ..errors import PacsError
from ..infers.kinds import kind_of
from ..task import TaskSpec
from ..trainers.warm_start import AUTO, NOTHING, SERVED
from .services import Services
from .training import train_stats

RESULT_EXTENSIONS = (".nii.gz", ".nrrd", ".nii")


def app_info(services: Services) -> dict[str, Any]:
    """The whole answer; cheap enough to be asked every second."""
    return {
        "name": "carina",
        "description": "AI drafts for radiology annotation; every correction is kept, better models are promoted.",
        "version": __version__,
        "labels": _merged_labels(services),
        "models": {spec.name: model_info(services, spec) for spec in services.tasks},
        "trainers": {spec.name: trainer_info(spec) for spec in services.tasks if spec.learns},
        "strategies": {item.name: {"description": item.description} for item in services.strategies},
        "scoring": {item.name: {"description": item.description} for item in services.scoring},
        "train_stats": train_stats(services),
        "datastore": datastore_status(services),
        "deliveries": services.outbox.status(),
    }


def model_info(services: Services, spec: TaskSpec) -> dict[str, Any]:
    """One entry of `models`. Slicer shows every `config` value as an editable field, a list as a choice."""
    served = services.models.served(spec.name)
    return {
        "type": spec.kind,
        "labels": spec.labels.indices,
        "dimension": spec.dimension,
        "description": spec.description,
        "config": {
            **{option.name: option.shown for option in kind_of(spec).options},
            **spec.config,
            "result_extension": list(RESULT_EXTENSIONS),
        },
        "modality": list(spec.modality),
        "version": served.version if served else None,
    }


def trainer_info(spec: TaskSpec) -> dict[str, Any]:
    """One entry of `trainers`: the task's trainer options, sizes as text because Slicer takes a list for a choice."""
    options = dataclasses.asdict(spec.trainer)
    config = {
        name: ",".join(str(size) for size in value) if isinstance(value, tuple) else value
        for name, value in options.items()
    }
    config["start_from"] = [SERVED, NOTHING, AUTO]
    return {"description": f"Train {spec.name} from the labels submitted so far", "config": config}


def datastore_status(services: Services) -> dict[str, Any]:
    """How many images there are and how many have which label; a PACS that does not answer is said so, not raised."""
    tags: dict[str, int] = {}
    for tag in services.known_tags():
        tags[tag] = len(services.annotations.labelled_images(tag))
    try:
        total, error = len(services.store.list_images()), None
    except PacsError as problem:
        total, error = 0, str(problem)
    status: dict[str, Any] = {"total": total, "completed": tags.get("final", 0), "label_tags": tags}
    counts = services.annotations.cases.counts()
    status["cases"] = {state: count for state, count in counts.items() if state != "unlabelled"}
    return status | ({"error": error} if error else {})


def _merged_labels(services: Services) -> list[str]:
    return list(dict.fromkeys(name for spec in services.tasks for name in spec.labels.names))
