"""Ids from outside: what may name an image, and how a file's name becomes an id."""

from __future__ import annotations

import hashlib
import re
import unicodedata

from ..errors import UnsafeIdError

MAX_ID_LENGTH = 128
_HASH_DIGITS = 8
_SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
_FOREIGN = re.compile(r"[^A-Za-z0-9._-]+")


def check_id(value: str, *, what: str = "An image id", advice: str = "Take it from the datastore's list.") -> str:
    """Let an id through that can name a file and nothing else.

    Args:
        value: As it came from a client.
        what: For the message.
        advice: For the message: what to do about it.

    Returns:
        `value`, unchanged.

    Raises:
        UnsafeIdError: Unless it has 1–128 letters, digits, dots, underscores and hyphens, does not start with a dot
            and holds no `..`.
    """
    if not _SAFE.fullmatch(value) or ".." in value:
        shown = ascii(value[:40]) + ("…" if len(value) > 40 else "")
        raise UnsafeIdError(
            f"{what} must be 1–{MAX_ID_LENGTH} letters, digits, '.', '_' or '-' without '..', got {shown}. {advice}"
        )
    return value


def id_from_name(name: str) -> str:
    """Turn a relative file name (without its suffix) into an id: separators and foreign characters become `_`.

    Letters lose their accents. Where other letters would be lost, as of a Japanese name, or the name is too long for an
    id, the id ends in eight digits of the name's SHA-256, so that two such names make two ids.

    Raises:
        UnsafeIdError: If nothing usable is left.
    """
    plain = unicodedata.normalize("NFKD", name)
    letters = "".join(letter for letter in plain if not unicodedata.combining(letter))
    made = re.sub(r"\.{2,}", ".", _FOREIGN.sub("_", letters)).lstrip(".")
    if not letters.isascii() or len(made) > MAX_ID_LENGTH:
        digits = hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
        made = f"{made[: MAX_ID_LENGTH - _HASH_DIGITS - 1].rstrip('.')}-{digits}"
    return check_id(made, what="A file name")
