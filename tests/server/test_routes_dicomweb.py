from __future__ import annotations

import asyncio
import base64
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from fastapi import FastAPI

from carina.datastores.port import Access
from carina.errors import NotFoundError
from carina.server import routes_dicomweb
from carina.server.dicomweb_proxy import DicomWebProxy, replaced
from carina.server.responses import install_error_handlers
from carina.settings import Settings

STUDY = "/dicomweb/studies/1.2.3"
INSTANCE = f"{STUDY}/series/1.2.4/instances/1.2.5"
PASSWORD = "not to be seen"


@dataclass
class Pacs:
    """A server that notes what arrives and answers as told."""

    url: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/dicom+json"})
    body: bytes = b"[]"
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    delay: threading.Event | None = None


@pytest.fixture
def pacs():
    state = Pacs()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.seen.append((self.command, self.path, headers, body))
            if state.delay:
                state.delay.wait(10)
            self.send_response(state.status)
            for name, value in state.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(state.body)))
            self.end_headers()
            self.wfile.write(state.body)

        do_GET = do_POST = answer  # noqa: N815 - the names http.server calls

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/root"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


@dataclass
class Images:
    """The one method of an image store that the proxy calls."""

    access: Access | None

    def dicomweb(self) -> Access | None:
        return self.access


@pytest.fixture
def access(pacs, tmp_path) -> Access:
    return Access(url=pacs.url, settings=Settings(home=tmp_path, pacs_timeout_s=0.5), user="carina", password=PASSWORD)


def ask(access: Access | None, method: str, path: str, **options) -> httpx.Response:
    """One request through the route."""

    async def run() -> httpx.Response:
        app = FastAPI(redirect_slashes=False)
        app.include_router(routes_dicomweb.router)
        install_error_handlers(app)
        async with DicomWebProxy(Images(access), base="/dicomweb") as app.state.dicomweb:
            transport = httpx.ASGITransport(app=app)
            async with httpx.AsyncClient(transport=transport, base_url="http://carina") as client:
                return await client.request(method, path, **options)

    return asyncio.run(run())


@pytest.mark.parametrize(
    "path",
    [
        "/dicomweb/studies?PatientID=A%26B&limit=2",
        f"{STUDY}/series",
        f"{STUDY}/series/1.2.4/metadata",
        f"{STUDY}/series/1.2.4/instances",
        INSTANCE,
        f"{INSTANCE}/frames/1,2",
        f"{INSTANCE}/rendered",
        f"{INSTANCE}/bulk/7fe00010",
    ],
)
def test_what_dicomweb_names_is_passed_on_as_it_is(pacs, access, path):
    assert ask(access, "GET", path).status_code == 200
    assert pacs.seen[0][:2] == ("GET", path.replace("/dicomweb", "/root", 1))


@pytest.mark.parametrize(
    "path",
    [
        "/system",
        "/",
        "/studies/..",
        "/studies/../../system",
        "/studies/1.2.3/../../instances",
        "/studies/1.2.3\r\nX-Injected: 1",
        "/studies/1.2.3\n",
        "/studies/1.2.3?x=1",
        "/studies/1..3",
        "//studies",
        "/studies/1/series/2/instances/3/bulk/../../../x",
        "/studies/1/series/2/instances/3/frames/1/../2",
        "/http://elsewhere/",
        "@elsewhere/studies",
    ],
)
def test_no_other_path_reaches_the_pacs(pacs, access, path):
    async def run() -> None:
        async with DicomWebProxy(Images(access), base="/dicomweb") as proxy:
            await proxy.pass_on("GET", path, query=[], headers={}, body=None)

    with pytest.raises(NotFoundError, match="QIDO-RS"):
        asyncio.run(run())
    assert pacs.seen == []


@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH"])
def test_nothing_is_changed_or_deleted_through_the_proxy(pacs, access, method):
    assert ask(access, method, STUDY).status_code == 405
    assert pacs.seen == []


