"""Brings a database to the layout this version of carina works with, and refuses one of a newer version.

Safe when several processes start at once: SQLite's write lock or PostgreSQL's advisory lock lets one of them work and
the others find it done. All outstanding revisions run in one transaction, so a crash leaves the layout as it was.
"""

from __future__ import annotations

import threading
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from ..errors import ConfigurationError

_SCRIPTS = Path(__file__).parent / "migrations"
_ADVISORY_LOCK = int.from_bytes(b"carina", "big")
_ONE_AT_A_TIME = threading.Lock()  # Alembic's `op` and `context` are global to a process


@cache
def revisions() -> tuple[str, ...]:
    """Every revision this code knows, oldest first: the numbers in the file names of `migrations/versions`."""
    names = sorted(path.name for path in (_SCRIPTS / "versions").glob("r[0-9]*_*.py"))
    return tuple(name[1:].partition("_")[0] for name in names)


def bring_up_to_date(engine: Engine) -> None:
    """Run the revisions a database lacks; a look at its number when there are none.

    Args:
        engine: Whose transactions take SQLite's write lock at once.

    Raises:
        ConfigurationError: If the database was written by a newer carina.
    """
    newest = revisions()[-1]
    with engine.connect() as connection:
        if _checked_revision(connection) == newest:
            return
    with _ONE_AT_A_TIME, engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _ADVISORY_LOCK})
        if _checked_revision(connection) != newest:
            upgrade(connection, newest)


def upgrade(connection: Connection, revision: str) -> None:
    """Run the outstanding revisions up to one, in the connection's transaction."""
    from alembic import command  # a tenth of a second that a database of today's layout need not spend
    from alembic.config import Config

    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", str(_SCRIPTS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    command.upgrade(config, revision)


def _checked_revision(connection: Connection) -> str | None:
    """The database's revision; None for a new one and for one from before revisions were counted."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    if revision is not None and revision not in revisions():
        raise ConfigurationError(
            f"The database must not be newer than carina, got layout {revision[:32]} where this version knows "
            f"{revisions()[-1]} at most. Install the newer carina again, or restore the backup of before."
        )
    return revision
