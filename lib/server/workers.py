"""Inference in separate processes behind a bounded queue, so that the event loop only ever waits on a future.

One worker process per device, started with `spawn` and niced. The parent side is one thread per worker that takes
requests from a shared queue, talks to its process over a pipe and starts a new one when it died. A request's state
lives in a `Ticket`; `InferencePool._lock` guards the table of tickets and nothing is called while it is held.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import queue
import threading
from collections import OrderedDict
from collections.abc import Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection

from ..errors import BusyError, CancelledError, CarinaError, ConflictError, NotFoundError, OutOfMemoryError
from .children import deaf_to_interrupts
from .tickets import InferenceRequest, Runner, RunnerFactory, Ticket

_LOG = logging.getLogger(__name__)
_NICE = 10
_KEPT_TICKETS = 256
_POLL_S = 0.2
_STOP_S = 5.0


class InferencePool:
    """Runs inference requests in worker processes. Thread-safe.

    Args:
        factory: Called once in every worker process; must be picklable and returns what runs a request.
        devices: One worker process is kept for each.
        limit: Requests that may wait or run before `submit` refuses.
    """

    def __init__(self, factory: RunnerFactory, *, devices: Sequence[str] = ("auto",), limit: int = 32) -> None:
        self._limit = limit
        self._queue: queue.Queue[Ticket | None] = queue.Queue()
        self._tickets: OrderedDict[str, Ticket] = OrderedDict()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._workers = [_Worker(factory, device, self._queue, self._closing) for device in devices]

    def start(self) -> None:
        """Start the worker processes without waiting for them."""
        for worker in self._workers:
            worker.start()

    def submit(self, request: InferenceRequest) -> Ticket:
        """Queue a request.

        Raises:
            BusyError: If the queue is full.
            ConflictError: If the request id is in use, or the pool is closed.
        """
        ticket = Ticket(request)
        with self._lock:
            if self._closing.is_set():
                raise ConflictError("The server is stopping and takes no more inference requests. Try again later.")
            if request.request_id in self._tickets:
                raise ConflictError("A request id must be new, got one in use. Leave it out to have one made.")
            waiting = sum(not known.future.done() for known in self._tickets.values())
            if waiting >= self._limit:
                raise BusyError(
                    f"At most {self._limit} inferences may wait, got one more. Try again when one has finished."
                )
            self._tickets[request.request_id] = ticket
            self._forget_old()
        self._queue.put(ticket)
        return ticket

    def ticket(self, request_id: str) -> Ticket:
        """The state of a request.

        Raises:
            NotFoundError: If the pool does not remember it.
        """
        with self._lock:
            found = self._tickets.get(request_id)
        if found is None:
            raise NotFoundError(f"An inference request must be known, got '{request_id}'. Old ones are forgotten.")
        return found

    def tickets(self) -> list[Ticket]:
        """All remembered requests, oldest first."""
        with self._lock:
            return list(self._tickets.values())

    def cancel(self, request_id: str) -> Ticket:
        """Ask a request to stop; its future then raises `CancelledError`.

        Raises:
            NotFoundError: If the pool does not remember it.
        """
        ticket = self.ticket(request_id)
        ticket.cancel.set()
        ticket.fail(CancelledError("The inference was cancelled before it started."), only_queued=True)
        return ticket

    def worker_pids(self) -> list[int]:
        """Process ids of the live workers."""
        return [pid for worker in self._workers if (pid := worker.pid) is not None]

    def close(self) -> None:
        """Stop the workers; whatever waits or runs fails with `CancelledError`. Safe to call twice."""
        self._closing.set()
        for ticket in self.tickets():
            self.cancel(ticket.request.request_id)
        for _ in self._workers:
            self._queue.put(None)
        for worker in self._workers:
            worker.close()

    def _forget_old(self) -> None:
        done = [key for key, ticket in self._tickets.items() if ticket.future.done()]
        for key in done[: max(0, len(self._tickets) - _KEPT_TICKETS)]:
            del self._tickets[key]


class _Worker:
    """The parent's side of one worker process: a thread, a pipe and the process."""

    def __init__(
        self, factory: RunnerFactory, device: str, tickets: queue.Queue[Ticket | None], closing: threading.Event
    ) -> None:
        self._factory = factory
        self._device = device
        self._tickets = tickets
        self._closing = closing
        self._process: multiprocessing.process.BaseProcess | None = None
        self._connection: Connection | None = None
        self._thread = threading.Thread(target=self._serve, name=f"inference-{device}", daemon=True)

    @property
    def pid(self) -> int | None:
        """Process id while the process lives."""
        process = self._process
        return process.pid if process is not None and process.is_alive() else None

    def start(self) -> None:
        if not self._thread.is_alive():
            self._thread.start()

    def close(self) -> None:
        if self._thread.is_alive():
            self._thread.join(_STOP_S)
        self._stop_process()

    def _serve(self) -> None:
        """Thread body: one ticket after the other until the pool closes."""
        self._start_process()
        while True:
            ticket = self._tickets.get()
            if ticket is None:
                break
            if ticket.begin():
                self._run(ticket)
        self._stop_process()

    def _run(self, ticket: Ticket) -> None:
        try:
            connection = self._connection
            if self.pid is None or connection is None:
                connection = self._start_process()
            connection.send(ticket.request)
            self._follow(ticket, connection)
        except (EOFError, OSError):
            ticket.fail(self._death())
            self._stop_process()
            if not self._closing.is_set():
                self._start_process()

    def _follow(self, ticket: Ticket, connection: Connection) -> None:
        """Read the worker's messages until the request is finished."""
        asked = False
        while True:
            if ticket.cancel.is_set() and not asked:
                connection.send("cancel")
                asked = True
            if self._closing.is_set() and asked:
                raise EOFError
            if not connection.poll(_POLL_S):
                continue
            kind, value = connection.recv()
            if kind == "progress":
                ticket.fraction, ticket.phase = value
            elif kind == "result":
                ticket.finish(value)
                return
            elif kind == "error":
                ticket.fail(value)
                return

    def _death(self) -> CarinaError:
        """Why the process is gone, in words a client can act on."""
        if self._closing.is_set():
            return CancelledError("The inference was cancelled: the server is stopping.")
        process = self._process
        if process is not None:
            process.join(_STOP_S)
        code = process.exitcode if process is not None else None
        _LOG.error("inference worker on %s ended unexpectedly with exit code %s", self._device, code)
        if code == -9:
            return OutOfMemoryError(
                "The inference worker was killed by the system, most likely for memory. "
                "A new one is starting: use a machine with more memory, or a smaller image."
            )
        return CarinaError(
            f"The inference worker ended unexpectedly, got exit code {code}. A new one is starting: try again, "
            "and send the server's log to its maintainer if it happens again."
        )

    def _start_process(self) -> Connection:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_worker_main, args=(self._factory, theirs), daemon=True)
        resource_tracker.ensure_running()  # when it starts it unblocks SIGINT, which is to stay blocked below
        with deaf_to_interrupts():
            process.start()
        theirs.close()
        self._process, self._connection = process, ours
        return ours

    def _stop_process(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            self._process.terminate()
            self._process.join(_STOP_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join(_STOP_S)


def _worker_main(factory: RunnerFactory, connection: Connection) -> None:
    """Body of the worker process: build the runner once, then answer requests until the pipe closes."""
    threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
    runner = factory()
    with contextlib.suppress(OSError):  # only now: loading torch at low priority takes minutes on a busy machine
        os.nice(_NICE)
    with contextlib.suppress(EOFError, OSError):
        while True:
            message = connection.recv()
            if isinstance(message, InferenceRequest):
                connection.send(_answer(runner, message, connection))


def _end_with_parent() -> None:
    """A killed server must not leave its workers to hold a GPU's memory until their inference is done."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _answer(runner: Runner, request: InferenceRequest, connection: Connection) -> tuple[str, object]:
    cancelled = False

    def progress(fraction: float, phase: str) -> None:
        connection.send(("progress", (fraction, phase)))

    def is_cancelled() -> bool:
        nonlocal cancelled
        while not cancelled and connection.poll():
            cancelled = connection.recv() == "cancel"
        return cancelled

    try:
        return "result", runner(request, progress, is_cancelled)
    except CarinaError as error:
        return "error", error
    except MemoryError:
        return "error", OutOfMemoryError("The image did not fit into memory. Use a machine with more memory.")
    except Exception:
        logging.getLogger(__name__).exception("inference %s failed", request.request_id)
        return "error", CarinaError("The inference failed unexpectedly. The server's log has the details.")
