"""The server as a child process: it starts, says where it is, and stops cleanly."""

from __future__ import annotations

import socket
import stat
import subprocess
import sys
import time

import httpx
import psutil
import pytest

from carina.errors import CarinaError, ConfigurationError
from carina.server.logs import log_path
from carina.server.run import read_state, serve, state_path
from carina.server.running import RunningServer
from carina.settings import Settings

WAIT_S = 200.0


@pytest.mark.slow
def test_a_child_answers_on_loopback_prints_nothing_and_leaves_no_process(tmp_path, images):
    settings = Settings(home=tmp_path / "home", port=0)
    with RunningServer(settings, store_url=str(images)) as server:
        assert server.url.startswith("http://127.0.0.1:")
        assert httpx.get(f"{server.url}/info/", trust_env=False).json()["datastore"]["total"] == 2
        assert stat.S_IMODE(state_path(settings).stat().st_mode) == 0o600
        assert read_state(settings).pid == server.pid
        family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
        assert len(family) >= 2
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []
    assert not state_path(settings).exists()
    assert "Traceback" not in server.log_tail()


def test_a_taken_port_is_said_so(tmp_path, images):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = Settings(home=tmp_path / "home", port=taken.getsockname()[1])
        with pytest.raises(CarinaError, match=r"Port \d+ of 127\.0\.0\.1 must be free"):
            RunningServer(settings, store_url=str(images)).start()


def test_an_address_of_another_machine_is_said_so(tmp_path, images):
    settings = Settings(home=tmp_path / "home", host="192.0.2.1", port=0)
    with pytest.raises(ConfigurationError, match=r"must be one of this machine's, got '192\.0\.2\.1'"):
        serve(settings, str(images))


@pytest.mark.slow
def test_a_pacs_that_does_not_answer_is_said_at_the_start(tmp_path):
    settings = Settings(home=tmp_path / "home", port=0)
    with RunningServer(settings, store_url="orthanc+http://127.0.0.1:9") as server:
        end = time.monotonic() + WAIT_S
        while "No images for now" not in log_path(settings).read_text():
            assert time.monotonic() < end
            time.sleep(0.05)
        assert httpx.get(f"{server.url}/health", trust_env=False).status_code == 200
    assert "cannot be reached" in log_path(settings).read_text()


def test_a_server_that_was_not_started_has_no_address(tmp_path):
    with pytest.raises(CarinaError, match="started"):
        _ = RunningServer(Settings(home=tmp_path)).url


@pytest.mark.integration
@pytest.mark.slow
def test_the_orthanc_it_started_is_stopped_with_it(tmp_path, orthanc_installed):
    server = RunningServer(Settings(home=tmp_path / "home", port=0)).start()
    family = [psutil.Process(server.pid), *psutil.Process(server.pid).children(recursive=True)]
    assert any("Orthanc" in process.name() for process in family)
    assert server.stop() == 0
    _, alive = psutil.wait_procs(family, timeout=20)
    assert alive == []


@pytest.mark.slow
@pytest.mark.integration
def test_a_second_server_that_is_refused_does_not_take_the_addresses_of_the_first(tmp_path, orthanc_installed):
    settings = Settings(home=tmp_path / "home", port=0)
    with RunningServer(settings) as server:
        refused = subprocess.run(
            [sys.executable, "-m", "carina.server.run", "--home", settings.home, "--port", "0"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert "One Orthanc at a time" in refused.stderr
        assert read_state(settings).pid == server.pid


@pytest.mark.slow
@pytest.mark.integration
def test_the_orthanc_it_started_is_started_again_when_it_ended_by_itself(tmp_path, orthanc_installed):
    settings = Settings(home=tmp_path / "home", port=0)
    with RunningServer(settings) as server:
        before = orthanc_of(server)
        before.kill()
        before.wait()
        end = time.monotonic() + WAIT_S
        while not httpx.get(f"{server.url}/carina/store", trust_env=False, timeout=WAIT_S).json()["reachable"]:
            assert time.monotonic() < end
            time.sleep(0.1)
        after = orthanc_of(server)
        assert after.pid != before.pid
    assert not after.is_running()
    assert "Orthanc had ended with status -9" in log_path(settings).read_text()


def orthanc_of(server: RunningServer) -> psutil.Process:
    (found,) = [child for child in psutil.Process(server.pid).children(recursive=True) if "Orthanc" in child.name()]
    return found
