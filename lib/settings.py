"""Settings: where state lives and how the server is reached, from the environment, frozen once read."""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

from .errors import ConfigurationError


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One installation's settings. Every path lies under `home`.

    Attributes:
        home: `CARINA_HOME`, else the platform's user data folder.
        host: Address the server binds to; loopback unless told otherwise.
        port: Port of the server; 0 picks a free one.
        cache_limit_gib: Size limit of the image cache; `CARINA_CACHE_LIMIT_GIB`.
        upload_limit_mib: Largest accepted upload, compressed; `CARINA_UPLOAD_LIMIT_MIB`.
        unpacked_limit_mib: Largest accepted archive, unpacked; `CARINA_UNPACKED_LIMIT_MIB`.
        pacs_timeout_s: Per request to the PACS; `CARINA_PACS_TIMEOUT_S`.
        inference_queue: Requests that may wait before the server answers 429.
        lease_minutes: How long a case stays with the one it was handed to.
        checkpoint_every_s: How often a training within an epoch is saved; `CARINA_CHECKPOINT_EVERY_S`, else a minute.
        retrain_after: Train a task by itself after so many new labels; `CARINA_RETRAIN_AFTER`, else 0, which is never.
        retrain_at: Train by itself at this hour of the day (`02:30`) if there are new labels; `CARINA_RETRAIN_AT`.
    """

    home: Path = field(default_factory=lambda: default_home())
    host: str = "127.0.0.1"
    port: int = 8000
    cache_limit_gib: float = field(default_factory=lambda: _number("CARINA_CACHE_LIMIT_GIB", 20.0))
    upload_limit_mib: int = field(default_factory=lambda: _count("CARINA_UPLOAD_LIMIT_MIB", 2048))
    unpacked_limit_mib: int = field(default_factory=lambda: _count("CARINA_UNPACKED_LIMIT_MIB", 8192))
    pacs_timeout_s: float = field(default_factory=lambda: _number("CARINA_PACS_TIMEOUT_S", 60.0))
    inference_queue: int = 32
    lease_minutes: float = 30.0
    checkpoint_every_s: float = field(default_factory=lambda: _number("CARINA_CHECKPOINT_EVERY_S", 60.0))
    retrain_after: int = field(default_factory=lambda: _count("CARINA_RETRAIN_AFTER"))
    retrain_at: str = field(default_factory=lambda: os.environ.get("CARINA_RETRAIN_AT", ""))

    @property
    def models_dir(self) -> Path:
        """`<task>/<version>/` with weights and metadata; users put public weights into `<task>/`."""
        return self.home / "models"

    @property
    def cache_dir(self) -> Path:
        """Images from the PACS; may be deleted at any time."""
        return self.home / "cache"

    @property
    def annotations_dir(self) -> Path:
        """Label files of every annotation version; never deleted by carina."""
        return self.home / "annotations"

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL; `CARINA_DATABASE_URL`, else SQLite in `home`."""
        return os.environ.get("CARINA_DATABASE_URL") or f"sqlite:///{self.home / 'carina.sqlite'}"

    @property
    def adoption_rule(self) -> str:
        """Which SEGs of the PACS may become annotations, see `annotations.adoption`; `CARINA_ADOPT`, else `ours`."""
        return os.environ.get("CARINA_ADOPT") or "ours"

    @property
    def promotion_allowed(self) -> bool:
        """Whether clients of the server may say which model is served; `CARINA_PROMOTION`, else only on loopback."""
        said = os.environ.get("CARINA_PROMOTION")
        if said in ("yes", "no"):
            return said == "yes"
        if said:
            raise ConfigurationError(
                f"CARINA_PROMOTION must be yes or no, got {said[:32]!r}. Leave it out for loopback."
            )
        return self.on_loopback

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches the server."""
        return is_loopback(self.host)

    @property
    def host_names(self) -> frozenset[str]:
        """Further names that the server is asked for by, as behind a reverse proxy; `CARINA_HOSTS`, by commas."""
        names = os.environ.get("CARINA_HOSTS", "").split(",")
        return frozenset(name.strip().lower() for name in names if name.strip())

    @property
    def tracking_dir(self) -> Path:
        """MLflow's SQLite database, and its artifacts as plain files."""
        return self.home / "mlruns"

    @property
    def jobs_dir(self) -> Path:
        """`<job>/` with request, log and events."""
        return self.home / "jobs"

    @property
    def logs_dir(self) -> Path:
        """Server logs."""
        return self.home / "logs"

    @property
    def orthanc_dir(self) -> Path:
        """Data, configuration and password of the Orthanc that carina starts itself."""
        return self.home / "orthanc"

    @property
    def sessions_dir(self) -> Path:
        """Images of MONAI Label sessions that are in no PACS."""
        return self.home / "sessions"


def is_loopback(host: str) -> bool:
    """Whether a host name or address means the machine itself."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name such as 127.evil.example
        return False


def default_home() -> Path:
    """`CARINA_HOME`, else the platform's user data folder."""
    override = os.environ.get("CARINA_HOME")
    return Path(override).expanduser() if override else Path(platformdirs.user_data_dir("carina", appauthor=False))


def _number(variable: str, default: float) -> float:
    """A number above 0 from the environment."""
    text = os.environ.get(variable) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise ConfigurationError(f"{variable} must be a number above 0, got {text[:32]!r}. Correct it or leave it out.")
    return value


def _count(variable: str, default: int = 0) -> int:
    """A whole number from 0 up from the environment."""
    text = os.environ.get(variable) or str(default)
    if not text.isascii() or not text.isdigit():
        raise ConfigurationError(
            f"{variable} must be a whole number from 0 up, got {text[:32]!r}. Correct it or leave it out."
        )
    return int(text)
