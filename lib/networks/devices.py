"""Which device a network runs on, in which memory layout, and whether its memory ran out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ..errors import ConfigurationError, InvalidInputError

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


def short_type(device: torch.device) -> torch.dtype | None:
    """The 16-bit number type in which networks run faster on a device; None where 32 bits are as fast.

    bfloat16 on GPUs that know it, and float16 on older ones; bfloat16 on CPUs with AMX, whose tiles make a SegResNet
    2.5 times as fast, but not on those with AVX512-BF16 alone, which take up to 1.8 times as long as in 32 bits.
    `CARINA_PRECISION=float32` keeps everything in 32 bits. A training on a CPU asks
    `short_gradients.right_in_bfloat16`, too.

    Args:
        device: Where the network is.

    Raises:
        ConfigurationError: If that variable says something else than auto or float32.
    """
    import torch

    wanted = os.environ.get("CARINA_PRECISION") or "auto"
    if wanted not in ("auto", "float32"):
        raise ConfigurationError(
            f"CARINA_PRECISION must be auto or float32, got {wanted[:32]!r}. Leave it out for auto."
        )
    if wanted == "float32":
        return None
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    return torch.bfloat16 if _cpu_multiplies_tiles() else None


def short_numbers(device: torch.device, *, allowed: bool = True) -> torch.autocast:
    """Within it a network runs in `short_type` where that is allowed; what needs 32 bits keeps them."""
    import torch

    kind = short_type(device) if allowed else None
    return torch.autocast(device.type, dtype=kind or torch.bfloat16, enabled=kind is not None)


def _cpu_multiplies_tiles() -> bool:
    """Whether the CPU has AMX. PyTorch has no public question for it; where it does not answer, 32 bits are right."""
    import torch

    return bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())


def is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Whether memory ran out: CUDA has an error of its own, the CPU allocator and cuBLAS only have words."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return "allocate memory" in str(error) or "ALLOC_FAILED" in str(error)
