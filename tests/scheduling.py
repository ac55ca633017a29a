"""How the tests are shared out between workers: by file, the longest work first, and one browser at a time.

A server with its PACS and a browser is made once for the whole folder of browser tests if one worker runs all of them,
and two of them would be in each other's way. Whatever is long and begins last leaves the other worker idle.
"""

from __future__ import annotations

import pytest
from xdist.scheduler import LoadFileScheduling

_BROWSER = "tests/browser/"


class ByFile(LoadFileScheduling):
    """As `--dist loadfile`, in the order of the collection, and with all browser tests in one piece."""

    def _split_scope(self, nodeid: str) -> str:
        return _BROWSER if nodeid.startswith(_BROWSER) else super()._split_scope(nodeid)


def longest_first(items: list[pytest.Item]) -> None:
    """Browser tests, then files with a slow test, then the others; otherwise in the order of the collection."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}

    def rank(item: pytest.Item) -> int:
        return 0 if item.nodeid.startswith(_BROWSER) else 1 if item.path in slow else 2

    items.sort(key=rank)
