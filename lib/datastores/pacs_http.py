"""HTTP to a PACS: time limits on every call, retries only where repeating is harmless, errors in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import NewConnectionError
from urllib3.exceptions import TimeoutError as Urllib3TimeoutError
from urllib3.util import Retry

from ..errors import PacsError, PacsTimeoutError
from ..settings import is_loopback
from .port import Access

POOL_SIZE = 16
_IDEMPOTENT = frozenset({"GET", "HEAD", "DELETE"})


class TimedAdapter(HTTPAdapter):
    """Gives every request a time limit, and repeats idempotent ones when the PACS is briefly away.

    Args:
        timeout_s: For connecting, and for each wait for bytes.
        repeat_posts: Whether a POST may be repeated too, as with Orthanc, where storing again changes nothing.
    """

    def __init__(self, timeout_s: float, *, repeat_posts: bool = False) -> None:
        self._timeout_s = timeout_s
        retry = Retry(
            connect=2,
            read=1,
            status=3,
            allowed_methods=_IDEMPOTENT | {"POST"} if repeat_posts else _IDEMPOTENT,
            status_forcelist=frozenset({429, 502, 503, 504}),
            backoff_factor=0.2,
            raise_on_status=False,
        )
        super().__init__(max_retries=retry, pool_maxsize=POOL_SIZE)

    def send(self, request: requests.PreparedRequest, *args: object, **kwargs: object) -> requests.Response:
        """Send with the time limit, unless the caller set one."""
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = (min(self._timeout_s, 10.0), self._timeout_s)
        return super().send(request, *args, **kwargs)  # type: ignore[arg-type]


def prepare_session(session: requests.Session, access: Access, *, repeat_posts: bool = False) -> requests.Session:
    """Put time limits, retries, login and TLS rules on a session; a proxy is not asked for loopback addresses."""
    adapter = TimedAdapter(access.settings.pacs_timeout_s, repeat_posts=repeat_posts)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    session.verify = access.verify_tls if isinstance(access.verify_tls, bool) else str(access.verify_tls)
    if access.user is not None:
        session.auth = (access.user, access.password or "")
    if is_loopback(urlsplit(access.url).hostname or ""):
        session.trust_env = False
    return session


@contextmanager
def pacs_errors(doing: str, access: Access) -> Iterator[None]:
    """Turn what `requests` raises into `PacsError` and `PacsTimeoutError`.

    Args:
        doing: What was tried, such as `list its series`.
        access: Which PACS.
    """
    try:
        yield
    except requests.RequestException as error:
        raise describe(error, doing, access) from error


def describe(error: requests.RequestException, doing: str, access: Access) -> PacsError:
    """The error of ours that says what `error` means."""
    start = f"The PACS at {access.url} must {doing}, but"
    if _is_timeout(error):
        return no_answer(doing, access)
    if isinstance(error, requests.exceptions.SSLError):
        return PacsError(f"{start} its TLS certificate is not trusted. Name its authority's certificate file.")
    if isinstance(error, requests.ConnectionError):
        return unreachable(doing, access)
    if error.response is not None:
        return describe_status(error.response.status_code, doing, access)
    return PacsError(f"{start} its answer was cut off or is no HTTP. Check the address.")


def no_answer(doing: str, access: Access) -> PacsTimeoutError:
    """The error for a PACS that let the time run out."""
    return PacsTimeoutError(
        f"The PACS at {access.url} must {doing}, but gave no answer in {access.settings.pacs_timeout_s:g} s. "
        "Is it overloaded?"
    )


def unreachable(doing: str, access: Access) -> PacsError:
    """The error for a PACS that takes no connection."""
    return PacsError(
        f"The PACS at {access.url} must {doing}, but cannot be reached. Check that it runs, and the address."
    )


def describe_status(status: int | None, doing: str, access: Access) -> PacsError:
    """The error for an HTTP status that is not a success."""
    start = f"The PACS at {access.url} must {doing}, but"
    if status in (401, 403):
        return PacsError(f"{start} refused the login (HTTP {status}). Check user and password.")
    return PacsError(f"{start} answered HTTP {status}. Its log says why.")


def _is_timeout(error: requests.RequestException) -> bool:
    """Whether time ran out; a retried timeout hides inside another error's `reason`.

    A refused connection is no timeout, although urllib3 derives the one from the other.
    """
    if isinstance(error, requests.Timeout):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, Urllib3TimeoutError) and not isinstance(reason, NewConnectionError)
