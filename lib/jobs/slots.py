"""Places where jobs run, one job in each at a time: every GPU is one, and so is the CPU. Imports no torch."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

CPU = "cpu"
_QUERY_S = 10.0
_QUERY = ("--query-gpu=uuid", "--format=csv,noheader")


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One place.

    Attributes:
        name: `cpu`, or `cuda:<n>` with the number that this machine's users know.
        environment: Added to the process's; hides the other GPUs.
    """

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def device(self, wanted: str) -> str:
        """What the process is told: the only GPU it sees has number 0, whatever it is called outside."""
        return "cuda" if wanted.startswith("cuda") and self.name != CPU else wanted


def find_slots() -> tuple[Slot, ...]:
    """This machine's slots: every visible GPU and the CPU.

    `CUDA_VISIBLE_DEVICES` counts where it is set; else NVIDIA's driver is asked, and GPUs are named by their UUIDs,
    because CUDA may number them in another order.
    """
    gpus = _visible_gpus()
    if not gpus:
        return (Slot(name=CPU),)
    hidden = Slot(name=CPU, environment={"CUDA_VISIBLE_DEVICES": ""})
    return (
        *(Slot(name=f"cuda:{n}", environment={"CUDA_VISIBLE_DEVICES": gpu}) for n, gpu in enumerate(gpus)),
        hidden,
    )


def suitable(slots: Sequence[Slot], wanted: str) -> tuple[Slot, ...]:
    """Where a job may run.

    Args:
        slots: Of this machine.
        wanted: `auto`, `cpu`, `cuda` or `cuda:<n>`.

    Returns:
        The CPU only for jobs that ask for it and on machines without a GPU; a job for a GPU that is not there comes
        to the CPU's slot too, where its process says so in words.
    """
    cpu = tuple(slot for slot in slots if slot.name == CPU)
    if wanted == CPU:
        return cpu
    gpus = tuple(slot for slot in slots if slot.name != CPU and wanted in ("auto", "cuda", slot.name))
    return gpus or cpu


def _visible_gpus() -> list[str]:
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        names = [name.strip() for name in given.split(",")]
        return names[: next((n for n, name in enumerate(names) if name in ("", "-1")), len(names))]
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        asked = subprocess.run(  # noqa: S603  NVIDIA's own tool
            [command, *_QUERY], check=True, capture_output=True, text=True, timeout=_QUERY_S
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return asked.stdout.split()
