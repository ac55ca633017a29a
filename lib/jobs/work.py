"""The process of one job: `python -m carina.jobs.work <job folder>`.

It is started by `runner.JobRunner`, reports through the job folder alone, and ends within a step after it was asked to
(flag file or SIGTERM). What goes wrong is one sentence in `error.json`; the traceback is in the log.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

from ..annotations.store import open_annotations
from ..datastores.port import open_store
from ..errors import CancelledError, CarinaError, is_full, storage_error
from ..registry import find_tasks
from ..settings import Settings
from .events import Reporter
from .folder import JobFolder, Said
from .kind import Work, find_kinds
from .process import mark_of
from .states import RULES

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
    return run(folder, lambda: do(folder, cancelled))


def run(folder: JobFolder, work: Callable[[], Mapping[str, Any]]) -> int:
    """Do the work and leave its outcome in the folder, whatever happens.

    Returns:
        Exit status as of `main`.
    """
    try:
        folder.write_result(finite(work()))
    except CancelledError as error:
        logger.info("%s", error)
        # SIGTERM without the flag comes from the system, such as at a shutdown: nobody gave the job up.
        cause: Said = "stop" if folder.cancel_age_s() is None else "cancel"
        folder.write_error(cause, RULES[cause].sentence)
        return EXIT_CANCELLED
    except CarinaError as error:
        logger.exception("The job failed.")
        folder.write_error("error", str(error))
        return EXIT_FAILED
    except Exception as error:
        logger.exception("The job failed unexpectedly.")
        said = f"A job must end, got an unexpected {type(error).__name__}. See its log."
        if isinstance(error, OSError) and is_full(error):
            said = str(storage_error(error))
        folder.write_error("error", said)
        return EXIT_FAILED
    return 0


def do(folder: JobFolder, cancelled: Callable[[], bool]) -> Mapping[str, Any]:
    """Work as the folder's `job.json` says.

    Returns:
        What `result.json` holds.

    Raises:
        CancelledError: If `cancelled` answers true.
        CarinaError: As the kind's `run` does.
    """
    request = folder.request()
    settings = Settings(**{**request["settings"], "home": Path(request["settings"]["home"])})
    access = folder.take_access()
    user, password = access.credentials or (None, None)
    annotations = open_annotations(settings)
    try:
        images = open_store(
            access.store_url, settings=settings, user=user, password=password, verify_tls=access.verify_tls
        )
        try:
            return (
                find_kinds()
                .get(request["kind"])
                .run(
                    Work(
                        folder=folder,
                        settings=settings,
                        spec=find_tasks().get(request["task"]),
                        options=request["options"],
                        device=request["device"],
                        user=request["user"],
                        annotations=annotations,
                        images=images,
                        reporter=Reporter(folder),
                        cancelled=cancelled,
                    )
                )
            )
        finally:
            images.close()
    finally:
        annotations.close()


def finite(value: Any) -> Any:
    """`value` with None in place of every number JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def leave(status: int) -> NoReturn:
    """End the process. One that was cancelled has saved everything, and does not wait for torch to be torn down."""
    if status != EXIT_CANCELLED:
        sys.exit(status)
    logging.shutdown()
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    leave(main(sys.argv[1:]))
