from __future__ import annotations

import re

import pytest


def test_the_page_loads_only_what_this_server_has(http):
    page = http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert "/ohif/" in addresses
    for address in addresses:
        if address not in ("data:,", "/logs"):  # the log's file is there once a server runs
            assert http.get(address).status_code == 200, address


def test_the_page_reads_only_routes_that_answer(http):
    script = http.get("/ohif/carina/landing.js").text
    paths = re.findall(r'"(/(?:info|carina)[a-z/]*)"', script)
    assert {"/info", "/carina/tasks", "/carina/infer", "/carina/jobs", "/carina/deliveries"} <= set(paths)
    for path in paths:
        answer = http.post(path) if path.endswith("/retry") else http.get(path)
        assert answer.status_code == 200, path


@pytest.mark.parametrize("rule", ["default-src 'self'", "object-src 'none'", "frame-ancestors 'none'"])
def test_the_page_may_use_nothing_from_elsewhere(http, rule):
    assert rule in http.get("/").headers["content-security-policy"]
