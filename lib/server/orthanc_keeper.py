"""Starts carina's own Orthanc again when it has ended by itself, such as for want of memory."""

from __future__ import annotations

import logging
import threading
from types import TracebackType

from ..annotations.outbox import wait_after
from ..datastores.orthanc_server import OrthancServer
from ..errors import CarinaError

_LOG = logging.getLogger(__name__)
_LOOK_S = 2.0
_LONGEST_WAIT_S = 60.0


class OrthancKeeper:
    """Looks after one Orthanc for as long as the block lasts, in a thread.

    Args:
        orthanc: Running; whoever started it stops it.
    """

    def __init__(self, orthanc: OrthancServer) -> None:
        self._orthanc = orthanc
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="carina-orthanc", daemon=True)

    def __enter__(self) -> OrthancKeeper:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()

    def _keep(self) -> None:
        failures = 0
        while not self._stop.wait(wait_after(failures, first_s=_LOOK_S, longest_s=_LONGEST_WAIT_S)):
            try:
                ended = self._orthanc.revive()
            except (CarinaError, OSError) as error:
                failures += 1
                _LOG.error("Orthanc could not be started again, and will be tried again: %s", error)
                continue
            failures = 0
            if ended is not None:
                _LOG.error("Orthanc had ended with %s. It runs again.", ended)
