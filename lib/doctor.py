"""Examines an installation: each check looks at one thing and says what to do about it."""

from __future__ import annotations

import importlib
import os
import shutil
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from packaging.version import Version

from .datastores.orthanc_program import find_dicomweb_plugin, find_orthanc
from .errors import CarinaError, MissingDependencyError
from .models.store import ModelStore
from .registry import find_tasks
from .settings import Settings

State = Literal["ok", "warn", "fail"]

_REINSTALL = "Run scripts/setup, which installs the pinned set in one resolution."
_LEAST_FREE_GIB, _GOOD_FREE_GIB = 2.0, 20.0
_GIB = 2**30

# Name → (lowest, below which it must stay); why each bound is there stands in DESIGN.md and pyproject.toml.
_REQUIRED: dict[str, tuple[str | None, str | None]] = {
    "numpy": ("1.26", "2"),
    "pydicom": ("3.0.2", None),
    "monai": ("1.6.1", None),
    "monailabel": ("0.8.5", "0.8.6"),
    "highdicom": ("0.28", None),
    "torch": ("2.10", None),
    "starlette": ("0.49.1", None),
    "pyjwt": ("2.13", None),
}
# Transfer syntax → name of the pydicom decoder that must have a plugin for it.
_DECODERS = {
    "JPEG 2000": "JPEG2000LosslessDecoder",
    "JPEG-LS": "JPEGLSLosslessDecoder",
    "JPEG lossless": "JPEGLosslessSV1Decoder",
    "RLE": "RLELosslessDecoder",
}


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        what: The thing looked at.
        state: `fail` keeps carina from its main job; `warn` is worth knowing.
        found: What is there.
        fix: What to do; empty when nothing is needed.
    """

    what: str
    state: State
    found: str
    fix: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """Run every check, quick ones first; a check that breaks is itself a finding."""
    checks: tuple[tuple[str, Callable[[], Iterator[Finding]]], ...] = (
        ("Python", check_python),
        ("versions", check_versions),
        ("home folder", lambda: check_home(settings)),
        ("disk", lambda: check_disk(settings)),
        ("port", lambda: check_port(settings)),
        ("Orthanc", check_orthanc),
        ("tasks", lambda: check_tasks(settings)),
        ("decoders", check_decoders),
        ("torch", check_torch),
        ("monailabel", check_monailabel),
    )
    for what, check in checks:
        try:
            yield from check()
        except CarinaError as error:
            yield Finding(what, "fail", str(error), "Follow the message.")
        except Exception as error:  # noqa: BLE001  a broken library may raise anything; the other checks go on
            yield Finding(what, "fail", f"{type(error).__name__}: {error}", _REINSTALL)


def check_python() -> Iterator[Finding]:
    """The interpreter's version, and whether it is in an environment of its own."""
    found = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    fits = (3, 11) <= sys.version_info[:2] < (3, 13)
    yield Finding("Python", "ok" if fits else "fail", found, "" if fits else "Install Python 3.11 or 3.12.")


def check_versions() -> Iterator[Finding]:
    """Libraries whose versions are known to matter."""
    for name, (lowest, below) in _REQUIRED.items():
        wanted = " and ".join([f">= {lowest}"] * bool(lowest) + [f"< {below}"] * bool(below))
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding(name, "fail", "not installed", f"carina needs {name} {wanted}. {_REINSTALL}")
            continue
        fits = (not lowest or Version(found) >= Version(lowest)) and (not below or Version(found) < Version(below))
        yield Finding(name, "ok" if fits else "fail", found, "" if fits else f"It must be {wanted}. {_REINSTALL}")


