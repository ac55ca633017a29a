"""A real PostgreSQL for tests, shared by a session; and its skip where there is none. A pytest plugin."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

_USER = "postgres"


@dataclass(frozen=True)
class Postgres:
    """A running cluster that listens on a Unix socket only."""

    socket_dir: Path

    def url(self, database: str = "postgres") -> str:
        return f"postgresql+psycopg://{_USER}@/{database}?host={self.socket_dir}"

    def new_database(self) -> str:
        """The URL of an empty database of its own."""
        name = f"carina_{uuid.uuid4().hex}"
        engine = create_engine(self.url(), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        return self.url(name)


def find_binaries() -> Path | None:
    """Debian's folder of the newest PostgreSQL's programs."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(found, key=lambda path: int(path.parent.name), default=None)


@contextmanager
def running_postgres() -> Iterator[Postgres]:
    """Make a cluster in a temporary folder, start it, and leave nothing behind.

    PostgreSQL refuses to run as root, so root runs it as the user `postgres`.
    """
    binaries = find_binaries()
    assert binaries is not None
    # Not pytest's folder: the user postgres may not enter it, and a socket's path must be short.
    folder = Path(tempfile.mkdtemp(prefix="carina-pg-"))
    as_user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(folder, _USER, _USER)
        as_user = ["setpriv", f"--reuid={_USER}", f"--regid={_USER}", "--init-groups", "--"]
    data = folder / "data"

    def run(*command: str | Path) -> None:
        done = subprocess.run([*as_user, *command], cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    options = f"-k {folder} -c listen_addresses='' -c shared_buffers=32MB -c max_connections=100"
    try:
        run(binaries / "initdb", "--auth=trust", "--no-sync", f"--username={_USER}", "--pgdata", data)
        run(binaries / "pg_ctl", "-D", data, "-w", "-s", "-l", folder / "log", "-o", options, "start")
        try:
            yield Postgres(folder)
        finally:
            run(binaries / "pg_ctl", "-D", data, "-w", "-s", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """One PostgreSQL for the whole session; every test makes its own database."""
    if find_binaries() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with running_postgres() as cluster:
        yield cluster


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database: the test runs once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'db' / 'carina.sqlite'}"
    cluster: Postgres = request.getfixturevalue("postgres")
    return cluster.new_database()
