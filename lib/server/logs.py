"""Where the server's log goes: a file and standard error, never standard output."""

from __future__ import annotations

import logging
import sys
from logging.handlers import RotatingFileHandler, WatchedFileHandler
from pathlib import Path

from ..settings import Settings

_FORMAT = "%(asctime)s %(process)d %(levelname)s %(name)s: %(message)s"
_LARGEST_BYTES = 20 << 20
_KEPT = 5
"""Older files beside the one that is written, as `app.log.1`…"""
_NOISY = ("alembic", "httpx", "httpcore", "urllib3", "pydicom", "highdicom", "matplotlib", "uvicorn")
"""Libraries of which only warnings are of interest; what is served and since when, carina says itself."""


def log_path(settings: Settings) -> Path:
    """The server's log file."""
    return settings.logs_dir / "app.log"


def configure_logging(settings: Settings, *, rotates: bool = False, level: int = logging.INFO) -> None:
    """Send all logging of this process to the log file and to standard error.

    Several processes append to one file; each record is one short write. One of them puts a large file aside and begins
    a new one, and the others notice. Called again, it replaces the handlers.

    Args:
        settings: Where the file is.
        rotates: Whether this process puts large files aside; one of a server's only.
        level: Least level of what is written.
    """
    settings.logs_dir.mkdir(parents=True, exist_ok=True)
    path = log_path(settings)
    handlers: list[logging.Handler] = [
        RotatingFileHandler(path, maxBytes=_LARGEST_BYTES, backupCount=_KEPT, encoding="utf-8", delay=True)
        if rotates
        else WatchedFileHandler(path, encoding="utf-8", delay=True)
    ]
    if sys.stderr is not None:
        handlers.append(logging.StreamHandler(sys.stderr))
    logging.basicConfig(level=level, format=_FORMAT, handlers=handlers, force=True)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)  # each try; what came of all of them, we say
