"""Which code made a model: a hash over carina's own source, and the versions of what it stands on."""

from __future__ import annotations

import hashlib
import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

_LIBRARIES = ("torch", "monai", "numpy", "safetensors")


def code_versions() -> dict[str, str]:
    """`source_sha256`, `python`, and the version of each library that decides what a network computes."""
    return {"source_sha256": source_sha256(), "python": platform.python_version(), **_library_versions()}


@cache
def source_sha256() -> str:
    """SHA-256 over the name and content of every Python file of the package.

    It needs no version control, so it is the same for a checkout and for an installed package of the same files.
    """
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root).as_posix()}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _library_versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
