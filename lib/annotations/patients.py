"""Pseudonyms: which images are of one patient, without a patient id in the database or a log.

A key is HMAC-SHA256 of the PatientID under a secret of this installation (`<home>/patient.key`, 32 random bytes,
mode 0600). A plain hash would not do: hospital numbers are short enough to be tried out one by one. The secret must be
kept with the database: under another one every patient would look new and could move from training into the holdout,
so the database holds the secret's fingerprint and refuses to open with another.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import tempfile
from pathlib import Path

from ..errors import ConfigurationError, StorageError
from ..models.files import sync
from .database import Database
from .tables import FactRow

_SECRET_BYTES = 32
_FINGERPRINT = "patient_key_fingerprint"


class PatientKeys:
    """Turns patient ids into keys.

    Args:
        secret: At least 32 random bytes.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < _SECRET_BYTES:
            raise ConfigurationError(
                f"patient.key must hold {_SECRET_BYTES} bytes, got {len(secret)}. Restore it from the backup."
            )
        self._secret = secret

    @property
    def fingerprint(self) -> str:
        """Tells two secrets apart without giving either away."""
        return self._digest("fingerprint", "")

    def key(self, patient_id: str | None, *, image_id: str) -> str:
        """The key of the patient an image is of.

        Args:
            patient_id: As the image store says; None or blank when it does not know.
            image_id: An image of an unknown patient is a patient of its own.

        Returns:
            32 hexadecimal digits.
        """
        known = (patient_id or "").strip()
        return self._digest("patient", known) if known else self._digest("image", image_id)

    def _digest(self, kind: str, value: str) -> str:
        return hmac.new(self._secret, f"{kind}\0{value}".encode(), hashlib.sha256).hexdigest()[:32]


def load_patient_keys(path: Path, *, database: Database) -> PatientKeys:
    """Read the installation's secret, or make it when the database is new.

    Raises:
        ConfigurationError: If the database was written with another secret.
        StorageError: If the secret cannot be read or written.
    """
    with database.reading() as session:
        recorded = session.get(FactRow, _FINGERPRINT)
    try:
        if recorded is None and not path.exists():
            _create(path)
        keys = PatientKeys(path.read_bytes())
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"The secret '{path.name}' must be kept with its database, got none. Restore it from the backup."
        ) from error
    except OSError as error:
        raise StorageError(f"The secret '{path.name}' must be readable, got '{error.strerror}'.") from error
    with database.writing() as session:
        recorded = session.get(FactRow, _FINGERPRINT)
        if recorded is None:
            session.add(FactRow(name=_FINGERPRINT, value=keys.fingerprint))
        elif recorded.value != keys.fingerprint:
            raise ConfigurationError(
                f"The secret '{path.name}' must be the one this database was written with, got another. "
                f"Restore it from the backup."
            )
    return keys


def _create(path: Path) -> None:
    """Write a new secret; of several processes at once one wins, and all read the winner's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")  # mode 0600
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(_SECRET_BYTES))
            stream.flush()
            os.fsync(stream.fileno())
        try:
            os.link(temporary, path)
        except FileExistsError:
            return
        sync(path.parent)
    finally:
        Path(temporary).unlink(missing_ok=True)
