"""How Python processes of our own are started."""

from __future__ import annotations

import sys


def python_module(name: str, *arguments: str) -> list[str]:
    """The command that runs a module with this interpreter.

    The folder in which carina was started is not searched for modules: it may hold a folder called `carina`, such as
    a clone of the project, or somebody else's files.

    Args:
        name: Of the module, with its package.
        arguments: For it.
    """
    return [sys.executable, "-P", "-m", name, *arguments]
