"""Reports for people: one HTML file that needs nothing else, with tables and pictures inside it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

_STYLE = (
    "body{font:15px system-ui;margin:2em;max-width:70em}td,th{padding:.3em .7em;text-align:right;vertical-align:top}"
    "td:first-child,th:first-child,.words td,.words th{text-align:left}img{max-width:100%}"
    "tr:nth-child(even){background:#f5f5f5}.ok{color:#17692c}.flagged{color:#b00020;font-weight:bold}"
    ".cannot-tell{color:#8a5a00}"
)


def write_page(path: Path, *, title: str, heading: str, blocks: Iterable[str]) -> None:
    """Write one page.

    Args:
        path: `.html`.
        title: Of the window; plain text, as the heading is.
        heading: First line.
        blocks: HTML, as the other functions of this module give it.
    """
    path.write_text(
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f"<style>{_STYLE}</style></head><body>\n<h1>{escape(heading)}</h1>\n"
        + "\n".join(blocks)
        + "\n</body></html>\n",
        encoding="utf-8",
    )


def heading(text: str) -> str:
    """A heading below the first."""
    return f"<h2>{escape(text)}</h2>"


def paragraph(text: str) -> str:
    """Plain text."""
    return f"<p>{escape(text)}</p>"


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    words: bool = False,
    classes: Mapping[str, str] | None = None,
) -> str:
    """A table of plain text.

    Args:
        columns: Its head.
        rows: Its lines.
        words: Whether cells hold sentences, which start at the left, and not figures.
        classes: Text of a cell → the class that such a cell has.
    """
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    body = "\n".join(f"<tr>{''.join(_cell(text, classes or {}) for text in cells)}</tr>" for cells in rows)
    return f"<table{' class=words' if words else ''}><tr>{head}</tr>\n{body}</table>"


def picture(png: bytes, *, described: str) -> str:
    """A picture inside the page.

    Args:
        png: The file's content.
        described: What it shows, for who cannot see it.
    """
    return f'<img alt="{escape(described)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'


def _cell(text: str, classes: Mapping[str, str]) -> str:
    kind = classes.get(text)
    return f"<td{f' class={kind}' if kind else ''}>{escape(text)}</td>"
