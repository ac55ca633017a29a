"""The Orthanc that carina starts: found, private, alone on its data, and gone with its parent."""

from __future__ import annotations

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests

from carina.datastores.orthanc_server import OrthancServer
from carina.errors import BusyError, MissingDependencyError, PacsError
from carina.settings import Settings

HELD_BY_A_PARENT = """
import sys, time
from pathlib import Path
from threading import Thread
from carina.datastores.orthanc_server import OrthancServer
from carina.settings import Settings

started = []
thread = Thread(target=lambda: started.append(OrthancServer.start(Settings(home=Path(sys.argv[1])))))
thread.start()
thread.join()
time.sleep(0.5)
print(started[0]._process.pid, started[0].running, flush=True)
time.sleep(600)
"""


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_says_what_to_install_where_there_is_no_orthanc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CARINA_ORTHANC", str(tmp_path / "absent"))
    with pytest.raises(MissingDependencyError, match="apt-get install orthanc orthanc-dicomweb"):
        OrthancServer.start(Settings(home=tmp_path))


def _fake_orthanc(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str) -> None:
    binary = tmp_path / "orthanc-binary"
    binary.write_text(f"#!/bin/sh\n{script}\n")
    binary.chmod(0o755)
    plugin = tmp_path / "plugin.so"
    plugin.write_bytes(b"")
    monkeypatch.setenv("CARINA_ORTHANC", str(binary))
    monkeypatch.setenv("CARINA_ORTHANC_DICOMWEB", str(plugin))


def test_shows_the_log_of_an_orthanc_that_ends_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _fake_orthanc(monkeypatch, tmp_path, "echo the database is of the future; exit 3")
    with pytest.raises(PacsError, match=r"status 3.*the database is of the future"):
        OrthancServer.start(Settings(home=tmp_path / "home"))


def test_takes_another_port_when_the_first_was_taken_meanwhile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tries = tmp_path / "tries"
    _fake_orthanc(monkeypatch, tmp_path, f"echo x >> {tries}; echo The TCP port is already in use; exit 1")
    with pytest.raises(PacsError, match="already in use"):
        OrthancServer.start(Settings(home=tmp_path / "home"))
    assert len(tries.read_text().splitlines()) == 5


@pytest.mark.integration
def test_answers_only_with_the_password(orthanc: OrthancServer) -> None:
    system = f"{orthanc.url}/system"
    assert requests.get(system, timeout=10).status_code == 401
    assert requests.get(system, auth=(orthanc.user, "wrong"), timeout=10).status_code == 401
    assert requests.get(system, auth=(orthanc.user, orthanc.password), timeout=10).status_code == 200
    dicomweb = requests.get(f"{orthanc.dicomweb_url}/studies", auth=(orthanc.user, orthanc.password), timeout=10)
    assert dicomweb.status_code == 200


@pytest.mark.integration
def test_refuses_other_machines_even_with_the_password(orthanc: OrthancServer) -> None:
    addresses = [
        address.address
        for interface in psutil.net_if_addrs().values()
        for address in interface
        if address.family == socket.AF_INET and not address.address.startswith("127.")
    ]
    if not addresses:
        pytest.skip("this machine has only a loopback address")
    port = orthanc.url.rpartition(":")[2]
    url = f"http://{addresses[0]}:{port}/system"
    assert not requests.get(url, auth=(orthanc.user, orthanc.password), timeout=10).ok


@pytest.mark.integration
def test_keeps_password_and_data_and_lets_nobody_else_read_them(orthanc_installed: None, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with OrthancServer.start(settings) as first:
        password, folder = first.password, settings.orthanc_dir
        assert _mode(folder / "password") == 0o600
        assert _mode(folder / "orthanc.json") == 0o600
        assert password not in first.log_path.read_text()
    assert not first.running
    with OrthancServer.start(settings) as second:
        assert second.password == password


@pytest.mark.integration
def test_refuses_a_second_start_on_the_same_data(orthanc_installed: None, tmp_path: Path) -> None:
    with OrthancServer.start(Settings(home=tmp_path)) as first:
        with pytest.raises(BusyError, match="One Orthanc at a time"):
            OrthancServer.start(Settings(home=tmp_path))
        assert first.running
    first.stop()


@pytest.mark.integration
def test_fails_on_a_wanted_port_that_is_taken(orthanc_installed: None, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("0.0.0.0", 0))
        taken.listen()
        with pytest.raises(PacsError, match="must start"):
            OrthancServer.start(Settings(home=tmp_path), port=taken.getsockname()[1])
    with OrthancServer.start(Settings(home=tmp_path)) as server:
        assert server.running


@pytest.mark.integration
def test_keeps_its_port_from_start_to_start_unless_it_is_taken(orthanc_installed: None, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    with OrthancServer.start(settings) as first:
        url = first.url
    with OrthancServer.start(settings) as second:
        assert second.url == url
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("0.0.0.0", int(url.rpartition(":")[2])))
        taken.listen()
        with OrthancServer.start(settings) as third:
            assert third.running
            assert third.url != url


@pytest.mark.integration
def test_outlives_the_thread_that_started_it_but_not_the_process(orthanc_installed: None, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", HELD_BY_A_PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    pid, running = parent.stdout.readline().split()
    assert running == "True"
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    for _ in range(300):
        if not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE:
            break
        time.sleep(0.1)
    else:
        pytest.fail("Orthanc outlived the process that started it")
    with OrthancServer.start(Settings(home=tmp_path)) as server:
        assert server.running
