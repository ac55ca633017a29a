"""What a browser itself says of the page that a request comes from is enough to refuse those of other sites."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.integration, pytest.mark.slow]

_POST = "url => fetch(url, {method: 'POST', mode: 'no-cors'}).then(() => null, () => null)"


class _Page(SimpleHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<p>elsewhere</p>")

    def log_message(self, *arguments):
        """Nothing."""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """A page of another program on this machine."""
    with HTTPServer(("127.0.0.1", 0), _Page) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.mark.parametrize(("own", "status"), [(True, 404), (False, 403)])
def test_only_a_page_of_the_server_s_own_is_told_that_an_image_is_unknown(chromium, place, elsewhere, own, status):
    with chromium.new_context() as context:
        page = context.new_page()
        page.goto(place.server.url if own else elsewhere)
        with page.expect_response(lambda answer: answer.request.method == "POST") as asked:
            page.evaluate(_POST, f"{place.server.url}/carina/leases/1.2.3")
        assert asked.value.status == status
