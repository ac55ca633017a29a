"""The outbox: brings stored annotations to the PACS, however often it takes, without anyone waiting for it.

One worker thread per process; of several processes on one annotation folder, the one that holds the file lock
delivers and the others stand by. The operating system drops the lock with its process, so a killed server blocks
nothing.
Lock order: file lock, then database. Each delivery has UIDs fixed at submit, so trying again after a crash in the
middle gives the same object and not a second one.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import CarinaError, InvalidInputError, MissingDependencyError
from .annotation import Annotation
from .database import utc_now
from .deliveries import Delivery
from .store import AnnotationStore

logger = logging.getLogger(__name__)

_LOCK_NAME = ".outbox.lock"


class Outbox:
    """Delivers in the background until every planned delivery has arrived.

    Args:
        store: Where annotations and their deliveries are.
        deliver: Writes one annotation's DICOM object with the delivery's UIDs, stores it in the PACS unless it is there
            already, and checks that it is there. What it raises decides what happens: `InvalidInputError` and
            `MissingDependencyError` need a person, anything else is tried again.
        first_wait_s: Wait after the first failure; it doubles with each one more.
        longest_wait_s: Longest wait between two tries.
        stand_by_s: How often to look for what another process submitted, and for the lock or a disk to be free again.
    """

    def __init__(
        self,
        store: AnnotationStore,
        deliver: Callable[[Annotation, Delivery], None],
        *,
        first_wait_s: float = 1.0,
        longest_wait_s: float = 300.0,
        stand_by_s: float = 5.0,
    ) -> None:
        self._store = store
        self._deliver = deliver
        self._first_wait_s = first_wait_s
        self._longest_wait_s = longest_wait_s
        self._stand_by_s = stand_by_s
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to deliver; what an earlier process left pending goes first."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._run, name="carina-outbox", daemon=True)
            self._thread.start()

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """End after the delivery under way; what is pending stays pending."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stop.set()
            self._wake.set()
            thread.join(timeout_s)

    def wake(self) -> None:
        """Say that something was submitted."""
        self._wake.set()

    def flush(self, *, timeout_s: float) -> bool:
        """Wait until nothing is pending, trying at once what waits for its back-off.

        Returns:
            True when nothing is pending any more; False when the time is up first.
        """
        self._store.deliveries.retry_pending()
        end = time.monotonic() + timeout_s
        while self._store.deliveries.next_due() is not None:
            if time.monotonic() >= end:
                return False
            self.wake()
            time.sleep(0.02)
        return True

    def status(self) -> dict[str, Any]:
        """As `DeliveryTable.status`."""
        return self._store.deliveries.status()

    def _run(self) -> None:
        folder: Path = self._store.files.folder
        while not self._stop.is_set():
            try:
                folder.mkdir(parents=True, exist_ok=True)
                with FileLock(folder / _LOCK_NAME, timeout=0):
                    self._work()
            except Timeout:
                self._stand_by()
            except (CarinaError, OSError) as error:  # the database or the disk; the deliveries are safe in either
                logger.warning("The outbox cannot work at the moment: %s", error)
                self._stand_by()
            except Exception:
                # Whatever it is, without this thread nothing would be delivered until the server is restarted.
                logger.exception("The outbox cannot work at the moment.")
                self._stand_by()

    def _work(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            due = self._store.deliveries.due(utc_now())
            for delivery in due:
                if self._stop.is_set():
                    return
                self._try(delivery)
            if not due:
                self._pause(self._idle_s())

    def _try(self, delivery: Delivery) -> None:
        deliveries = self._store.deliveries
        try:
            self._deliver(self._store.get(delivery.annotation_id), delivery)
        except (InvalidInputError, MissingDependencyError) as error:
            logger.error("Annotation %s cannot be delivered to the PACS: %s", delivery.annotation_id, error)
            deliveries.mark_failed(delivery.annotation_id, error=str(error))
        except (CarinaError, OSError) as error:
            self._later(delivery, str(error))
        except Exception as error:
            # A fault in a writer must not stop the other deliveries.
            logger.exception("Delivering annotation %s to the PACS went wrong.", delivery.annotation_id)
            self._later(delivery, f"Unexpected {type(error).__name__}; see the server log.")
        else:
            deliveries.mark_delivered(delivery.annotation_id)

    def _later(self, delivery: Delivery, error: str) -> None:
        wait_s = wait_after(delivery.attempts, first_s=self._first_wait_s, longest_s=self._longest_wait_s)
        logger.warning("Annotation %s waits %.0f s for the PACS: %s", delivery.annotation_id, wait_s, error)
        self._store.deliveries.mark_retry(delivery.annotation_id, error=error, after_s=wait_s)

    def _idle_s(self) -> float:
        due = self._store.deliveries.next_due()
        if due is None:
            return self._stand_by_s  # another process may have submitted without waking this one
        return min(max((due - utc_now()).total_seconds(), 0.0), self._stand_by_s)

    def _pause(self, seconds: float) -> None:
        if not self._stop.is_set():
            self._wake.wait(seconds)

    def _stand_by(self) -> None:
        """Wait although something may be due: a submit cannot end this, or a busy one would make it spin."""
        self._stop.wait(self._stand_by_s)


def wait_after(failures: int, *, first_s: float, longest_s: float) -> float:
    """Seconds until the next try: doubled with each failure, up to a fifth shorter so that not all return at once.

    Args:
        failures: Before the one that has just happened.
        first_s: After the first.
        longest_s: At most.
    """
    doublings = min(failures, 30)  # 2.0**1024 overflows, and a PACS may be away for weeks
    return float(min(first_s * 2.0**doublings, longest_s) * random.uniform(0.8, 1.0))
