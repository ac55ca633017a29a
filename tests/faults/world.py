"""A real Orthanc, a proxy that can fail, and a real server in a child process; each can be killed and brought back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import pydicom
import requests
from scipy.spatial.transform import Rotation

from carina.datastores.orthanc_server import OrthancServer
from carina.datastores.port import open_store
from carina.geometry import Grid, Volume
from carina.phantoms.dicom import write_series
from carina.server.outbox_process import OutboxProcess
from carina.server.running import RunningServer
from carina.settings import Settings

from ..datastores.proxy import Proxy, running_proxy

SHAPE = (32, 30, 8)
PACS_TIMEOUT_S = 1.5
HOME_MIB = 96
_BALLAST = "ballast"
_OUTBOX = OutboxProcess.__module__


@dataclass(frozen=True, eq=False)
class Image:
    """A series in the PACS: its id, its grid, and its SOP Instance UIDs in the order of the slices."""

    image_id: str
    grid: Grid
    slice_uids: tuple[str, ...]


class World:
    """Everything one campaign acts on.

    Attributes:
        proxy: Between the server and Orthanc.
        images: What can be labelled.
        disk_is_small: Whether the server's home is a file system of its own that can be filled.
    """

    def __init__(self, folder: Path, proxy: Proxy, *, disk_is_small: bool) -> None:
        self.proxy = proxy
        self.disk_is_small = disk_is_small
        self.images: list[Image] = []
        self._home = folder / "home"
        self._settings = Settings(home=self._home, port=0, pacs_timeout_s=PACS_TIMEOUT_S)
        self._pacs_settings = Settings(home=folder / "pacs")
        self._orthanc: OrthancServer | None = None
        self._server: RunningServer | None = None
        self._server_alive = False
        self._children: list[psutil.Process] = []

    @property
    def url(self) -> str:
        """Of the server; the last one if it is dead."""
        assert self._server is not None
        return self._server.url

    def server_log(self) -> str:
        """The end of what the server said."""
        assert self._server is not None
        return self._server.log_tail()

    def start_pacs(self) -> None:
        """Start Orthanc on its data folder unless it runs."""
        if self._orthanc is None or not self._orthanc.running:
            if self._orthanc is not None:
                self._orthanc.stop()
            self._orthanc = OrthancServer.start(self._pacs_settings)
            self.proxy.target = self._orthanc.url

    def stop_pacs(self) -> None:
        """End Orthanc in good order."""
        if self._orthanc is not None:
            self._orthanc.stop()

    def kill_pacs(self) -> None:
        """End Orthanc with SIGKILL."""
        if self._orthanc is not None:
            self._orthanc.kill()

    def ask_pacs(self, path: str, **body: object) -> requests.Response:
        """Ask Orthanc itself, past proxy and server."""
        assert self._orthanc is not None
        with requests.Session() as session:
            session.trust_env = False
            session.auth = (self._orthanc.user, self._orthanc.password)
            answer = session.request("POST" if body else "GET", f"{self._orthanc.url}/{path}", timeout=30, **body)
        answer.raise_for_status()
        return answer

    def start_server(self) -> None:
        """Start the server on its home unless it runs."""
        if self._server is not None:
            if self._server_alive:
                return
            self._server.kill()
        assert self._orthanc is not None
        login = (self._orthanc.user, self._orthanc.password)
        self._server = RunningServer(self._settings, store_url=f"orthanc+{self.proxy.url}", credentials=login).start()
        self._server_alive = True
        self._children += psutil.Process(self._server.pid).children(recursive=True)

    def kill_server(self) -> None:
        """End the server with SIGKILL; its children are its own business."""
        if self._server is not None and self._server_alive:
            self._server_alive = False
            os.kill(self._server.pid, signal.SIGKILL)

    def kill_outbox(self) -> None:
        """End the process that delivers with SIGKILL, if there is one at this moment."""
        if self._server is not None and self._server_alive:
            with suppress(psutil.NoSuchProcess):
                for child in psutil.Process(self._server.pid).children():
                    if _OUTBOX in child.cmdline():
                        child.kill()

    def stop(self) -> None:
        """End everything."""
        if self._server is not None:
            self._server.stop()
        self.stop_pacs()

    def left_over(self) -> int:
        """Stop the server, and count the processes that outlived it or one that was killed."""
        if self._server is not None:
            self._server.stop()
        _, alive = psutil.wait_procs(self._children, timeout=20)
        for process in alive:
            process.kill()
        return len(alive)

    def fill_disk(self, *, leave_kib: int) -> None:
        """Take all room of the server's home but a little."""
        with (self._home / _BALLAST).open("wb") as file:
            free = shutil.disk_usage(self._home).free - (leave_kib << 10)
            if free > 0:
                with suppress(OSError):
                    os.posix_fallocate(file.fileno(), 0, free)

    def free_disk(self) -> None:
        """Give the room back."""
        (self._home / _BALLAST).unlink(missing_ok=True)

    def add_images(self, count: int, folder: Path) -> None:
        """Put oblique, anisotropic series into Orthanc."""
        assert self._orthanc is not None
        store = open_store(
            f"orthanc+{self._orthanc.url}",
            settings=self._pacs_settings,
            user=self._orthanc.user,
            password=self._orthanc.password,
        )
        for number in range(count):
            affine = np.eye(4)
            turn = Rotation.from_euler("xyz", [7 + number, -5, 11], degrees=True).as_matrix()
            affine[:3, :3] = turn @ np.diag([-1.1, -0.9, 2.5])
            array = np.random.default_rng(number).integers(-900, 900, SHAPE).astype(np.int16)
            paths = write_series(
                Volume(array, Grid(SHAPE, affine)), folder / str(number), patient_id=f"F{number}", seed=number
            )
            store.add_image(paths.folder)
            uids = tuple(str(pydicom.dcmread(file, stop_before_pixels=True).SOPInstanceUID) for file in paths.files)
            self.images.append(Image(paths.series_instance_uid, Grid(SHAPE, affine), uids))
        store.close()

    def open_images(self) -> None:
        """Download every image through the server, as a viewer does before anything is labelled."""
        for image in self.images:
            answer = requests.get(f"{self.url}/datastore/image", params={"image": image.image_id}, timeout=60)
            answer.raise_for_status()


@contextmanager
def running_world(folder: Path, *, images: int) -> Iterator[World]:
    """A world with everything running and `images` series opened."""
    home = folder / "home"
    home.mkdir(parents=True)
    with _small_disk(home) as small, running_proxy("http://127.0.0.1:9") as proxy:
        world = World(folder, proxy, disk_is_small=small)
        try:
            world.start_pacs()
            world.add_images(images, folder / "series")
            world.start_server()
            world.open_images()
            yield world
        finally:
            world.free_disk()
            world.stop()


@contextmanager
def _small_disk(home: Path) -> Iterator[bool]:
    """Mount a small tmpfs; False where that is not allowed (it takes root)."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={HOME_MIB}m", "tmpfs", str(home)], capture_output=True, check=False
    )
    try:
        yield mounted.returncode == 0
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "-l", str(home)], capture_output=True, check=False)
