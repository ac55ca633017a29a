"""Brings the processes of a training together: starts helpers on this machine, or joins those of `torchrun`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil
import torch

from ..errors import InvalidInputError, PeerError
from ..processes import python_module
from ..task import TrainerOptions
from .helping import MODULE, log_file, meeting_place, ready_file, serve
from .lesson import Cancelled, stop_if
from .options import check_parts
from .peers import ALONE, Peers
from .together import LEADER, Together, give_up, meet, outside

_START_S = 300.0
_END_S = 10.0
_BLAME_S = 3.0
_LOOK_S = 0.05
_WORDS = 300
_LOOPBACK = "127.0.0.1"
_INTERFACES = ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME")


@contextlib.contextmanager
def gathered(options: TrainerOptions, device: torch.device, *, cancelled: Cancelled) -> Iterator[Peers]:
    """The processes of a training, as its leader sees them; all others end with the context.

    Args:
        options: `processes` says how many; under `torchrun` that does.
        device: The leader's; the others of this machine take the GPUs after it.
        cancelled: Asked while they start.

    Raises:
        InvalidInputError: If there is not a patch, or a GPU, for each.
        PeerError: If one of them ends before the training does.
        CancelledError: If `cancelled` answers true while they start.
    """
    ranked = outside(os.environ)
    count = options.processes if ranked is None else ranked[1]
    if count == 1:
        yield ALONE
        return
    _check(options, count, device, here=count if ranked is None else 1)
    if ranked is not None:
        yield from _led(meet(rank=LEADER, count=count, device=device))
        return
    threads = torch.get_num_threads()
    each = max(1, threads // count)
    with tempfile.TemporaryDirectory() as folder, _talking_on_this_machine():
        helpers = _Helpers(Path(folder), count, device, threads=each)
        try:
            torch.set_num_threads(each if device.type == "cpu" else threads)
            helpers.await_ready(cancelled)
            peers = meet(rank=LEADER, count=count, device=device, at=meeting_place(Path(folder)))
            threading.Thread(target=helpers.watch, daemon=True).start()
            yield from _led(peers)
        except RuntimeError as error:
            helpers.blame(error)
            raise
        finally:
            torch.set_num_threads(threads)
            helpers.end()


def help_another(device: torch.device) -> bool:
    """Do the part of this process under `torchrun`, unless it leads.

    Args:
        device: Where it trains.

    Returns:
        Whether it was another's training: then it is over, and nothing else is left to do.
    """
    ranked = outside(os.environ)
    if ranked is None or ranked[0] == LEADER:
        return False
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all, and the leader decides
    serve(meet(rank=ranked[0], count=ranked[1], device=own_gpu(device)))
    return True


def own_gpu(device: torch.device) -> torch.device:
    """The GPU of this process, by its number: among those `torchrun` started on this machine its own, else the first.

    Any other device stays. Processes that meet must have said which GPU is theirs.
    """
    if str(device) != "cuda":
        return device
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) if outside(os.environ) is not None else 0)


def _check(options: TrainerOptions, count: int, device: torch.device, *, here: int) -> None:
    check_parts(options, count)
    gpus = torch.cuda.device_count() - (device.index or 0)
    if device.type == "cuda" and gpus < here:
        raise InvalidInputError(
            f"Each process must have a GPU of its own, got {gpus} for {here}. Ask for fewer, or for device=cpu; a job "
            f"of a server sees one GPU, 'carina train' sees all."
        )


def _led(peers: Together) -> Iterator[Peers]:
    """Let the others go at the end, or leave them to themselves if something went wrong."""
    broken = True
    try:
        yield peers
        peers.dismiss()
        broken = False
    finally:
        peers.leave(broken=broken)


@contextlib.contextmanager
def _talking_on_this_machine() -> Iterator[None]:
    """Within it gloo and NCCL, which ask nobody who it is, talk over the loopback interface unless told otherwise."""
    names = (
        name for name, addresses in psutil.net_if_addrs().items() if any(one.address == _LOOPBACK for one in addresses)
    )
    loopback = next(names, None)
    changed = [name for name in _INTERFACES if loopback is not None and name not in os.environ]
    os.environ.update(dict.fromkeys(changed, loopback or ""))
    try:
        yield
    finally:
        for name in changed:
            os.environ.pop(name, None)


class _Helpers:
    """The helping processes of this machine."""

    def __init__(self, folder: Path, count: int, device: torch.device, *, threads: int) -> None:
        self._folder = folder
        self._count = count
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
        self._over = threading.Event()
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        for rank in range(1, count):
            name = f"cuda:{(device.index or 0) + rank}" if device.type == "cuda" else str(device)
            with log_file(folder, rank).open("wb") as log:
                self._running[rank] = subprocess.Popen(  # noqa: S603 — our own module
                    python_module(MODULE, str(rank), str(count), name, str(folder)),
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    env=environment,
                )

    def await_ready(self, cancelled: Cancelled) -> None:
        """Wait until each can connect, or say which cannot."""
        until = time.monotonic() + _START_S
        while not all(ready_file(self._folder, rank).exists() for rank in self._running):
            stop_if(cancelled)
            if self._ended() or time.monotonic() > until:
                raise self._error(self._ended() or list(self._running))
            time.sleep(_LOOK_S)

    def watch(self) -> None:
        """Give up all connections some time after a helper has ended: NCCL would wait for it, gloo does not."""
        ended_at: float | None = None
        while not self._over.wait(_LOOK_S * 10):
            ended_at = ended_at or (time.monotonic() if self._ended() else None)
            if ended_at is not None and time.monotonic() - ended_at > _END_S:
                give_up()
                return

    def blame(self, error: RuntimeError) -> None:
        """Say which helper has ended, if one has: what the connection reports of it helps nobody.

        Raises:
            PeerError: Naming it.
        """
        until = time.monotonic() + _BLAME_S
        while not self._ended() and time.monotonic() < until:
            time.sleep(_LOOK_S)
        if ended := self._ended():
            raise self._error(ended) from error

    def end(self) -> None:
        """Have all of them gone."""
        self._over.set()
        for process in self._running.values():
            if process.stdin is not None:
                process.stdin.close()
        for process in self._running.values():
            try:
                process.wait(timeout=_END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _ended(self) -> list[int]:
        return [rank for rank, process in self._running.items() if process.poll() is not None]

    def _error(self, ended: Sequence[int]) -> PeerError:
        """About the likeliest cause: one that was killed, else one that does not complain about another's end."""
        words = {rank: _last_words(log_file(self._folder, rank)) for rank in ended}
        rank = min(ended, key=lambda one: ((self._running[one].poll() or 0) >= 0, "peer" in words[one]))
        said = f", whose last words were '{words[rank]}'" if words[rank] else ""
        return PeerError(
            f"Each of the {self._count} processes of a training must work to its end, got process {rank} "
            f"{_manner(self._running[rank].poll())}{said}. Start the training or resume the job again: it goes on from "
            f"its checkpoint."
        )


def _manner(status: int | None) -> str:
    if status is None:
        return f"silent for {_START_S:g} s"
    return f"ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"


def _last_words(path: Path) -> str:
    lines = [line.strip() for line in path.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1][:_WORDS] if lines else ""
