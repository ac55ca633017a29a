"""Several processes on one training: each works on its part of every batch, and all take the same step.

One process leads: it alone validates, writes checkpoints, reports, and is asked whether to stop. The others follow its
orders, one per step. The sums of the loss are added up and gradients averaged (`DistributedDataParallel`), so a step is
that of one process with the whole batch. Orders travel over gloo; gradients over gloo on CPUs and NCCL on GPUs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from .peers import Assignment

LEADER = 0
# In a step nobody waits long for another; for the next order helpers wait while the leader validates.
_STEP = timedelta(minutes=10)
_PATIENCE = timedelta(days=1)
_TORCHRUN = "env://"


class Order(NamedTuple):
    """The next step: its epoch, and how many steps were done before it."""

    epoch: int
    done: int


_NO_MORE = Order(epoch=0, done=0)


@dataclass(frozen=True, kw_only=True)
class Together:
    """See `peers.Peers`; made by `meet`.

    Attributes:
        rank: Number of this process; 0 leads.
        count: How many there are.
        device: Where this process trains.
        orders: What the leader tells travels here.
    """

    rank: int
    count: int
    device: torch.device
    orders: distributed.ProcessGroup

    def part(self, batch_size: int) -> slice:
        """Every `count`-th patch, so that parts differ by one at most."""
        return slice(self.rank, None, self.count)

    def total(self, sums: Tensor) -> Tensor:
        """See `peers.Peers`."""
        return cast("Tensor", _Total.apply(sums))

    def share(self, network: nn.Module) -> nn.Module:
        """See `peers.Peers`; on a GPU features are normalised over the whole batch, too."""
        # Kernels of one voxel have two strides that mean the same, and torch warns that gradients come with the other.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        if self.device.type != "cuda":
            return DistributedDataParallel(network)
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return DistributedDataParallel(network, device_ids=[self.device])

    def brief(self, assignment: Callable[[], Assignment]) -> None:
        """See `peers.Peers`."""
        self._tell([assignment()])

    def receive(self) -> Assignment | None:
        """What the leader's `brief` tells; None when no help is needed any more."""
        box: list[Any] = [None]
        self._tell(box)
        return cast("Assignment | None", box[0])

    def lead(self, epoch: int, done: int) -> None:
        """See `peers.Peers`."""
        self._exchange(Order(epoch, done))

    def follow(self) -> Order | None:
        """What the leader's `lead` orders next; None when these steps have ended."""
        order = self._exchange(_NO_MORE)
        return None if order == _NO_MORE else order

    def rest(self) -> None:
        """See `peers.Peers`."""
        self._exchange(_NO_MORE)

    def dismiss(self) -> None:
        """Let the helpers end; the leader alone calls this, while they rest."""
        self._tell([None])

    def leave(self, *, broken: bool = False) -> None:
        """End the connection.

        Args:
            broken: Whether a process is gone: what it still owes is not waited for.
        """
        if not distributed.is_initialized():
            return
        if broken and self.device.type == "cuda":
            give_up()
        else:
            distributed.destroy_process_group()

    def _exchange(self, order: Order) -> Order:
        numbers = torch.tensor(order, dtype=torch.int64)
        distributed.broadcast(numbers, src=LEADER, group=self.orders)
        return Order(*numbers.tolist())

    def _tell(self, box: list[Any]) -> None:
        distributed.broadcast_object_list(box, src=LEADER, group=self.orders, device=torch.device("cpu"))


def meet(*, rank: int, count: int, device: torch.device, at: str = _TORCHRUN) -> Together:
    """Connect with the other processes; waits until all are there, under `torchrun` as long as the leader prepares.

    Args:
        rank: Number of this process.
        count: How many there are.
        device: Where this process trains.
        at: `file://` and a path that does not exist yet, or what `torchrun` has put into the environment.
    """
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if on_gpu else "gloo",
        init_method=at,
        rank=rank,
        world_size=count,
        timeout=_PATIENCE if at == _TORCHRUN else _STEP,
    )
    orders = cast("distributed.ProcessGroup", distributed.new_group(backend="gloo", timeout=_PATIENCE))
    return Together(rank=rank, count=count, device=device, orders=orders)


def give_up() -> None:
    """End the connection though others owe something: whatever waits for them fails."""
    distributed.distributed_c10d._abort_process_group()


def outside(environment: Mapping[str, str]) -> tuple[int, int] | None:
    """Number of this process and how many there are, as `torchrun` says; None if it was not started by it."""
    count = int(environment.get("WORLD_SIZE", "1"))
    return (int(environment["RANK"]), count) if count > 1 and "RANK" in environment else None


class _Total(torch.autograd.Function):
    """A sum over processes. Each has the same loss of it, and so a part of the gradient that the others lack."""

    @staticmethod
    def forward(ctx: Any, sums: Tensor) -> Tensor:
        found = sums.detach().clone()
        distributed.all_reduce(found)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        found = gradient.clone()
        distributed.all_reduce(found)
        return found
