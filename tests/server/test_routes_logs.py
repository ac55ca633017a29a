from __future__ import annotations

import pytest

from carina.server.logs import log_path


@pytest.fixture
def log(settings):
    path = log_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"line {number} <b>\n" for number in range(5)))
    return path


def test_the_last_lines_come_as_text_or_as_a_page_without_markup_of_theirs(http, log):
    assert http.get("/logs/?text=true&lines=2").text == "line 3 <b>\nline 4 <b>\n"
    page = http.get("/logs/?lines=1&refresh=1").text
    assert "line 4 &lt;b&gt;" in page
    assert 'content="3"' in page


def test_a_missing_log_and_silly_counts_are_refused(http):
    assert http.get("/logs/?lines=0").status_code == 422
    assert http.get("/logs/").status_code == 404


def test_the_gpu_page_answers_with_and_without_a_gpu(http):
    answer = http.get("/logs/gpu/")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
