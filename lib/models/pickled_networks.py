"""Reads the tensors of a network that was pickled as a whole, with none of its classes and without running any code.

`torch.load(weights_only=True)` refuses such files, those of torch before 1.6 in any case. Here the names that a known
network consists of stand for a class of no behaviour that keeps attributes and nothing else. Besides these there are
only the functions that make tensors, which `weights_only` knows too; every other name is refused.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING, Any

from ..task import Layout

if TYPE_CHECKING:
    from torch import Tensor

_TORCH = (
    "activation.ReLU",
    "batchnorm.BatchNorm2d",
    "container.Sequential",
    "conv.Conv2d",
    "linear.Linear",
    "pooling.AvgPool2d",
    "pooling.MaxPool2d",
)
_PARTS: Mapping[Layout, tuple[str, ...]] = {
    "torchxrayvision": (
        *(f"torchxrayvision.models.{name}" for name in ("DenseNet", "_DenseBlock", "_DenseLayer", "_Transition")),
        *(f"torch.nn.modules.{name}" for name in _TORCH),
    )
}


class PickledPart:
    """A module of somebody else's network: attributes, of which parameters, buffers and parts are looked at."""

    dump_patches = False
    """Asked by torch, which would else compare our source with theirs."""

    def state(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Parameter or buffer name → tensor, as a state dict has them."""
        held: dict[str, Any] = self.__dict__
        for kind in ("_parameters", "_buffers"):
            yield from ((prefix + name, value) for name, value in held.get(kind, {}).items() if value is not None)
        for name, part in held.get("_modules", {}).items():
            if isinstance(part, PickledPart):
                yield from part.state(f"{prefix}{name}.")


def comes_whole(layout: Layout) -> bool:
    """Whether networks of this layout are published as a whole."""
    return layout in _PARTS


def harmless_pickle(layout: Layout) -> Any:
    """What `torch.load` takes as its `pickle_module`; gives a `PickledPart` for a network of this layout.

    Raises:
        UnpicklingError: While loading, if the file names anything else.
    """
    import torch

    known: dict[str, Any] = {
        "collections.OrderedDict": OrderedDict,
        "builtins.set": set,
        "torch._utils._rebuild_tensor_v2": torch._utils._rebuild_tensor_v2,
        "torch._utils._rebuild_parameter": torch._utils._rebuild_parameter,
        **dict.fromkeys(_PARTS[layout], PickledPart),
    }

    class Unpickler(pickle.Unpickler):
        """Knows a few names."""

        def find_class(self, module_name: str, global_name: str, /) -> Any:
            """What a name stands for."""
            name = f"{module_name}.{global_name}".replace("__builtin__", "builtins")
            if name not in known:
                raise pickle.UnpicklingError(f"{name} is not known here")
            return known[name]

    def load(file: IO[bytes], **options: Any) -> Any:
        return Unpickler(file, **options).load()

    return SimpleNamespace(Unpickler=Unpickler, load=load, __name__=__name__)
