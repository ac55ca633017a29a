"""A further process of a training: `python -m carina.trainers.helping <rank> <count> <device> <folder>`.

It is started by `gathering` and does its part of every step that the leader orders. Nothing is ever written to its
standard input, which ends with the leader, however that dies, and so does this process. The folder is where they meet.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .peers import Assignment
    from .together import Together

MODULE = "carina.trainers.helping"


def main(arguments: list[str]) -> None:
    """Help with the training whose leader started this process."""
    rank, count, device, folder = int(arguments[0]), int(arguments[1]), arguments[2], Path(arguments[3])
    # The leader decides what becomes of the training when a terminal or a system asks all processes to end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    threading.Thread(target=_end_with_leader, daemon=True).start()
    import torch

    from .together import meet

    ready_file(folder, rank).touch()
    serve(meet(rank=rank, count=count, device=torch.device(device), at=meeting_place(folder)))


def serve(peers: Together) -> None:
    """Follow the leader until it needs no help any more.

    Args:
        peers: As `together.meet` gives it, of any rank but the leader's.
    """
    while (task := peers.receive()) is not None:
        _work(task, peers)
    peers.leave()


def _work(task: Assignment, peers: Together) -> None:
    """Do this process's part of every step of one briefing."""
    from torch import nn

    from .descent import Descent
    from .standing import seeded

    loss = task.loss.to(peers.device) if isinstance(task.loss, nn.Module) else task.loss
    descent = Descent(
        network=task.build(task.spec).to(peers.device),
        spec=task.spec,
        options=task.options,
        sampler=task.sampler,
        loss=loss,
        device=peers.device,
        change=task.change,
        peers=peers,
        pool=task.pool,
    )
    descent.restore(task.descent)
    descent.begin()
    order, numbers = peers.follow(), task.numbers
    while order is not None:
        epoch = order.epoch
        with seeded(task.options.seed, epoch) as random:
            if numbers is not None:
                random.patches.bit_generator.state, numbers = dict(numbers), None
            while order is not None and order.epoch == epoch:
                random.apart(peers.rank, order.done)  # depends on the step alone: nothing of it need be kept
                descent.step(task.batch_size, done=order.done, random=random)
                order = peers.follow()


def ready_file(folder: Path, rank: int) -> Path:
    """It is there once a helper is about to connect."""
    return folder / f"ready-{rank}"


def log_file(folder: Path, rank: int) -> Path:
    """What a helper says."""
    return folder / f"helper-{rank}.log"


def meeting_place(folder: Path) -> str:
    """For `together.meet`."""
    return f"file://{folder / 'meeting'}"


def _end_with_leader() -> None:
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
