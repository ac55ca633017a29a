"""Active-learning strategies, found by their constant `STRATEGY`."""

from __future__ import annotations

from ..registry import Registry, find
from .port import Candidate, Choice, Knowledge, Needs, Strategy

__all__ = ["Candidate", "Choice", "Knowledge", "Needs", "Strategy", "find_strategies"]


def find_strategies() -> Registry[Strategy]:
    """All strategies: `lib/strategies/*.py` and the entry-point group `carina.strategies`."""
    # mypy wants a concrete class where `isinstance` only needs a runtime-checkable protocol.
    return find("Strategy", package=__name__, constant="STRATEGY", item_type=Strategy, group="carina.strategies")  # type: ignore[type-abstract]
