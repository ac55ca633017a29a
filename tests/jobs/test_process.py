"""A process is told apart from a later one with its number."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest

from carina.jobs.process import mark_of


@pytest.fixture
def sleeper():
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True) as process:
        yield process
        process.kill()


def test_knows_a_living_process_and_a_dead_one_that_nobody_reaped(sleeper, until):
    mark = mark_of(sleeper.pid)
    assert mark.alive
    sleeper.kill()
    until(lambda: not mark.alive)
    assert sleeper.wait() < 0


def test_does_not_take_a_later_process_for_an_earlier_one(sleeper):
    earlier = replace(mark_of(sleeper.pid), started=mark_of(sleeper.pid).started - 3600)
    assert not earlier.alive

    earlier.ask_to_end()
    earlier.kill_session()

    assert mark_of(sleeper.pid).alive


def test_asks_and_kills(sleeper, until):
    mark = mark_of(sleeper.pid)
    mark.ask_to_end()
    until(lambda: not mark.alive)
    mark.kill_session()  # once more does no harm
