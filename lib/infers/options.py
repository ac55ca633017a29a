"""What a client may choose per inference: shown by Slicer as a field or a list, checked before anything is queued."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidInputError
from ..networks.devices import device_name
from ..task import LUNGS, WHOLE

QUICK = "quick"
QUALITY_OVERLAP: Mapping[str, float | None] = {"standard": None, QUICK: 0.0, "fine": 0.5}
"""Share of a window that overlaps the next; None is the task's own."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """One choice of a client.

    Attributes:
        name: Key among the request's parameters.
        shown: What `/info` says of it: a text or a number to edit, or a list to choose from with the default first.
        parse: Turns what a client sends into what the kind takes; raises `InvalidInputError`.
    """

    name: str
    shown: str | float | list[str]
    parse: Callable[[object], Any]


def choice(name: str, *choices: str) -> Option:
    """One of some words, the first by default. A list is what Slicer sends of a choice nobody touched."""

    def parse(value: object) -> str:
        word = value[0] if isinstance(value, list) and value else value
        if word in (None, ""):
            return choices[0]
        if word not in choices:
            raise InvalidInputError(
                f"Option '{name}' must be one of {', '.join(choices)}, got {str(word)[:32]!r}. Choose one of them."
            )
        return str(word)

    return Option(name=name, shown=list(choices), parse=parse)


def number(name: str, default: float, *, lowest: float, highest: float) -> Option:
    """A number; text is read as one."""

    def parse(value: object) -> float:
        if value in (None, ""):
            return default
        try:
            found = math.nan if isinstance(value, bool) else float(str(value))
        except ValueError:
            found = math.nan
        if not lowest <= found <= highest:
            raise InvalidInputError(
                f"Option '{name}' must be a number from {lowest:g} to {highest:g}, got {str(value)[:32]!r}. "
                f"{default:g} is usual."
            )
        return found

    return Option(name=name, shown=default, parse=parse)


def text(name: str) -> Option:
    """A text that may stay empty; its meaning is checked where it is used."""

    def parse(value: object) -> Any:
        if value is None or (isinstance(value, str) and not value.strip()):
            return None
        return value.strip() if isinstance(value, str) else value

    return Option(name=name, shown="", parse=parse)


NETWORK_OPTIONS = (
    Option(name="device", shown="auto", parse=device_name),
    choice("quality", *QUALITY_OVERLAP),
    text("model_version"),
    text("labels"),
)
"""Of every kind that runs a network: where, how carefully, with which version, and which structures to keep."""


IF_POSSIBLE, YES, NO = "auto", "yes", "no"
LIKELIEST = "likeliest"
"""In place of a finding: the one that the network thinks likeliest."""

FINDINGS_OPTIONS = (
    Option(name="device", shown="auto", parse=device_name),
    text("model_version"),
    text("heatmap"),
    choice("roi", WHOLE, LUNGS),
    choice("measurements", IF_POSSIBLE, YES, NO),
)
"""Of a classification: where, with which version, which finding to show on the image, which part to look at, and
whether a radiograph is measured as well."""


def overlap_of(request: Mapping[str, Any]) -> float | None:
    """How much windows overlap: `overlap`, else what `quality` stands for; None leaves it to the task.

    Raises:
        InvalidInputError: If either makes no sense.
    """
    value = request.get("overlap")
    if value is None or value == "":
        return QUALITY_OVERLAP[choice("quality", *QUALITY_OVERLAP).parse(request.get("quality"))]
    try:
        return float(str(value))
    except ValueError as error:
        raise InvalidInputError(f"Option 'overlap' must be a number in [0, 1), got {value!r}.") from error
