"""`carina demo`: the whole loop on phantoms."""

from __future__ import annotations

from .options import JsonOption
from .output import command


def demo(as_json: JsonOption = False) -> None:
    """Run the loop."""
    with command(as_json=as_json):
        pass
