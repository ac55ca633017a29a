"""One database, safe by default."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from carina.annotations.database import Database, locked_row, utc_now
from carina.annotations.tables import FactRow, ImageInfoRow
from carina.errors import ConfigurationError, StorageError


@pytest.fixture
def database(tmp_path: Path):
    opened = Database(f"sqlite:///{tmp_path / 'db' / 'carina.sqlite'}")
    opened.create_tables()
    yield opened
    opened.close()


def test_sqlite_keeps_a_write_ahead_log_and_waits_for_its_turn(database, tmp_path):
    with database.reading() as session:
        settings = {
            name: session.connection().exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        }
    assert settings == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 30_000, "foreign_keys": 1}


def test_sqlite_s_log_stays_between_transactions_and_is_folded_in_at_the_end(database, tmp_path):
    log = tmp_path / "db" / "carina.sqlite-wal"
    for name in ("first", "second"):
        with database.writing() as session:
            session.add(FactRow(name=name, value=""))
        assert log.is_file()
    database.close()
    assert not log.exists()


def test_readers_that_then_write_do_not_fail_each_other(database):
    with database.writing() as session:
        session.add(FactRow(name="0", value=""))

    def add(number: int) -> None:
        with database.writing() as session:
            last = max(int(row.name) for row in session.query(FactRow))
            session.add(FactRow(name=str(last + 1), value=str(number)))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, range(40)))
    with database.reading() as session:
        assert session.query(FactRow).count() == 41


def test_an_error_in_a_block_undoes_all_of_it(database):
    def write_half() -> None:
        with database.writing() as session:
            session.add(FactRow(name="half", value=""))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    with database.reading() as session:
        assert session.get(FactRow, "half") is None


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "nonsense", "nodialect://host/db"])
def test_refuses_a_url_that_cannot_keep_anything(url):
    with pytest.raises(ConfigurationError):
        Database(url)


def test_a_folder_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError):
        Database(f"sqlite:///{tmp_path / 'file' / 'carina.sqlite'}")


def test_a_damaged_database_is_a_storage_error(tmp_path):
    path = tmp_path / "carina.sqlite"
    path.write_bytes(b"no database" * 100)
    database = Database(f"sqlite:///{path}")
    with pytest.raises(StorageError):
        database.create_tables()
    database.close()


def test_a_commit_waits_for_the_disk_unless_told_that_it_need_not(database_url):
    opened = Database(database_url)
    setting = "PRAGMA synchronous" if database_url.startswith("sqlite") else "SHOW synchronous_commit"
    seen = []
    for durable in (True, False, True):
        with opened.writing(durable=durable) as session:
            seen.append(str(session.connection().exec_driver_sql(setting).scalar()))
    opened.close()
    assert seen in (["2", "1", "2"], ["on", "off", "on"])


def test_every_one_of_many_threads_has_its_turn_to_write(database):
    def add(number: int) -> None:
        for part in range(8):
            with database.writing() as session:
                session.add(FactRow(name=f"{number}-{part}", value=""))

    with ThreadPoolExecutor(32) as pool:
        list(pool.map(add, range(32)))
    with database.reading() as session:
        assert session.query(FactRow).count() == 256


def test_a_row_that_two_add_at_once_is_one_row(database_url):
    opened = Database(database_url)
    opened.create_tables()

    def add(number: int) -> bool:
        with opened.writing() as session:
            row, added = locked_row(
                session, ImageInfoRow, "a", lambda: ImageInfoRow(subject="a", info={}, updated=utc_now())
            )
            row.info = {**row.info, str(number): 1}
            return added

    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(add, range(24)))
    with opened.reading() as session:
        assert len(session.get(ImageInfoRow, "a").info) == 24
    assert made.count(True) == 1
    opened.close()


def test_what_is_read_in_one_session_is_of_one_moment(database_url):
    database = Database(database_url)
    database.create_tables()
    with database.reading() as session:
        before = session.query(FactRow).count()
        with database.writing() as other:
            other.add(FactRow(name="meanwhile", value=""))
        assert session.query(FactRow).count() == before
    with database.reading() as session:
        assert session.query(FactRow).count() == before + 1
    database.close()
