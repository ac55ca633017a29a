"""Methods that score images by how a model sees them, found by their constant `METHOD`."""

from __future__ import annotations

from ..registry import Registry, find
from .port import ScoringMethod

__all__ = ["ScoringMethod", "find_methods"]


def find_methods() -> Registry[ScoringMethod]:
    """All methods: `lib/scoring/*.py` and the entry-point group `carina.scoring`. Imports no torch."""
    # mypy wants a concrete class where `isinstance` only needs a runtime-checkable protocol.
    return find(
        "Scoring method",
        package=__name__,
        constant="METHOD",
        item_type=ScoringMethod,  # type: ignore[type-abstract]
        group="carina.scoring",
    )
