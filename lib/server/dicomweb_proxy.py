"""Passes DICOMweb requests of a viewer on to the PACS: only what the standard names, and never the login back."""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

import httpx
from starlette.responses import Response, StreamingResponse

from ..datastores.pacs_http import describe_status, no_answer, unreachable
from ..datastores.port import Access, ImageStore
from ..errors import InvalidInputError, MissingDependencyError, NotFoundError, PacsError
from ..settings import is_loopback

_LOG = logging.getLogger(__name__)
_CONNECT_S = 10.0
_CONNECTIONS = 32

_UID = r"[0-9]{1,64}(?:\.[0-9]{1,64}){0,32}"  # never `..`
_INSTANCES = rf"/studies/{_UID}/series/{_UID}/instances/{_UID}"
_SEARCH = re.compile(
    rf"(?:/studies|/series|/instances|/studies/{_UID}/(?:series|instances)|/studies/{_UID}/series/{_UID}/instances)"
)
_RETRIEVE = re.compile(
    rf"/studies/{_UID}(?:/series/{_UID}(?:/instances/{_UID})?)?(?:/metadata|/rendered|/thumbnail|/bulkdata)?"
    rf"|{_INSTANCES}/frames/[0-9,]{{1,4096}}(?:/rendered|/thumbnail)?"
    rf"|{_INSTANCES}/bulk(?:data)?(?:/[0-9A-Za-z]{{1,64}}){{1,16}}"
)  # Orthanc's own bulk data lie under `/bulk`
_STORE = re.compile(rf"/studies(?:/{_UID})?")

_REQUEST_HEADERS = ("accept", "content-type", "content-length", "if-none-match", "if-modified-since")
_RESPONSE_HEADERS = (
    "content-type",
    "content-length",
    "content-encoding",
    "etag",
    "last-modified",
    "cache-control",
    "warning",
)
# A PACS may answer with pages of its own; none of them may act as if it were one of ours.
_SAFETY = {"Content-Security-Policy": "default-src 'none'; sandbox", "X-Content-Type-Options": "nosniff"}


class DicomWebProxy:
    """QIDO-RS, WADO-RS and STOW-RS (PS3.18) of a store's PACS under an address of ours.

    Bodies stream both ways. Addresses of the PACS inside DICOM JSON become ours. Used by one event loop, between
    `async with` entry and exit.

    Args:
        store: Whose DICOMweb root is used.
        base: Our address of that root, such as `/dicomweb`.
    """

    def __init__(self, store: ImageStore, *, base: str) -> None:
        self._access = store.dicomweb()
        self._base = base
        self._client = _client(self._access) if self._access else None

    async def __aenter__(self) -> DicomWebProxy:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._client is not None:
            await self._client.aclose()

    async def pass_on(
        self,
        method: str,
        path: str,
        *,
        query: Sequence[tuple[str, str]],
        headers: Mapping[str, str],
        body: AsyncIterator[bytes],
    ) -> Response:
        """One request to the PACS and its answer.

        Args:
            method: GET or POST.
            path: Below the DICOMweb root, decoded, with a leading slash.
            query: Decoded name and value pairs.
            headers: Of the request, names in lower case; only those DICOMweb needs are passed on.
            body: Of a POST.

        Raises:
            NotFoundError: If the path is none of DICOMweb's.
            InvalidInputError: If something else than DICOM is to be stored.
            MissingDependencyError: If the images are in no PACS, or in one without DICOMweb.
            PacsError: If the PACS cannot be reached, fails or refuses the login.
            PacsTimeoutError: If it does not answer in time.
        """
        doing = _purpose(method, path, headers)
        client, access = self._reach()
        request = client.build_request(
            method,
            f"{access.url.rstrip('/')}{path}",
            params=list(query),
            headers={name: headers[name] for name in _REQUEST_HEADERS if name in headers},
            content=body if method == "POST" else None,
        )
        answer = await _send(client, request, access=access, doing=doing)
        if answer.is_redirect or answer.status_code >= 500 or answer.status_code in (401, 403):
            await answer.aclose()
            raise describe_status(answer.status_code, doing, access)
        if answer.status_code == httpx.codes.NOT_FOUND and path == "/studies":
            await answer.aclose()
            raise MissingDependencyError(
                f"The PACS must speak DICOMweb at {access.url}, got HTTP 404. Install or enable its DICOMweb plugin."
            )
        return self._answer(answer, access)

    def _reach(self) -> tuple[httpx.AsyncClient, Access]:
        if self._client is None or self._access is None:
            raise MissingDependencyError(
                "A viewer must get its images from a PACS, got a folder. "
                "Start carina with an Orthanc or DICOMweb store to use OHIF."
            )
        return self._client, self._access

    def _answer(self, answer: httpx.Response, access: Access) -> Response:
        kept = {name: answer.headers[name] for name in _RESPONSE_HEADERS if name in answer.headers}
        content = _stream(answer)
        if "json" in kept.get("content-type", ""):
            kept.pop("content-length", None)
            content = replaced(content, access.url.rstrip("/").encode(), self._base.encode())
        return StreamingResponse(content, status_code=answer.status_code, headers={**kept, **_SAFETY})


