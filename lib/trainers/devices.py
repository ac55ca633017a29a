"""Where a training runs."""

from __future__ import annotations

import torch

from ..errors import InvalidInputError


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one.

    Raises:
        InvalidInputError: If the device is not on this machine.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidInputError(f"A device must be auto, cpu, cuda or cuda:<n>, got {name!r}.") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InvalidInputError(
            f"Device '{name}' must exist, got {torch.cuda.device_count()} CUDA device(s). Use auto or cpu."
        )
    return device
