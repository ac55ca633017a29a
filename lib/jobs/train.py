"""The process of one training: `python -m carina.jobs.train <job folder>`.

It is started by `runner.JobRunner`, reports through the job folder alone, and ends within a step after it was asked to
(flag file or SIGTERM). What goes wrong is one sentence in `error.json`; the traceback is in the log.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..annotations.store import open_annotations
from ..datastores.port import open_store
from ..errors import CancelledError, CarinaError, InvalidInputError
from ..models.registry_mlflow import mirror
from ..models.store import ModelStore
from ..models.tracking import MlflowTracking
from ..registry import find_tasks
from ..settings import Settings
from .cases import labelled_cases
from .events import EventTracking, Reporter
from .folder import JobFolder
from .options import parse_device, parse_options
from .process import mark_of

if TYPE_CHECKING:
    from ..trainers.segmentation import TrainResult

logger = logging.getLogger(__name__)

_NICENESS = 5
_LOOK_S = 0.25
EXIT_FAILED = 1
EXIT_CANCELLED = 3


class Cancellation:
    """Whether the process was asked to end: SIGTERM, or the flag in its folder, looked for a few times a second."""

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._asked = threading.Event()
        self._looked_at = -math.inf

    def listen(self) -> None:
        """Take SIGTERM as a request; in the main thread only."""
        signal.signal(signal.SIGTERM, lambda _number, _frame: self._asked.set())

    def __call__(self) -> bool:
        """Whether to end."""
        now = time.monotonic()
        if not self._asked.is_set() and now - self._looked_at >= _LOOK_S:
            self._looked_at = now
            if self._folder.cancel_age_s() is not None:
                self._asked.set()
        return self._asked.is_set()


def main(arguments: list[str]) -> int:
    """Run the job of a folder.

    Returns:
        Exit status: 0, `EXIT_FAILED` or `EXIT_CANCELLED`.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    folder = JobFolder(Path(arguments[0]))
    cancelled = Cancellation(folder)
    cancelled.listen()
    folder.write_process(mark_of(os.getpid()))
    os.nice(_NICENESS)
    return run(folder, lambda: run_training(folder, cancelled))


def run(folder: JobFolder, work: Callable[[], Mapping[str, Any]]) -> int:
    """Do the work and leave its outcome in the folder, whatever happens.

    Returns:
        Exit status as of `main`.
    """
    try:
        folder.write_result(finite(work()))
    except CancelledError as error:
        logger.info("%s", error)
        folder.write_error("cancelled", "Cancelled on request.")
        return EXIT_CANCELLED
    except CarinaError as error:
        logger.exception("The job failed.")
        folder.write_error("failed", str(error))
        return EXIT_FAILED
    except Exception as error:
        logger.exception("The job failed unexpectedly.")
        folder.write_error("failed", f"The training must end, got an unexpected {type(error).__name__}. See its log.")
        return EXIT_FAILED
    return 0


def run_training(folder: JobFolder, cancelled: Callable[[], bool]) -> dict[str, Any]:
    """Train as the folder's `job.json` says.

    Returns:
        What `result.json` holds.

    Raises:
        CancelledError: If `cancelled` answers true.
        InvalidInputError: If an option is unknown, or nothing is labelled.
    """
    request = folder.request()
    settings = Settings(**{**request["settings"], "home": Path(request["settings"]["home"])})
    spec = find_tasks().get(request["task"])
    options = parse_options(spec, request["options"])
    device = parse_device(request["options"])
    access = folder.take_access()
    reporter = Reporter(folder)
    reporter.progress(0.0, "looking for labelled images")
    models = ModelStore(settings.models_dir)
    annotations = open_annotations(settings)
    user, password = access.credentials or (None, None)
    images = open_store(access.store_url, settings=settings, user=user, password=password, verify_tls=access.verify_tls)
    try:
        cases = labelled_cases(annotations, images, spec)
        if not cases:
            raise InvalidInputError(
                f"Training '{spec.name}' must have labelled images, got none. Submit final labels first."
            )
        from ..infers.sliding_window import predict  # torch takes seconds; what is wrong above is said at once
        from ..trainers.segmentation import train

        result = train(
            cases,
            spec=spec,
            models=models,
            splits=annotations.splits,
            predict=predict,
            work_dir=work_dir(settings, spec.name),
            options=options,
            device=device,
            progress=reporter.progress,
            cancelled=cancelled,
            tracking=EventTracking(MlflowTracking(settings.tracking_dir), reporter),
        )
    finally:
        images.close()
        annotations.close()
    mirror(models, settings.tracking_dir, spec.name)
    shutil.copyfile(result.overlay, folder.overlay)
    return summary(result)


def work_dir(settings: Settings, task: str) -> Path:
    """Where a task's trainings keep prepared volumes and checkpoints, so that the next one goes on from there."""
    return settings.jobs_dir / "work" / task


def summary(result: TrainResult) -> dict[str, Any]:
    """What a finished training gave, as JSON."""
    return {
        "version": result.version.version,
        "promoted": result.promoted,
        "reason": result.decision.reason,
        "decision": result.decision.to_json(),
        "metrics": result.evaluation.to_json(model_version=result.version.version),
        "measured_on": result.measured_on,
        "best_epoch": result.best_epoch,
        "epochs": len(result.history),
        "seconds": round(result.seconds, 1),
    }


def finite(value: Any) -> Any:
    """`value` with None in place of every number JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
