"""The Orthanc that carina starts itself: own data folder, own password, free port, gone when carina is gone."""

from __future__ import annotations

import atexit
import json
import os
import secrets
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path
from types import TracebackType

import requests
from filelock import FileLock, Timeout

from ..errors import BusyError, PacsError, PacsTimeoutError, StorageError
from ..images import write_atomically
from ..settings import Settings
from .orthanc_program import find_dicomweb_plugin, find_orthanc

USER = "carina"
_PORT_ATTEMPTS = 5
_STABLE_AGE_S = 2
_POLL_S = 0.1


class OrthancServer:
    """One running Orthanc child process, bound to its data folder by a lock.

    It answers loopback only, asks for a password, has its DICOM port closed, and ends with this process even if this
    process is killed. Safe to stop from any thread, and more than once.

    Attributes:
        url: REST root, such as `http://127.0.0.1:43210`.
        user: Name for basic auth.
        password: Generated once per data folder, kept in a file of mode 0600.
    """

    def __init__(self, settings: Settings) -> None:
        self.url = ""
        self.user = USER
        self.password = ""
        self._folder = settings.orthanc_dir
        self._log_path = settings.logs_dir / "orthanc.log"
        self._lock = FileLock(self._folder / "carina.lock", thread_local=False)
        self._process: subprocess.Popen[bytes] | None = None
        self._stopping = threading.Lock()

    @classmethod
    def start(cls, settings: Settings, *, port: int | None = None, timeout_s: float = 60.0) -> OrthancServer:
        """Start Orthanc on `settings.orthanc_dir` and wait until it answers.

        Args:
            settings: Where data, configuration, password and log go.
            port: HTTP port; None picks that of the last start, or a free one if there is none or it is taken.
            timeout_s: How long Orthanc may take to answer.

        Raises:
            MissingDependencyError: If Orthanc or its DICOMweb plugin is not installed.
            BusyError: If another carina runs an Orthanc on this data folder.
            PacsError: If Orthanc ends at once; the message holds the last lines of its log.
            PacsTimeoutError: If it does not answer in time.
            StorageError: If the data folder is not writable.
        """
        server = cls(settings)
        binary, plugin = find_orthanc(), find_dicomweb_plugin()
        server._claim_folder()
        try:
            server.password = server._read_or_make_password()
            server._launch(binary, plugin, port=port, timeout_s=timeout_s)
        except BaseException:
            server.stop()
            raise
        atexit.register(server.stop)
        return server

    @property
    def dicomweb_url(self) -> str:
        """DICOMweb root, without a slash at its end."""
        return f"{self.url}/dicom-web"

    @property
    def log_path(self) -> Path:
        """What Orthanc printed since it was last started."""
        return self._log_path

    @property
    def running(self) -> bool:
        """Whether the child process is alive."""
        return self._process is not None and self._process.poll() is None

    def stop(self, *, timeout_s: float = 15.0) -> None:
        """Ask Orthanc to end, then insist; frees the data folder. Does nothing if it is not running."""
        with self._stopping:
            process, self._process = self._process, None
            if process is not None and process.poll() is None:
                process.terminate()
                try:
                    process.wait(timeout_s)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
            self._lock.release()
        atexit.unregister(self.stop)

    def revive(self, *, timeout_s: float = 60.0) -> str | None:
        """Start Orthanc again, at the same address, if it has ended by itself.

        Returns:
            The last lines of its log before that; None if it runs, or was stopped.

        Raises:
            PacsError: If it ends again at once.
            PacsTimeoutError: If it does not answer in time.
        """
        with self._stopping:
            if self._process is None or self.running:
                return None
            log = f"status {self._process.returncode}; its log: {self._last_log_lines()}"
            port = int(self.url.rpartition(":")[2])
            self._launch(find_orthanc(), find_dicomweb_plugin(), port=port, timeout_s=timeout_s)
            return log

    def kill(self) -> None:
        """End Orthanc with SIGKILL, as a crash would; `stop` then frees the data folder."""
        process = self._process
        if process is not None:
            process.kill()
            process.wait()

    def __enter__(self) -> OrthancServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _claim_folder(self) -> None:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._log_path.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise BusyError(
                f"One Orthanc at a time must use {self._folder}, and another carina runs one there. "
                "Stop that one, or set CARINA_HOME to another folder."
            ) from error
        except OSError as error:
            raise StorageError(f"Orthanc's folder {self._folder} must be writable: {error.strerror}.") from error

    def _read_or_make_password(self) -> str:
        path = self._folder / "password"
        if path.is_file():
            password = path.read_text().strip()
            if password:
                return password
        password = secrets.token_urlsafe(24)
        _write_private(path, password + "\n")
        return password

    def _launch(self, binary: Path, plugin: Path, *, port: int | None, timeout_s: float) -> None:
        attempts = 1 if port else _PORT_ATTEMPTS
        for attempt in range(attempts):
            chosen = port or (self._last_port() if attempt == 0 else None) or _free_port()
            self.url = f"http://127.0.0.1:{chosen}"
            config = self._config_path
            _write_private(config, json.dumps(self._configuration(plugin, chosen), indent=2))
            self._process = _spawn([str(binary), str(config)], self._log_path)
            if self._wait_until_ready(time.monotonic() + timeout_s):
                return
            log = self._last_log_lines()
            if "already in use" not in log or attempt + 1 == attempts:
                raise PacsError(f"Orthanc must start, but ended with status {self._process.returncode}. Its log: {log}")
        raise AssertionError

    @property
    def _config_path(self) -> Path:
        return self._folder / "orthanc.json"

    def _last_port(self) -> int | None:
        """Of the start before: images are cached, and people's bookmarks made, under the address with that port."""
        try:
            return int(json.loads(self._config_path.read_text(encoding="utf-8"))["HttpPort"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _wait_until_ready(self, deadline: float) -> bool:
        """True once the child answers with our password, False if it ended."""
        session = requests.Session()
        session.trust_env = False
        session.auth = (self.user, self.password)
        with session:
            while self.running:
                try:
                    if session.get(f"{self.url}/system", timeout=2.0).ok and self.running:
                        return True
                except requests.RequestException:
                    pass
                if time.monotonic() > deadline:
                    raise PacsTimeoutError(f"Orthanc must answer after its start, but did not. See {self._log_path}.")
                time.sleep(_POLL_S)
        return False

    def _last_log_lines(self, count: int = 6) -> str:
        lines = self._log_path.read_text(errors="replace").splitlines()
        return " | ".join(line for line in lines[-count:] if line)

    def _configuration(self, plugin: Path, port: int) -> dict[str, object]:
        return {
            "Name": "carina",
            "StorageDirectory": str(self._folder / "storage"),
            "IndexDirectory": str(self._folder / "storage"),
            "Plugins": [str(plugin)],
            "HttpPort": port,
            "HttpServerEnabled": True,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": True,
            "RegisteredUsers": {self.user: self.password},
            "DicomServerEnabled": False,
            "DicomModalities": {},
            "OrthancPeers": {},
            "ExecuteLuaEnabled": False,
            "OverwriteInstances": False,
            "StableAge": _STABLE_AGE_S,
            "StorageCompression": False,
            "SynchronousZipStream": True,
            "LimitFindResults": 0,
            "LimitFindInstances": 0,
            "KeepAlive": True,
            "TcpNoDelay": True,
            "HttpThreadsCount": 16,
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False, "QidoCaseSensitive": True},
        }


def _spawn(command: list[str], log_path: Path) -> subprocess.Popen[bytes]:
    """Start a child that the kernel ends when this process is gone.

    The kernel's parent-death signal fires when the *thread* that started the child ends. So the child is started from
    a thread of its own, which lives as long as the child does. Where there is no `setpriv` (it is Linux's), a killed
    parent leaves the child behind.
    """
    setpriv = shutil.which("setpriv")
    watched = [setpriv, "--pdeathsig", "TERM", "--", *command] if setpriv else command
    started: list[subprocess.Popen[bytes] | OSError] = []
    ready = threading.Event()

    def run() -> None:
        try:
            with log_path.open("wb") as log:
                process = subprocess.Popen(  # noqa: S603 - the command is a found binary and our own file
                    watched, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
                )
        except OSError as error:
            started.append(error)
            ready.set()
            return
        started.append(process)
        ready.set()
        process.wait()

    threading.Thread(target=run, name="orthanc-parent", daemon=True).start()
    ready.wait()
    if isinstance(started[0], OSError):
        raise PacsError(f"Orthanc must start, but cannot: {started[0].strerror}.") from started[0]
    return started[0]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _write_private(path: Path, text: str) -> None:
    def write(temporary: Path) -> None:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)

    write_atomically(path, write)
