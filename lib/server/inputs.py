"""What clients may send as JSON parameters, checked at the edge before anything acts on them."""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidInputError, UnsafeIdError

MOST = 2**63 - 1
"""Largest number a database or a file's offset can be asked for."""

# Keys of MONAI Label's internal request dictionary. A client that could set them would choose files on the server.
RESERVED_KEYS = frozenset(
    {
        "image", "image_path", "label", "path", "file", "filename", "model_filename", "model_path", "model_file",
        "bundle_path", "session", "datastore", "output_dir", "result_path", "label_path", "dataset_path", "save_label",
    }
)  # fmt: skip


def json_object(text: str | None, what: str = "params") -> dict[str, Any]:
    """Parse a form field that holds a JSON object; an empty field is an empty object.

    Raises:
        InvalidInputError: If it is not JSON, not an object, or holds what no answer of JSON could give back: a number
            that is not finite, or half of a surrogate pair.
    """
    try:
        value = json.loads(text) if text and text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise InvalidInputError(f"Field '{what}' must be a JSON object, got invalid JSON. Check its quotes.") from error
    if value is None:
        return {}
    try:
        json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:
        raise InvalidInputError(
            f"Field '{what}' must hold finite numbers and whole characters, got a NaN, an infinity or half a character."
        ) from error
    if not isinstance(value, dict):
        raise InvalidInputError(f"Field '{what}' must be a JSON object, got {type(value).__name__}.")
    return value


def refuse_reserved(params: Mapping[str, Any]) -> None:
    """Make sure no request key that names a file is set by a client.

    Raises:
        UnsafeIdError: If one is.
    """
    taken = sorted(RESERVED_KEYS & params.keys())
    if taken:
        raise UnsafeIdError(
            f"Parameters must not set {', '.join(taken)}: images and labels are named by their ids in the address. "
            "Leave them out."
        )


def chosen(params: Mapping[str, Any], allowed: frozenset[str] | set[str]) -> dict[str, Any]:
    """The allowed parameters only; reserved ones are refused, unknown ones left out.

    MONAI Label's clients send what they know of other servers' options too, so an unknown key is no error.

    Raises:
        UnsafeIdError: If a reserved key is set.
    """
    refuse_reserved(params)
    return {key: value for key, value in params.items() if key in allowed}


def text_of(params: Mapping[str, Any], key: str, *, limit: int = 128) -> str | None:
    """An optional text parameter without control characters.

    Raises:
        InvalidInputError: If it is not text, or too long.
    """
    value = params.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > limit or not all(map(_is_shown, value)):
        raise InvalidInputError(f"Parameter '{key}' must be at most {limit} printable characters.")
    return value


def _is_shown(character: str) -> bool:
    """Whether a character is printable; Python counts no space but U+0020, and Japanese is written with U+3000."""
    return character.isprintable() or unicodedata.category(character) == "Zs"


def user_of(params: Mapping[str, Any]) -> str | None:
    """Who a client says it is: `user`, else the `client_id` that MONAI Label's clients send; None if neither.

    Raises:
        InvalidInputError: If it is not text, or too long.
    """
    return text_of(params, "user") or text_of(params, "client_id")


def seconds_of(params: Mapping[str, Any], *keys: str) -> float | None:
    """A duration in seconds under the first of the keys that is there; text is read as a number.

    Raises:
        InvalidInputError: If it is no number from 0 up.
    """
    for key in keys:
        value = params.get(key)
        if value is None or value == "":
            continue
        try:
            seconds = float(value) if isinstance(value, int | float | str) else math.nan
        except (ValueError, OverflowError):
            seconds = math.nan
        if isinstance(value, bool) or not (math.isfinite(seconds) and seconds >= 0):
            raise InvalidInputError(f"Parameter '{key}' must be seconds from 0 up. Send a number such as 95.5.")
        return seconds
    return None
