"""MONAI's networks without the libraries that no network needs: they cost seconds at the start of every process.

MONAI looks for its optional libraries as soon as any part of it is imported, and loads all that are installed. Ours has
pandas and MLflow with it, which take most of the time until a first draft or a first training step.
"""

from __future__ import annotations

import importlib
import sys
import threading

_NOT_FOR_NETWORKS = (
    "clearml", "cucim", "cupy", "fire", "h5py", "ignite", "itk", "jsonschema", "lmdb", "matplotlib", "mlflow", "nrrd",
    "onnx", "onnxruntime", "openslide", "optuna", "pandas", "pyamg", "scipy.signal", "skimage", "sklearn",
    "tensorboard", "tensorboardX", "tifffile", "torchvision", "transformers", "zarr",
)  # fmt: skip
_LOADING = threading.RLock()


def load_monai() -> None:
    """Import `monai.networks.nets`; in a process that has MONAI already nothing happens.

    Afterwards every library can be imported as ever, but MONAI takes those it did not find for missing. Who wants the
    whole of it in the same process, say its MLflow handler, writes `import monai` before the first network is built.
    """
    with _LOADING:
        if "monai" in sys.modules:
            return
        hidden = [name for name in _NOT_FOR_NETWORKS if name not in sys.modules]
        # Python's own way to say that a module cannot be imported.
        sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
        try:
            importlib.import_module("monai.networks.nets")
        finally:
            for name in hidden:
                if sys.modules.get(name, sys) is None:
                    del sys.modules[name]
