"""Plug-ins dropped in from outside, as if their files lay in `lib/configs/` and `lib/networks/`."""

from __future__ import annotations

import os
from pathlib import Path


def plugin_path(folder: Path, plugin: Path) -> str:
    """A PYTHONPATH under which carina, its server and its workers find a plug-in's files beside their own.

    Args:
        folder: Where the file that does it is written.
        plugin: Holds `configs/` and, where it brings networks, `networks/`.
    """
    site = folder / "site"
    site.mkdir(exist_ok=True)
    lines = [
        f"import carina.{part}\ncarina.{part}.__path__.append({str(plugin / part)!r})\n"
        for part in ("configs", "networks")
        if (plugin / part).is_dir()
    ]
    (site / "sitecustomize.py").write_text("".join(lines))
    return os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
