from __future__ import annotations

import logging
import subprocess
import sys

from carina.server.logs import configure_logging, log_path
from carina.settings import Settings

_START = """
import logging
from carina.annotations.store import open_annotations
from carina.server.logs import configure_logging
from carina.settings import Settings

settings = Settings()
configure_logging(settings)
open_annotations(settings).close()
logging.getLogger("uvicorn.error").info("Application startup complete.")
logging.getLogger("carina.server.run").info("serving")
"""


def test_a_new_database_and_what_the_web_server_says_of_itself_are_no_news(carina_home):
    ran = subprocess.run([sys.executable, "-c", _START], capture_output=True, text=True, check=True)

    assert [line.rpartition("INFO ")[2] for line in ran.stderr.splitlines()] == ["carina.server.run: serving"]
    assert log_path(Settings()).read_text(encoding="utf-8") == ran.stderr


def test_a_large_file_is_put_aside_by_one_process_and_the_others_follow(tmp_path, monkeypatch):
    monkeypatch.setattr("carina.server.logs._LARGEST_BYTES", 2000)
    settings = Settings(home=tmp_path)
    root, level = logging.getLogger(), logging.getLogger().level
    before = root.handlers[:]
    try:
        configure_logging(settings)
        follower = root.handlers[0]
        configure_logging(settings, rotates=True)
        for number in range(60):
            record = logging.LogRecord("carina", logging.INFO, "", 0, f"{number} {'x' * 80}", None, None)
            (follower if number % 2 else root.handlers[0]).handle(record)
    finally:
        follower.close()
        logging.basicConfig(handlers=before, level=level, force=True)
    files = sorted(settings.logs_dir.iterdir())
    assert [file.name for file in files] == ["app.log", *(f"app.log.{number}" for number in range(1, 4))]
    assert all(file.stat().st_size < 2300 for file in files)
    said = [int(line.rpartition("carina: ")[2].split()[0]) for file in files for line in file.read_text().splitlines()]
    assert sorted(said) == list(range(60))
