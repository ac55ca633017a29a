"""A database of any age comes to today's layout, and keeps every row."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.exc import DBAPIError

import carina.jobs.store
from carina.annotations.database import Base, Database
from carina.annotations.layout import revisions
from carina.errors import ConfigurationError

BEFORE_REVISIONS = Path(__file__).with_name("layout_before_revisions.sql")
MIGRATIONS = Path(carina.__file__).parent / "annotations" / "migrations"


def opened(url: str) -> Database:
    database = Database(url)
    database.create_tables()
    return database


def rows(path: Path, query: str) -> list[tuple]:
    with sqlite3.connect(path) as connection:
        return connection.execute(query).fetchall()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A database as carina made it before layouts had numbers: labels, notes, a split, a delivery, a job."""
    path = tmp_path / "carina.sqlite"
    with sqlite3.connect(path) as connection:
        connection.executescript(BEFORE_REVISIONS.read_text())
    return path


def test_a_new_database_has_exactly_the_tables_that_the_code_declares(database_url):
    opened(database_url).close()
    engine = create_engine(database_url)
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    engine.dispose()
    assert differences == []


def test_an_old_database_comes_to_today_s_layout_too(old):
    opened(f"sqlite:///{old}").close()
    engine = create_engine(f"sqlite:///{old}")
    with engine.connect() as connection:
        differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    engine.dispose()
    assert differences == []


def test_an_old_database_keeps_every_row(old):
    tables = ("annotations", "withdrawals", "deliveries", "image_info", "label_info", "splits", "facts", "jobs")
    columns = {table: ", ".join(row[1] for row in rows(old, f"PRAGMA table_info({table})")) for table in tables}
    before = {table: rows(old, f"SELECT {columns[table]} FROM {table}") for table in tables}
    assert all(before.values())

    opened(f"sqlite:///{old}").close()

    assert {table: rows(old, f"SELECT {columns[table]} FROM {table}") for table in tables} == before


def test_labels_of_an_old_database_give_their_cases_a_state(old):
    opened(f"sqlite:///{old}").close()
    found = rows(old, "SELECT image_id, task, state, author FROM case_states ORDER BY image_id")
    assert found == [
        ("1.2.1", "thorax_ct", "submitted", "anna"),
        ("1.2.2", "thorax_ct", "draft", None),
        ("1.2.3", "", "submitted", "bert"),
    ]


def test_an_old_database_with_only_some_of_the_tables_gets_the_others(tmp_path):
    path = tmp_path / "carina.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE facts (name VARCHAR(64) NOT NULL PRIMARY KEY, value TEXT NOT NULL)")
        connection.execute("INSERT INTO facts VALUES ('kept', 'yes')")
    opened(f"sqlite:///{path}").close()
    assert rows(path, "SELECT * FROM facts") == [("kept", "yes")]
    assert rows(path, "SELECT count(*) FROM annotations") == [(0,)]


def test_a_database_of_a_newer_carina_is_refused_and_left_alone(database_url):
    database = opened(database_url)
    with database.writing() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigurationError, match="9999"):
        database.create_tables()
    database.close()


def test_several_threads_and_processes_may_make_one_database_at_once(database_url):
    program = "import sys; from carina.annotations.database import Database; Database(sys.argv[1]).create_tables()"
    others = [subprocess.Popen([sys.executable, "-c", program, database_url]) for _ in range(3)]
    with ThreadPoolExecutor(4) as pool:
        for database in pool.map(opened, [database_url] * 4):
            database.close()
    assert [other.wait(120) for other in others] == [0, 0, 0]


@pytest.mark.parametrize("table", ["annotations", "withdrawals", "splits", "facts", "audit"])
@pytest.mark.parametrize("statement", ["UPDATE {0} SET {1} = {1}", "DELETE FROM {0}"])
def test_what_was_written_cannot_be_changed_with_plain_sql(filled, table, statement):
    column = inspect(filled).get_columns(table)[0]["name"]
    with pytest.raises(DBAPIError, match=f"{table} is append-only"), filled.begin() as connection:
        connection.execute(text(statement.format(table, column)))


@pytest.fixture
def filled(database_url):
    """An engine on a database with a row in every append-only table."""
    opened(database_url).close()
    engine = create_engine(database_url)
    now = "'2026-01-01 00:00:00'"
    with engine.begin() as connection:
        for statement in (
            f"INSERT INTO annotations (id, image_id, tag, origin, created, sha256, file_name, names, grid, patient_key)"
            f" VALUES ('a', '1.2.3', 'final', 'manual', {now}, '', '', '{{}}', '{{}}', 'p')",
            f"INSERT INTO withdrawals (annotation_id, reason, created) VALUES ('a', '', {now})",
            "INSERT INTO splits VALUES ('thorax_ct', 'p', 'train')",
            "INSERT INTO facts VALUES ('name', 'value')",
            f"INSERT INTO audit (created, action, image_id, details) VALUES ({now}, 'submit', '1.2.3', '{{}}')",
        ):
            connection.execute(text(statement))
    yield engine
    engine.dispose()


def test_the_revisions_form_one_line_in_the_order_of_their_file_names():
    script = ScriptDirectory(str(MIGRATIONS))
    walked = [revision.revision for revision in script.walk_revisions()]
    assert tuple(reversed(walked)) == revisions()


def test_opening_a_database_of_today_s_layout_does_not_load_alembic(tmp_path):
    url = f"sqlite:///{tmp_path / 'carina.sqlite'}"
    opened(url).close()
    program = (
        "import sys\n"
        "from carina.annotations.database import Database\n"
        "Database(sys.argv[1]).create_tables()\n"
        "assert 'alembic' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program, url], check=True, timeout=120)
