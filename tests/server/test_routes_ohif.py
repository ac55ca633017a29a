from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from carina.server.routes_ohif import ohif_folder


def raw(http_client, path: str) -> tuple[int, bytes]:
    """Ask without any normalisation of the path by the client."""
    parts = urlsplit(str(http_client.base_url))
    connection = http.client.HTTPConnection(parts.hostname, parts.port)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, body


def test_the_viewer_s_files_are_served_and_its_own_pages_get_the_start_page(http):
    start = (ohif_folder() / "index.html").read_bytes()
    assert http.get("/ohif/").content == start
    assert http.get("/ohif/viewer?StudyInstanceUIDs=1.2").content == start
    assert http.get("/ohif/app-config.js").content == (ohif_folder() / "app-config.js").read_bytes()


def test_no_path_leaves_the_viewer_s_folder(http):
    for path in ("/ohif/../../../config.py", "/ohif/..%2f..%2f..%2fconfig.py", "/ohif//etc/passwd", "/ohif/%2e%2e/x"):
        status, body = raw(http, path)
        assert status == 404 or b"<!doctype html>" in body.lower(), path
        assert b"MONAI_LABEL" not in body
        assert b"root:" not in body
