"""The outbox in a process of its own: writing DICOM objects takes neither time nor memory from those who save.

The child delivers as `annotations.outbox.Outbox` does. Its standard input is its leash: the first line says where
everything is, each later line that something was submitted, and the end of it that the server is gone.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..annotations.outbox import Outbox, wait_after
from ..annotations.store import AnnotationStore, open_annotations
from ..datastores.port import open_store
from ..processes import python_module
from ..registry import find_tasks
from ..settings import Settings
from .children import deaf_to_interrupts
from .delivery import PacsDelivery
from .logs import configure_logging

logger = logging.getLogger(__name__)

_NICENESS = 10
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 30.0


class OutboxProcess:
    """Starts the child, starts it again when it dies, and wakes it.

    Args:
        settings: Of this installation.
        annotations: What is delivered; asked for the state only.
        store_url: Where to, as `datastores.open_store` takes it.
        credentials: User and password there; they reach the child through the pipe, not its command line.
    """

    def __init__(
        self,
        settings: Settings,
        annotations: AnnotationStore,
        *,
        store_url: str,
        credentials: tuple[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._annotations = annotations
        self._access = {"store_url": store_url, "credentials": credentials}
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to deliver; what an earlier process left pending goes first."""
        if self._thread is None:
            self._stop.clear()
            self._thread = threading.Thread(target=self._supervise, name="carina-outbox", daemon=True)
            self._thread.start()

    def stop(self, *, timeout_s: float = 10.0) -> None:
        """End after the delivery under way; what is pending stays pending."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        self._stop.set()
        with self._lock:
            self._let_go()
            child = self._child
        thread.join(timeout_s)
        if child is not None and child.poll() is None:
            child.kill()
            child.wait()

    def wake(self) -> None:
        """Say that something was submitted."""
        with self._lock:
            self._say("")

    def status(self) -> dict[str, Any]:
        """As `DeliveryTable.status`."""
        return self._annotations.deliveries.status()

    @property
    def pid(self) -> int | None:
        """Of the child, if there is one."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def _supervise(self) -> None:
        failures = 0
        while not self._stop.is_set():
            try:
                end = f"ended with status {self._run()}"
            except OSError as error:  # no memory or no descriptors at the moment
                end = f"could not be started ({error.strerror})"
            if self._stop.is_set():
                return
            wait_s = wait_after(failures, first_s=_FIRST_WAIT_S, longest_s=_LONGEST_WAIT_S)
            logger.error("The outbox's process %s; the next try is in %.0f s.", end, wait_s)
            failures += 1
            self._stop.wait(wait_s)

    def _run(self) -> int:
        """Start the child and wait for its end."""
        with deaf_to_interrupts():
            child = subprocess.Popen(  # noqa: S603  our own module
                python_module(__name__),
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        words = {"settings": {**asdict(self._settings), "home": str(self._settings.home)}, **self._access}
        with self._lock:
            self._child = child
            self._say(json.dumps(words))
            if self._stop.is_set():
                self._let_go()
        status = child.wait()
        with self._lock:
            self._let_go()
        return status

    def _say(self, line: str) -> None:
        """One line for the child; a pipe that is full holds enough of them already."""
        pipe = self._child.stdin if self._child is not None else None
        if pipe is not None and not pipe.closed:
            os.set_blocking(pipe.fileno(), False)
            with suppress(OSError):
                os.write(pipe.fileno(), line.encode() + b"\n")

    def _let_go(self) -> None:
        """End the child's standard input, and so the child."""
        if self._child is not None and self._child.stdin is not None:
            self._child.stdin.close()


def main() -> int:
    """Entry point of the child: deliver until standard input ends."""
    os.nice(_NICENESS)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # of a service sent to all processes; the server closes the pipe then
    words = json.loads(sys.stdin.buffer.readline())
    settings = Settings(**{**words["settings"], "home": Path(words["settings"]["home"])})
    configure_logging(settings)
    user, password = words["credentials"] or (None, None)
    store = open_store(words["store_url"], settings=settings, user=user, password=password)
    annotations = open_annotations(settings)
    outbox = Outbox(annotations, PacsDelivery(store=store, annotations=annotations, tasks=find_tasks()))
    outbox.start()
    for _ in sys.stdin.buffer:
        outbox.wake()
    outbox.stop()
    store.close()
    annotations.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
