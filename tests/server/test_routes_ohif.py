from __future__ import annotations

import gzip
import http.client
import json
from urllib.parse import urlsplit

import pytest

from carina.viewer.build import find_build


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A stand-in for what `scripts/ohif` installs."""
    folder = tmp_path / "ohif"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text("<!doctype html><script>window.PUBLIC_URL='/ohif/'</script>")
    (folder / "app.bundle.0f6159c501addfe9.js").write_text("plain")
    (folder / "app.bundle.0f6159c501addfe9.js.gz").write_bytes(gzip.compress(b"packed"))
    (folder / "0ddf166f7a343eda.wasm").write_bytes(b"\0asm")
    monkeypatch.setenv("CARINA_OHIF", str(folder))
    return folder


@pytest.fixture
def not_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("CARINA_OHIF", str(tmp_path / "nowhere"))


def configuration(http) -> dict:
    text = http.get("/ohif/app-config.js").text
    return json.JSONDecoder().raw_decode(text.removeprefix("window.config = "))[0]


def raw(http_client, path: str) -> tuple[int, bytes]:
    """Ask without any normalisation of the path by the client."""
    parts = urlsplit(str(http_client.base_url))
    connection = http.client.HTTPConnection(parts.hostname, parts.port)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_the_viewer_s_own_pages_get_the_start_page(http, installed):
    start = (installed / "index.html").read_bytes()
    assert http.get("/ohif/").content == start
    assert http.get("/ohif/annotate?StudyInstanceUIDs=1.2").content == start


def test_without_the_npm_package_the_viewer_of_the_monailabel_wheel_is_served(http, not_installed):
    build = find_build()
    assert not build.extensible
    assert http.get("/ohif/").content == build.start_page.read_bytes()
    assert configuration(http)["extensions"] == []


def test_the_only_data_source_is_our_proxy(http, installed):
    config = configuration(http)
    assert [source["configuration"]["qidoRoot"] for source in config["dataSources"]] == ["/dicomweb"]
    assert "dangerouslyUseDynamicConfig" not in config


def test_every_module_the_configuration_names_is_served_as_a_module(http, installed):
    config = configuration(http)
    for address in config["extensions"] + config["modes"]:
        answer = http.get(address)
        assert answer.status_code == 200, address
        assert answer.headers["content-type"].startswith("text/javascript")


def test_only_browser_modules_leave_the_package(http, installed):
    for name in ("build.py", "__init__.py", "..%2f..%2fsettings.py", "nothing.js"):
        assert http.get(f"/ohif/carina/{name}").status_code == 404, name


def test_a_packed_file_goes_to_clients_that_take_it_and_hashed_names_are_kept(http, installed):
    packed = http.get("/ohif/app.bundle.0f6159c501addfe9.js")
    assert packed.text == "packed"
    assert packed.headers["content-encoding"] == "gzip"
    plain = http.get("/ohif/app.bundle.0f6159c501addfe9.js", headers={"Accept-Encoding": "identity"})
    assert plain.text == "plain"
    assert "immutable" in plain.headers["cache-control"]
    assert http.get("/ohif/").headers["cache-control"] == "no-cache"
    assert http.get("/ohif/0ddf166f7a343eda.wasm").headers["content-type"] == "application/wasm"


def test_a_file_that_is_gone_is_not_answered_with_a_page(http, installed):
    assert http.get("/ohif/app.bundle.1111111111111111.js").status_code == 404


def test_pages_may_run_only_scripts_of_the_same_origin_and_their_own_inline_ones(http, installed):
    policy = dict(part.split(" ", 1) for part in http.get("/ohif/").headers["content-security-policy"].split("; "))
    # printf "window.PUBLIC_URL='/ohif/'" | openssl dgst -sha256 -binary | base64
    assert policy["script-src"] == ("'self' 'unsafe-eval' 'sha256-+ZzFrklhJHzgNmmoDcZ5T+6NhupDgLj2h2alBEnnfwc='")
    assert policy["connect-src"] == "'self' blob: data:"


def test_no_path_leaves_the_viewer_s_folder(http, not_installed):
    for path in (
        "/ohif/../../../config.py",
        "/ohif/..%2f..%2f..%2fconfig.py",
        "/ohif//etc/passwd",
        "/ohif/%2e%2e/x",
        "/ohif/%00",
    ):
        status, body = raw(http, path)
        assert status == 404 or b"<!doctype html>" in body.lower(), path
        assert b"MONAI_LABEL" not in body
        assert b"root:" not in body
