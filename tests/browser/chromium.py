"""How Chromium is found and started, by tests and benchmarks."""

from __future__ import annotations

import shutil

# Software rendering, and nothing that talks to the internet by itself.
ARGUMENTS = [
    "--no-sandbox",
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--ignore-gpu-blocklist",
    "--disable-gpu-compositing",  # the page itself would go through that software GPU, too: five times the work
]
AGREED = "localStorage.setItem('investigationalUseDialog', JSON.stringify({expiryDate: '2999-01-01'}))"
"""A script for new pages: OHIF's dialog about investigational use was read."""


def find_chromium() -> str | None:
    """The browser's program, if one is installed."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
