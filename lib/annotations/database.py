"""The one database of an installation: engine, transactions and the base of every table.

SQLite by default, in WAL mode with `synchronous=FULL`, so a committed row survives a power cut; any other SQLAlchemy
URL works too. Engine and sessions may be used from any thread. SQLite has one writer at a time: the threads of a
process queue for their turn, and processes wait up to `BUSY_TIMEOUT_S` for each other.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import DateTime, Engine, Select, create_engine, event
from sqlalchemy.engine import Connection, Dialect, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Session
from sqlalchemy.pool import NullPool
from sqlalchemy.types import TypeDecorator

from ..errors import CarinaError, ConfigurationError, StorageError
from .layout import bring_up_to_date

BUSY_TIMEOUT_S = 30.0
_SNAPSHOT = "REPEATABLE READ"


class Base(DeclarativeBase):
    """Base of every table carina keeps."""


Row = TypeVar("Row", bound=Base)


class UtcDateTime(TypeDecorator[datetime]):
    """A point in time: aware UTC in Python, naive UTC in the database."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Store as naive UTC."""
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Load as aware UTC."""
        return None if value is None else value.replace(tzinfo=UTC)


class Database:
    """Opens short transactions on one SQLAlchemy URL.

    Args:
        url: Any SQLAlchemy URL of a database that outlives the process.

    Raises:
        ConfigurationError: If the URL names SQLite in memory, or no installed driver fits.
        StorageError: If SQLite's folder cannot be made.
    """

    def __init__(self, url: str) -> None:
        self._engine = _engine(url)
        # SQLite's own waiting polls, and of many threads one may lose every time; with a lock each has its turn.
        self._is_sqlite = self._engine.dialect.name == "sqlite"
        # SQLite's transactions are snapshots anyway; elsewhere each statement by itself would be one.
        self._reader = self._engine if self._is_sqlite else self._engine.execution_options(isolation_level=_SNAPSHOT)
        self._turn: AbstractContextManager[Any] = threading.Lock() if self._is_sqlite else nullcontext()
        self._kept: Connection | None = None
        self._keeping = threading.Lock()

    def create_tables(self) -> None:
        """Bring the tables to today's layout, see `layout`; safe to call from several processes at once.

        Raises:
            ConfigurationError: If the database was written by a newer carina.
            StorageError: If the database cannot be written.
        """
        with _translated("be brought to today's layout"):
            bring_up_to_date(self._writer(durable=True))

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session on one consistent snapshot; nothing is written."""
        with _translated("be read"), self._kept_open(), Session(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[Session]:
        """A session committed at the end of the block, or rolled back when it raises. Not to be nested.

        On SQLite the write lock is taken at the start, so what is read inside cannot change before the commit.

        Args:
            durable: Whether the commit waits for the disk. Without, a power cut may undo the last commits, in their
                order and whole, while the end of the process undoes none; for what nobody would miss, such as leases.

        Raises:
            StorageError: If the database cannot be written, with the block's changes undone.
        """
        engine = self._writer(durable=durable)
        with self._turn, _translated("be written"), self._kept_open():  # noqa: SIM117  two sorts of things
            with Session(engine, expire_on_commit=False) as session, session.begin():
                yield session

    def _writer(self, *, durable: bool) -> Engine:
        return self._engine.execution_options(carina_writes=True, carina_durable=durable)

    @contextmanager
    def _kept_open(self) -> Iterator[None]:
        """Keep one idle connection to SQLite: the last one to close brings the whole log to the disk, every time."""
        if self._is_sqlite and self._kept is None:
            with self._keeping:
                self._kept = self._kept or self._engine.connect()
        yield

    def close(self) -> None:
        """Give the connections back."""
        with self._keeping:
            kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()
        self._engine.dispose()


def locked_row(session: Session, table: type[Row], key: Any, new: Callable[[], Row]) -> tuple[Row, bool]:
    """The row of a key, locked until the transaction ends; added when it is not there.

    When another writer adds or removes the row at the same moment, this waits for it and takes what it left.

    Args:
        session: Of `Database.writing`.
        table: Whose row.
        key: Primary key.
        new: Makes the row to add.

    Returns:
        The row, and whether it was added.
    """
    while True:
        found = session.get(table, key, with_for_update=True, populate_existing=True)
        if found is not None:
            return found, False
        try:
            with session.begin_nested():
                added = new()
                session.add(added)
            return added, True
        except IntegrityError:  # added by another transaction meanwhile, and committed
            continue


def locked_rows(
    session: Session,
    query: Select[Any],
    key: Callable[[Row], str],
    new: Callable[[str], Row],
    wanted: Iterable[str],
) -> dict[str, Row]:
    """As `locked_row`, of several rows, with as many statements as of one.

    Args:
        session: Of `Database.writing`.
        query: Finds those that are there, always in the same order, so that two writers never wait for each other.
        key: What `wanted` names a row by.
        new: Makes the row to add for a name.
        wanted: Names, each once.

    Returns:
        Name → row.
    """
    names = list(wanted)
    while True:
        rows = session.scalars(query.with_for_update(), execution_options={"populate_existing": True})
        found = {key(row): row for row in rows}
        added = {name: new(name) for name in names if name not in found}
        try:
            with session.begin_nested():
                session.add_all(added.values())
            return found | added
        except IntegrityError:  # one was added by another transaction meanwhile, and committed
            continue


def utc_now() -> datetime:
    """The present, aware and in UTC."""
    return datetime.now(UTC)


def _engine(url: str) -> Engine:
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() != "sqlite":
            engine = create_engine(parsed, pool_pre_ping=True, pool_size=8, max_overflow=56)
            if parsed.get_backend_name() == "postgresql":
                event.listen(engine, "begin", _begin_postgresql)
            return engine
    except (ArgumentError, ImportError) as error:
        raise ConfigurationError("CARINA_DATABASE_URL must be an SQLAlchemy URL whose driver is installed.") from error
    if not parsed.database or parsed.database == ":memory:" or "mode=memory" in parsed.database:
        raise ConfigurationError(
            "A database must live on disk, got SQLite in memory. Set CARINA_DATABASE_URL to a file."
        )
    try:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The database folder must be writable, got {error.strerror}. Check CARINA_HOME.") from error
    # A connection per transaction: opening SQLite costs well under a millisecond, and none is shared between threads.
    engine = create_engine(
        parsed, poolclass=NullPool, connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False}
    )
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not guessed from the statement
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}")
    cursor.execute("PRAGMA journal_mode = WAL")
    cursor.execute("PRAGMA synchronous = FULL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A deferred transaction that reads and then writes fails at once when another writer came between;
    # IMMEDIATE waits for its turn instead.
    options = connection.get_execution_options()
    if not options.get("carina_durable", True):
        connection.exec_driver_sql("PRAGMA synchronous = NORMAL")  # of this connection, which ends with the transaction
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("carina_writes") else "BEGIN")


def _begin_postgresql(connection: Connection) -> None:
    if not connection.get_execution_options().get("carina_durable", True):
        connection.exec_driver_sql("SET LOCAL synchronous_commit TO OFF")


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except (CarinaError, IntegrityError):
        raise
    except DBAPIError as error:
        raise StorageError(
            f"The database must {what}, got {type(error.orig).__name__}. "
            f"Check its disk space, permissions and that it is running."
        ) from error
