from __future__ import annotations

import subprocess
import sys

from carina.server.logs import log_path
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
