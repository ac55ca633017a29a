"""The DICOMweb adapter against servers that read the standard their own way."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from carina.datastores.port import open_store
from carina.errors import PacsError
from carina.settings import Settings

from .builder import build_slice


class FakePacs:
    """QIDO-RS over made-up series, and a STOW-RS that fails on demand.

    Attributes:
        page_limit: The server gives at most so many results at once.
        ignores_offset: The server always gives the first page.
        stow_status: HTTP status of every STOW answer, with a FailedSOPSequence unless it is a plain success.
        seen: Paths and queries of all requests.
    """

    def __init__(self, series: int) -> None:
        self.series = [_series_json(number) for number in range(series)]
        self.page_limit = 100
        self.ignores_offset = False
        self.stow_status = 200
        self.body: bytes | None = None
        self.seen: list[str] = []
        self.url = ""


def _series_json(number: int) -> dict[str, object]:
    return {
        "0020000D": {"vr": "UI", "Value": ["1.2.3"]},
        "0020000E": {"vr": "UI", "Value": [f"1.2.3.{number}"]},
        "00080060": {"vr": "CS", "Value": ["SEG" if number % 10 == 9 else "CT"]},
        "00100020": {"vr": "LO", "Value": [f"P{number}"]},
        "0008103E": {"vr": "LO"},
    }


@contextmanager
def _serving(pacs: FakePacs) -> Iterator[FakePacs]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def do_GET(self) -> None:
            pacs.seen.append(self.path)
            query = parse_qs(urlsplit(self.path).query)
            offset = 0 if pacs.ignores_offset else int(query.get("offset", ["0"])[0])
            limit = min(int(query["limit"][0]), pacs.page_limit)
            found = [] if "/instances" in self.path else pacs.series[offset : offset + limit]
            if not found:
                self.send_response(204)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self._answer(200, json.dumps(found).encode() if pacs.body is None else pacs.body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            failed = {
                "00081198": {
                    "vr": "SQ",
                    "Value": [
                        {
                            "00081155": {"vr": "UI", "Value": ["1.2"]},
                            "00081197": {"vr": "US", "Value": [0xA700]},
                        }
                    ],
                }
            }
            self._answer(pacs.stow_status, json.dumps(failed).encode())

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    pacs.url = f"dicomweb+http://127.0.0.1:{server.server_address[1]}/root"
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield pacs
    finally:
        server.shutdown()
        server.server_close()


def test_reads_5000_series_in_few_calls_though_the_server_gives_small_pages(tmp_path: Path) -> None:
    with _serving(FakePacs(5000)) as pacs:
        store = open_store(pacs.url, settings=Settings(home=tmp_path))
        records = store.list_images()
        for _ in range(20):
            store.list_images()
        store.close()
    assert len(records) == 4500
    assert len({record.image_id for record in records}) == 4500
    assert {record.modality for record in records} == {"CT"}
    assert len(pacs.seen) == 51


def test_ends_where_a_server_ignores_the_offset(tmp_path: Path) -> None:
    with _serving(FakePacs(300)) as pacs:
        pacs.ignores_offset = True
        store = open_store(pacs.url, settings=Settings(home=tmp_path))
        assert len(store.list_images()) == 90
        store.close()
    assert len(pacs.seen) == 2


def test_takes_no_content_for_an_empty_pacs(tmp_path: Path) -> None:
    with _serving(FakePacs(0)) as pacs:
        store = open_store(pacs.url, settings=Settings(home=tmp_path))
        assert store.list_images() == []
        store.close()


@pytest.mark.parametrize("body", [b"<html>Sign in</html>", b'{"error": 1}', b'[{"0020000E": 5}]'])
def test_says_that_an_answer_is_no_dicomweb(tmp_path: Path, body: bytes) -> None:
    with _serving(FakePacs(1)) as pacs:
        pacs.body = body
        store = open_store(pacs.url, settings=Settings(home=tmp_path))
        with pytest.raises(PacsError):
            store.list_images()
        store.close()


@pytest.mark.parametrize("status", [200, 202, 409])
def test_does_not_take_a_refused_instance_for_a_stored_one(tmp_path: Path, status: int) -> None:
    with _serving(FakePacs(0)) as pacs:
        pacs.stow_status = status
        store = open_store(pacs.url, settings=Settings(home=tmp_path))
        with pytest.raises(PacsError, match="store an instance"):
            store.store_instance(build_slice(study="1.2.3", series="1.2.4", number=0))
        store.close()
