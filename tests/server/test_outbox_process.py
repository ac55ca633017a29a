"""The outbox's own process against a folder store: it delivers, comes back when killed, and ends with the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import psutil

from carina.annotations.submit import submit_label
from carina.datastores.port import read_image
from carina.geometry import Volume
from carina.registry import find_tasks
from carina.server.outbox_process import OutboxProcess

WAIT_S = 200.0


def submit(store, annotations) -> str:
    (record,) = store.list_images()
    image, _ = read_image(store, record.image_id)
    label = np.zeros(image.grid.shape, np.uint8)
    label[2:4, 2:5, 1:3] = 1
    spec = find_tasks().get("thorax_ct")
    return submit_label(
        annotations,
        image_id=record.image_id,
        image=image.grid,
        label=Volume(label, image.grid),
        client_names={"lung_left": 1},
        spec=spec,
    ).id


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_killed_process_is_started_again_and_delivers_what_was_submitted_meanwhile(
    settings, tmp_path, store, annotations
):
    outbox = OutboxProcess(settings, annotations, store_url=str(tmp_path / "pacs"))
    first = submit(store, annotations)
    outbox.start()
    until(lambda: outbox.status()["pending"] == 0)
    killed = outbox.pid
    os.kill(killed, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(killed))
    second = submit(store, annotations)
    outbox.wake()
    until(lambda: outbox.status()["pending"] == 0)
    child = outbox.pid
    outbox.stop(timeout_s=WAIT_S)
    assert child != killed
    assert not psutil.pid_exists(child)
    for annotation in (first, second):
        assert store.has_instance(annotations.deliveries.get(annotation).sop_instance_uid)


def test_a_signal_to_all_of_a_service_s_processes_is_left_to_the_server(settings, tmp_path, store, annotations):
    outbox = OutboxProcess(settings, annotations, store_url=str(tmp_path / "pacs"))
    submit(store, annotations)
    outbox.start()
    until(lambda: outbox.pid is not None)
    child = outbox.pid
    os.kill(child, signal.SIGINT)  # while it still imports what it needs
    until(lambda: outbox.status()["pending"] == 0)
    for number in (signal.SIGTERM, signal.SIGINT):
        os.kill(child, number)
    submit(store, annotations)
    outbox.wake()
    until(lambda: outbox.status()["pending"] == 0)
    assert outbox.pid == child
    outbox.stop(timeout_s=WAIT_S)
    assert not psutil.pid_exists(child)


def test_it_ends_with_a_server_that_was_killed(settings, tmp_path, store, annotations):
    server = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys, time\n"
            "from pathlib import Path\n"
            "from carina.annotations.store import open_annotations\n"
            "from carina.server.outbox_process import OutboxProcess\n"
            "from carina.settings import Settings\n"
            "settings = Settings(home=Path(sys.argv[1]))\n"
            "outbox = OutboxProcess(settings, open_annotations(settings), store_url=sys.argv[2])\n"
            "outbox.start()\n"
            "time.sleep(600)\n",
            str(settings.home),
            str(tmp_path / "pacs"),
        ]
    )
    submit(store, annotations)
    until(lambda: annotations.deliveries.counts()["pending"] == 0)
    children = psutil.Process(server.pid).children()
    server.kill()
    server.wait()
    assert children
    psutil.wait_procs(children, timeout=WAIT_S)
    assert not any(child.is_running() for child in children)
