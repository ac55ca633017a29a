"""A server in a child process, for the demo and for tests."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from types import TracebackType

import httpx

from ..errors import CarinaError
from ..processes import python_module
from ..settings import Settings
from .logs import log_path
from .run import ServerAddress, read_state, state_path

_POLL_S = 0.1
_STOP_S = 30.0


class RunningServer:
    """Starts `python -m carina.server.run`, waits until it answers, and stops it.

    Args:
        settings: Of the child; port 0 picks a free one.
        store_url: As `datastores.open_store` takes it; None lets the child start its own Orthanc.
        credentials: User and password of the PACS.
        timeout_s: How long the start may take.
        environment: Added to the child's.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        store_url: str | None = None,
        credentials: tuple[str, str] | None = None,
        timeout_s: float = 120.0,
        environment: dict[str, str] | None = None,
    ) -> None:
        self._settings = settings
        self._store_url = store_url
        self._credentials = credentials
        self._timeout_s = timeout_s
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._address: ServerAddress | None = None

    @property
    def address(self) -> ServerAddress:
        """Where it and its PACS are.

        Raises:
            CarinaError: If it was not started.
        """
        if self._address is None:
            raise CarinaError("A server must be started before it has an address. Call start().")
        return self._address

    @property
    def url(self) -> str:
        """Of the server."""
        return self.address.url

    @property
    def pid(self) -> int:
        """Of the server's process."""
        return self.address.pid

    def start(self) -> RunningServer:
        """Start the child and wait for `/health`.

        Raises:
            CarinaError: If it ends before it answers, or does not answer in time; with the last lines of its log.
        """
        state_path(self._settings).unlink(missing_ok=True)
        self._settings.logs_dir.mkdir(parents=True, exist_ok=True)
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  our own module
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self._environment, **self._secret()},
            )
        try:
            self._address = self._wait(self._process)
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> int | None:
        """Ask it to stop, then insist; its exit status, or None if it was not running."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        try:
            return process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def kill(self) -> None:
        """End it with SIGKILL, as the kernel would when memory runs out; does nothing if it is not running."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def log_tail(self, lines: int = 40) -> str:
        """The end of what it logged and printed."""
        texts = [
            path.read_text(errors="replace") for path in (log_path(self._settings), self._output) if path.is_file()
        ]
        return "\n".join("\n".join(text.splitlines()[-lines:]) for text in texts)

    def __enter__(self) -> RunningServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def _output(self) -> Path:
        return self._settings.logs_dir / "server.out"

    def _secret(self) -> dict[str, str]:
        return {"CARINA_PACS_PASSWORD": self._credentials[1]} if self._credentials else {}

    def _command(self) -> list[str]:
        settings = self._settings
        command = python_module("carina.server.run", "--home", str(settings.home))
        command += ["--host", settings.host, "--port", str(settings.port)]
        command += ["--upload-limit-mib", str(settings.upload_limit_mib)]
        command += ["--unpacked-limit-mib", str(settings.unpacked_limit_mib)]
        command += ["--pacs-timeout-s", str(settings.pacs_timeout_s)]
        command += ["--inference-queue", str(settings.inference_queue)]
        command += ["--lease-minutes", str(settings.lease_minutes)]
        command += ["--store", self._store_url] if self._store_url else []
        return command + (["--user", self._credentials[0]] if self._credentials else [])

    def _wait(self, process: subprocess.Popen[bytes]) -> ServerAddress:
        deadline = time.monotonic() + self._timeout_s
        with httpx.Client(trust_env=False, timeout=2.0) as client:
            while time.monotonic() < deadline:
                if process.poll() is not None:
                    raise CarinaError(f"The server must start, but ended. Its last words:\n{self.log_tail()}")
                address = read_state(self._settings)
                if address is not None and _answers(client, address.url):
                    return address
                time.sleep(_POLL_S)
        raise CarinaError(f"The server must answer within {self._timeout_s:g} s, but did not.\n{self.log_tail()}")


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(f"{url}/health").status_code == httpx.codes.OK
    except httpx.TransportError:
        return False
