"""State dicts on disk: safetensors for ours, `weights_only` for other people's, every shape checked."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError, InvalidInputError, StorageError
from ..task import Layout
from .pickled_networks import PickledPart, comes_whole, harmless_pickle

if TYPE_CHECKING:
    from torch import Tensor, nn

_SHOWN = 5


def save_state(path: Path, state: Mapping[str, Tensor], *, metadata: Mapping[str, str] | None = None) -> None:
    """Write a state dict as safetensors.

    Args:
        path: Destination file; not atomic, callers write into a folder nobody reads yet.
        state: Parameter name → tensor, on any device.
        metadata: Words to keep with it.

    Raises:
        StorageError: If the disk is full or not writable.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    # Copies, because some networks have one tensor under several names, which the format does not hold.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    try:
        save_file(tensors, str(path), metadata=dict(metadata) if metadata else None)
    except SafetensorError as error:
        raise StorageError(f"{path.name} must be written whole, got '{error}'. Make room and try again.") from error


def load_state(path: Path) -> dict[str, Tensor]:
    """Read a safetensors file into CPU tensors.

    Raises:
        InvalidInputError: If the file is not safetensors.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state: dict[str, Tensor] = load_file(str(path))
    except SafetensorError as error:
        raise InvalidInputError(f"{path.name} must be a safetensors file, got {error}. Export it again.") from error
    return state


def load_foreign_state(path: Path, *, state_key: str | None = None, layout: Layout = "carina") -> dict[str, Tensor]:
    """Read somebody else's checkpoint without executing anything in it.

    Args:
        path: `.safetensors`, or what `torch.save` wrote.
        state_key: Where the state dict lies inside the checkpoint; None, or a checkpoint without that key, means the
            checkpoint is the state dict.
        layout: Whose it is: some publish a whole pickled network instead of its state dict (`pickled_networks`).

    Returns:
        Parameter name → CPU tensor; the `module.` prefix of data-parallel training is removed.

    Raises:
        InvalidInputError: If the file is damaged, holds more than tensors, or has no state dict.
    """
    if path.suffix == ".safetensors":
        return load_state(path)
    content = _load_tensors_only(path, layout)
    if isinstance(content, PickledPart):
        content = dict(content.state())
    if state_key is not None and isinstance(content, Mapping) and state_key in content:
        content = content[state_key]
    return _as_state(content, path.name)


def check_state(state: Mapping[str, Tensor], network: nn.Module, *, what: str) -> None:
    """Make sure a state dict is exactly what a network needs.

    Raises:
        ConfigurationError: Listing the first parameters that are missing, unexpected or of another shape.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    given = {name: tuple(tensor.shape) for name, tensor in state.items()}
    problems = [
        f"{name}: {_shape(given.get(name))} instead of {_shape(wanted.get(name))}"
        for name in sorted(wanted.keys() | given.keys())
        if wanted.get(name) != given.get(name)
    ]
    if problems:
        more = f"; … ({len(problems)} in all)" if len(problems) > _SHOWN else ""
        raise ConfigurationError(
            f"{what} must fit the task's network, got {'; '.join(problems[:_SHOWN])}{more}. "
            f"Use weights trained for these labels and this network."
        )


def _shape(shape: tuple[int, ...] | None) -> str:
    return "nothing" if shape is None else str(shape)


def _load_tensors_only(path: Path, layout: Layout) -> Any:
    import torch

    how: dict[str, Any] = {"weights_only": True}
    if comes_whole(layout):
        how = {"weights_only": False, "pickle_module": harmless_pickle(layout)}

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols; what cannot be read safely is an error below
            return torch.load(path, map_location="cpu", **how)
    except pickle.UnpicklingError as error:
        raise InvalidInputError(
            f"Weights file '{path.name}' must hold nothing but tensors, got a pickle with other objects, which could "
            f"run code. Ask its author for safetensors or a plain state dict."
        ) from error
    except Exception as error:  # of a file that is no pickle, the reader raises whatever its bytes happen to ask for
        raise InvalidInputError(
            f"Weights file '{path.name}' must be a readable checkpoint, got {type(error).__name__}. Copy it again."
        ) from error


def _as_state(content: object, name: str) -> dict[str, Tensor]:
    import torch

    if not isinstance(content, Mapping) or not content:
        raise InvalidInputError(f"Weights file '{name}' must hold a state dict, got {type(content).__name__}.")
    others = [str(key) for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if others:
        raise InvalidInputError(
            f"Weights file '{name}' must hold a state dict of tensors, got other values at "
            f"{', '.join(others[:_SHOWN])}. Set `state_key` in the task's PublicWeights to the key of the state dict."
        )
    return {str(key).removeprefix("module."): value for key, value in content.items()}