def test_the_login_goes_to_the_pacs_and_never_to_the_client(pacs, access):
    pacs.headers = {
        "Content-Type": "application/dicom",
        "Set-Cookie": "session=1",
        "Authorization": "echo",
        "Server": "x",
    }
    answer = ask(
        access, "GET", INSTANCE, headers={"Authorization": "Bearer client", "Cookie": "a=b", "X-Forwarded-For": "1"}
    )
    expected = base64.b64encode(f"carina:{PASSWORD}".encode()).decode()
    sent = pacs.seen[0][2]
    assert sent["authorization"] == f"Basic {expected}"
    assert not {"cookie", "x-forwarded-for"} & set(sent)
    assert not {"set-cookie", "authorization", "server"} & set(answer.headers)


def test_an_answer_of_the_pacs_cannot_act_as_a_page_of_ours(pacs, access):
    pacs.headers = {"Content-Type": "text/html"}
    answer = ask(access, "GET", f"{INSTANCE}/rendered")
    assert answer.headers["content-security-policy"] == "default-src 'none'; sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_addresses_of_the_pacs_in_json_become_ours(pacs, access):
    pacs.body = f'{{"BulkDataURI": "{pacs.url}/studies/1.2.3/bulk", "other": "http://elsewhere/x"}}'.encode()
    answer = ask(access, "GET", f"{STUDY}/metadata")
    assert answer.json() == {"BulkDataURI": "/dicomweb/studies/1.2.3/bulk", "other": "http://elsewhere/x"}


def test_addresses_are_found_wherever_the_chunks_are_cut():
    text, old, new = b"a http://pacs/x b http://pacs/y http://pa", b"http://pacs", b"/dicomweb"

    async def collect(size: int) -> bytes:
        async def chunks():
            for start in range(0, len(text), size):
                yield text[start : start + size]

        return b"".join([piece async for piece in replaced(chunks(), old, new)])

    for size in range(1, len(text) + 1):
        assert asyncio.run(collect(size)) == text.replace(old, new), size


def test_a_stored_object_arrives_whole(pacs, access):
    body = b"--x\r\nContent-Type: application/dicom\r\n\r\n" + bytes(range(256)) * 999 + b"\r\n--x--"
    kind = "multipart/related; type=application/dicom; boundary=x"
    assert ask(access, "POST", "/dicomweb/studies", content=body, headers={"Content-Type": kind}).status_code == 200
    method, path, headers, received = pacs.seen[0]
    assert (method, path, headers["content-type"], received) == ("POST", "/root/studies", kind, body)


def test_only_dicom_can_be_stored(pacs, access):
    answer = ask(access, "POST", "/dicomweb/studies", content=b"{}", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422
    assert "multipart/related" in answer.json()["detail"]
    assert pacs.seen == []


def test_what_the_pacs_does_not_have_stays_a_404(pacs, access):
    pacs.status, pacs.body = 404, b"no such study"
    assert ask(access, "GET", f"{STUDY}/metadata").status_code == 404


@pytest.mark.parametrize(
    ("status", "words"), [(500, "answered HTTP 500"), (401, "refused the login"), (302, "HTTP 302")]
)
def test_a_pacs_that_fails_is_a_502_in_words(pacs, access, status, words):
    pacs.status, pacs.headers = status, {"Location": "http://elsewhere/"}
    answer = ask(access, "GET", "/dicomweb/studies")
    assert answer.status_code == 502
    assert words in answer.json()["detail"]
    assert PASSWORD not in answer.text


def test_a_pacs_without_dicomweb_is_a_501_that_names_the_plugin(pacs, access):
    pacs.status = 404
    answer = ask(access, "GET", "/dicomweb/studies")
    assert answer.status_code == 501
    assert "DICOMweb plugin" in answer.json()["detail"]


def test_a_pacs_that_is_down_is_a_502_in_words(tmp_path):
    gone = Access(url="http://127.0.0.1:9/root", settings=Settings(home=tmp_path))
    answer = ask(gone, "GET", "/dicomweb/studies")
    assert answer.status_code == 502
    assert "cannot be reached" in answer.json()["detail"]


def test_a_pacs_that_does_not_answer_is_a_504_in_words(pacs, access):
    pacs.delay = threading.Event()
    answer = ask(access, "GET", "/dicomweb/studies")
    pacs.delay.set()
    assert answer.status_code == 504
    assert "0.5 s" in answer.json()["detail"]


def test_a_folder_of_images_is_a_501_in_words(http):
    answer = http.get("/dicomweb/studies")
    assert answer.status_code == 501
    assert "Orthanc or DICOMweb store" in answer.json()["detail"]
