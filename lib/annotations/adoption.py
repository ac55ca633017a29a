"""Which objects of a PACS become annotations, and as what: pure rules, asked by whoever walks through the PACS."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatch

from pydicom.dataset import Dataset

from ..dicom.provenance import AlgorithmType, ObjectReference, made_by_carina
from ..errors import ConfigurationError
from .annotation import HISTORY_TAG

_WORDS = ("ours", "none", "all")
_PATTERNS = ("manufacturer", "description")


@dataclass(frozen=True, kw_only=True)
class Adoption:
    """An object in the PACS that an annotation is read from.

    Attributes:
        document: The object.
        parent: Id of the annotation whose object it says it follows; None if that is not known here.
    """

    document: ObjectReference
    parent: str | None


@dataclass(frozen=True, kw_only=True)
class AdoptionRule:
    """What may be adopted. Whatever carries another maker's name is refused unless the rule says otherwise.

    Attributes:
        ours: Objects with carina's provenance.
        everything: Every object.
        manufacturers: Patterns (`*`, `?`) of Manufacturer, any case.
        descriptions: Patterns of SeriesDescription, any case.
    """

    ours: bool = False
    everything: bool = False
    manufacturers: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()

    def admits(self, dataset: Dataset) -> bool:
        """Whether an object may be adopted."""
        return (
            self.everything
            or (self.ours and made_by_carina(dataset))
            or _fits(str(dataset.get("Manufacturer") or ""), self.manufacturers)
            or _fits(str(dataset.get("SeriesDescription") or ""), self.descriptions)
        )


def parse_rule(text: str) -> AdoptionRule:
    """Read `CARINA_ADOPT`: `ours`, `none`, `all`, `manufacturer:PATTERN`, `description:PATTERN`; several with commas.

    Raises:
        ConfigurationError: If a part is none of these, or `none` or `all` does not stand alone.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    patterns: dict[str, list[str]] = {name: [] for name in _PATTERNS}
    for part in parts:
        name, colon, pattern = part.partition(":")
        if colon and name in patterns and pattern.strip():
            patterns[name].append(pattern.strip())
        elif part not in _WORDS or (part != "ours" and len(parts) > 1):
            raise ConfigurationError(
                f"An adoption rule must be none, all, or made of ours, manufacturer:PATTERN and description:PATTERN, "
                f"got '{text[:80]}'. Set CARINA_ADOPT to one, such as ours,description:*reviewed*."
            )
    return AdoptionRule(
        ours="ours" in parts,
        everything="all" in parts,
        manufacturers=tuple(patterns["manufacturer"]),
        descriptions=tuple(patterns["description"]),
    )


def tag_of(algorithm_type: AlgorithmType, *, made: datetime | None, in_use_since: datetime | None) -> str:
    """Under which tag an object is adopted.

    Args:
        algorithm_type: As the object says.
        made: When it was made; None if it does not say.
        in_use_since: When the image's newest final label was made; None if it has none.

    Returns:
        `original` for what a machine made alone, so that no training learns from it; `history` for what is older than
        the label in use, or of unknown age; else `final`.
    """
    if algorithm_type == "AUTOMATIC":
        return "original"
    if in_use_since is not None and (made is None or made < in_use_since):
        return HISTORY_TAG
    return "final"


def _fits(value: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatch(value.lower(), pattern.lower()) for pattern in patterns)