def check_home(settings: Settings) -> Iterator[Finding]:
    """Whether state can be written."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=settings.home):
            pass
    except OSError as error:
        fix = "Set CARINA_HOME to a folder you may write to."
        yield Finding("home folder", "fail", f"{settings.home}: {error.strerror}", fix)
        return
    yield Finding("home folder", "ok", f"{settings.home} is writable")


def check_disk(settings: Settings) -> Iterator[Finding]:
    """Free space where state lies."""
    folder = next(path for path in (settings.home, *settings.home.parents) if path.exists())
    free = shutil.disk_usage(folder).free / _GIB
    state: State = "ok" if free >= _GOOD_FREE_GIB else "warn" if free >= _LEAST_FREE_GIB else "fail"
    fix = "" if state == "ok" else f"Free space, or set CARINA_HOME to a larger disk ({_GOOD_FREE_GIB:g} GiB are good)."
    yield Finding("disk", state, f"{free:.1f} GiB free", fix)


def check_port(settings: Settings) -> Iterator[Finding]:
    """Whether the server's port can be bound."""
    with socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            fix = "Is carina running already? Otherwise choose another: carina up --port 0"
            yield Finding("port", "warn", f"{settings.host}:{settings.port}: {error.strerror}", fix)
            return
    yield Finding("port", "ok", f"{settings.host}:{settings.port} is free")


def check_orthanc() -> Iterator[Finding]:
    """The binary and the plugin that `carina up` starts when no store is given."""
    searches: tuple[tuple[str, Callable[[], Path]], ...] = (
        ("Orthanc", find_orthanc),
        ("Orthanc's DICOMweb plugin", find_dicomweb_plugin),
    )
    for what, search in searches:
        try:
            yield Finding(what, "ok", str(search()))
        except MissingDependencyError as error:
            fix = "Install it, or name your own PACS or a folder: carina up --store URL"
            yield Finding(what, "warn", str(error), fix)


def check_tasks(settings: Settings) -> Iterator[Finding]:
    """Every task loads, and which model it serves."""
    models = ModelStore(settings.models_dir)
    for spec in find_tasks():
        if not spec.learns:
            yield Finding(f"task {spec.name}", "ok", "needs no model")
            continue
        served = models.served(spec.name)
        if served is not None:
            intact = served.weights_path.is_file() and served.fingerprint == spec.fingerprint()
            fix = "" if intact else f"carina models rollback {spec.name}"
            found = f"serves {served.version}" + ("" if intact else ", whose weights are gone or made for another task")
            yield Finding(f"task {spec.name}", "ok" if intact else "fail", found, fix)
            continue
        ways = [f"carina train {spec.name} --images DIR --labels DIR"]
        ways += [f"put {file.file_name} ({file.source}) into {models.folder(spec.name)}" for file in spec.weights]
        yield Finding(f"task {spec.name}", "warn", "no model yet", "To draft: " + "; or ".join(ways) + ".")


def check_decoders() -> Iterator[Finding]:
    """Whether compressed DICOM can be read."""
    decoders = importlib.import_module("pydicom.pixels.decoders")
    for what, name in _DECODERS.items():
        decoder = getattr(decoders, name)
        found = ", ".join(decoder.available_plugins)
        fix = "" if decoder.is_available else _REINSTALL
        yield Finding(f"decoder {what}", "ok" if decoder.is_available else "fail", found or "no plugin", fix)


def check_torch() -> Iterator[Finding]:
    """That torch and torchvision were built for each other, and what they compute on."""
    torch = importlib.import_module("torch")
    torchvision = importlib.import_module("torchvision")
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 2.0, 2.0]])
    kept = torchvision.ops.nms(boxes, torch.tensor([0.9, 0.8]), 0.5)
    works = kept.tolist() == [0]
    built = f"torch {torch.__version__}, torchvision {torchvision.__version__}"
    fix = "" if works else f"torchvision must be built for this torch. {_REINSTALL}"
    yield Finding("torchvision", "ok" if works else "fail", built, fix)
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        yield Finding("GPU", "ok", f"{properties.name}, {properties.total_memory / _GIB:.0f} GiB")
        return
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    fix = "thorax_ct trains on a CPU; for whole-body tasks use a machine with CUDA."
    yield Finding("GPU", "warn", f"none; {cores} CPU cores", fix)


def check_monailabel() -> Iterator[Finding]:
    """That monailabel can be imported on these libraries."""
    from .server import compat

    compat.install()
    for module in ("monailabel.interfaces.app", "monailabel.client"):
        importlib.import_module(module)
    yield Finding("monailabel", "ok", f"{version('monailabel')} imports")
