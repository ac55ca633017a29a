"""Pages of other sites, which a browser may have open beside OHIF, can neither change nor read anything."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from carina.server.own_pages import OwnPages
from carina.settings import Settings

ORIGIN = "http://127.0.0.1"


@pytest.fixture
def ask(tmp_path):
    """Asks an application that answers 200 to all, behind the middleware; gives the answer."""

    async def fine(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def asking(method, bound, headers):
        app = OwnPages(fine, settings=Settings(home=tmp_path, host=bound))
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=ORIGIN) as client:
            return await client.request(method, "/train/thorax_ct", headers=named)

    return lambda method="POST", *, bound="127.0.0.1", **headers: asyncio.run(asking(method, bound, headers))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "page",
    [
        {"origin": "https://evil.example", "sec_fetch_site": "cross-site"},
        {"origin": "http://127.0.0.1:9999", "sec_fetch_site": "same-site"},
        {"sec_fetch_site": "cross-site"},
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://[evil"},
    ],
)
def test_a_page_of_another_site_changes_nothing(ask, method, page):
    answer = ask(method, **page)
    assert answer.status_code == 403
    assert answer.json()["error"] == "ForbiddenError"
    assert page.get("origin", "cross-site") in answer.json()["detail"]


@pytest.mark.parametrize(
    "page",
    [
        {},  # Slicer, curl
        {"origin": ORIGIN, "sec_fetch_site": "same-origin"},
        {"origin": ORIGIN},
        {"origin": "https://carina.hospital.example", "sec_fetch_site": "same-origin"},  # a proxy gives another host on
        {"origin": "http://carina.hospital.example", "x_forwarded_host": "carina.hospital.example"},
    ],
)
def test_own_pages_and_programs_do_what_they_want(ask, page):
    assert ask(**page).status_code == 200


def test_a_link_on_another_page_may_be_followed(ask):
    assert ask("GET", origin="https://evil.example", sec_fetch_site="cross-site").status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.evil.example", "127.0.0.1@evil.example", "[::1", "10.0.0.7"]
)
def test_on_loopback_a_name_made_to_point_here_is_not_answered(ask, host):
    answer = ask("GET", host=host)
    assert answer.status_code == 403
    assert "CARINA_HOSTS" in answer.json()["detail"]


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "LOCALHOST:8000", "[::1]:8000", "carina.localhost", "127.0.1.1"])
def test_every_name_of_the_machine_itself_is_answered(ask, host):
    assert ask("GET", host=host).status_code == 200


def test_names_of_a_reverse_proxy_are_answered_once_they_are_set(ask, monkeypatch):
    monkeypatch.setenv("CARINA_HOSTS", "carina.hospital.example, Other.example")
    assert ask("GET", host="carina.hospital.example").status_code == 200
    assert ask("GET", host="other.example:443").status_code == 200
    assert ask("GET", host="evil.example").status_code == 403


def test_bound_elsewhere_any_name_will_do_unless_names_are_set(ask, monkeypatch):
    assert ask("GET", bound="0.0.0.0", host="ws17.hospital.example").status_code == 200
    monkeypatch.setenv("CARINA_HOSTS", "carina.hospital.example")
    assert ask("GET", bound="0.0.0.0", host="ws17.hospital.example").status_code == 403


def test_the_server_s_application_is_behind_it(http):
    stored = http.get("/datastore/").json()
    refused = http.put("/datastore/label", params={"image": "case-a"}, headers={"Origin": "https://evil.example"})
    assert refused.status_code == 403
    assert http.get("/datastore/").json() == stored
    assert http.get("/info/", headers={"Host": "evil.example"}).status_code == 403
