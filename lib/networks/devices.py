"""Which device a network runs on, in which memory layout, and whether its memory ran out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InvalidInputError

if TYPE_CHECKING:
    import torch


def device_name(value: object) -> str:
    """A device as a client may write it; `auto` when it says nothing. Needs no torch.

    Raises:
        InvalidInputError: If it is not auto, cpu, cuda or cuda:<n>.
    """
    name = value or "auto"
    if isinstance(name, str) and (
        name in ("auto", "cpu", "cuda") or (name.startswith("cuda:") and name[5:].isdecimal() and name.isascii())
    ):
        return name
    raise InvalidInputError(f"A device must be auto, cpu, cuda or cuda:<n>, got {str(name)[:32]!r}.")


def resolve_device(name: str | torch.device) -> torch.device:
    """The device called `name`; `auto` is CUDA where there is one.

    Raises:
        InvalidInputError: If the device is unknown or not there.
    """
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidInputError(f"A device must be auto, cpu, cuda or cuda:<n>, got {name!r}.") from error
    count = torch.cuda.device_count()
    if device.type == "cuda" and (device.index or 0) >= count:
        raise InvalidInputError(f"Device '{device}' must exist, got {count} CUDA devices. Use auto.")
    if device.type not in ("cpu", "cuda"):
        raise InvalidInputError(f"A device must be auto, cpu, cuda or cuda:<n>, got {name!r}.")
    return device


def memory_layout(dimension: int) -> torch.memory_format:
    """Channels last, the layout in which convolutions of 2 or 3 dimensions are fastest."""
    import torch

    return torch.channels_last if dimension == 2 else torch.channels_last_3d


def is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Whether memory ran out: CUDA has an error of its own, the CPU allocator and cuBLAS only have words."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return "allocate memory" in str(error) or "ALLOC_FAILED" in str(error)
