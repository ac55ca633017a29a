from __future__ import annotations

from html.parser import HTMLParser

from carina.pages import heading, paragraph, picture, table, write_page


class Reader(HTMLParser):
    """The text of a page, the classes of its cells, and whether what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.classes: dict[str, str] = {}
        self.open: list[tuple[str, str]] = []

    def handle_starttag(self, tag, attrs):
        if tag not in ("meta", "img"):
            self.open.append((tag, dict(attrs).get("class") or ""))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if data.strip():
            self.texts.append(data)
            self.classes[data] = self.open[-1][1]


def test_text_from_outside_stays_text_and_marked_cells_have_their_class(tmp_path):
    path = tmp_path / "page.html"
    write_page(
        path,
        title="a < b",
        heading="<script>",
        blocks=[
            heading("R&D"),
            paragraph("1 < 2"),
            table(("<b>",), [["ok"], ["<i>"]], classes={"ok": "fine"}),
            picture(b"png", described='a "quoted" one'),
        ],
    )
    reader = Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    assert reader.open == []
    assert reader.texts[-6:] == ["<script>", "R&D", "1 < 2", "<b>", "ok", "<i>"]
    assert (reader.classes["ok"], reader.classes["<i>"]) == ("fine", "")
    assert 'alt="a &quot;quoted&quot; one" src="data:image/png;base64,cG5n"' in path.read_text(encoding="utf-8")
