"""The server as a child process: it starts, says where it is, and stops cleanly."""

from __future__ import annotations

import socket
import stat

import httpx
import psutil
import pytest

from carina.errors import CarinaError
from carina.server.run import read_state, state_path
from carina.server.running import RunningServer
from carina.settings import Settings


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