async def replaced(chunks: AsyncIterator[bytes], old: bytes, new: bytes) -> AsyncIterator[bytes]:
    """A stream with every `old` replaced, wherever its chunks are cut."""
    held, tail = b"", len(old) - 1
    async for chunk in chunks:
        held = (held + chunk).replace(old, new)
        cut = max(0, len(held) - tail)
        if cut:
            yield held[:cut]
            held = held[cut:]
    if held:
        yield held


async def _send(client: httpx.AsyncClient, request: httpx.Request, *, access: Access, doing: str) -> httpx.Response:
    try:
        return await client.send(request, stream=True)
    except httpx.TimeoutException as error:
        raise no_answer(doing, access) from error
    except httpx.ConnectError as error:
        raise unreachable(doing, access) from error
    except httpx.TransportError as error:
        raise PacsError(
            f"The PACS at {access.url} must {doing}, but its answer was cut off. Check the address."
        ) from error


async def _stream(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_raw():
            yield chunk
    except httpx.TransportError:
        _LOG.warning("the PACS cut an answer off after %d bytes", answer.num_bytes_downloaded)
        raise
    finally:
        await answer.aclose()


def _purpose(method: str, path: str, headers: Mapping[str, str]) -> str:
    """What a request wants, in words for an error.

    Raises:
        NotFoundError: If the path is none of DICOMweb's.
        InvalidInputError: If something else than DICOM is to be stored.
    """
    if method == "POST" and _STORE.fullmatch(path):
        if not headers.get("content-type", "").lower().startswith("multipart/related"):
            raise InvalidInputError("Objects to store must come as multipart/related. Send them as STOW-RS says.")
        return "store an object"
    if method == "GET" and _SEARCH.fullmatch(path):
        return "search"
    if method == "GET" and _RETRIEVE.fullmatch(path):
        return "send an object"
    raise NotFoundError("A DICOMweb address must be one of QIDO-RS, WADO-RS or STOW-RS. Check the address.")


def _client(access: Access) -> httpx.AsyncClient:
    timeout_s = access.settings.pacs_timeout_s
    return httpx.AsyncClient(
        auth=httpx.BasicAuth(access.user, access.password or "") if access.user is not None else None,
        verify=_verification(access.verify_tls),
        timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_S)),
        limits=httpx.Limits(max_connections=_CONNECTIONS, max_keepalive_connections=_CONNECTIONS),
        trust_env=not is_loopback(urlsplit(access.url).hostname or ""),
        follow_redirects=False,
        headers={"Accept-Encoding": "identity"},
    )


def _verification(verify_tls: bool | Path) -> ssl.SSLContext | bool:
    if isinstance(verify_tls, bool):
        return verify_tls
    folder = verify_tls.is_dir()
    return ssl.create_default_context(
        cafile=None if folder else str(verify_tls), capath=str(verify_tls) if folder else None
    )
