"""Screenshots for the documentation, written only when `CARINA_SCREENSHOTS` asks for them."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).parents[2] / "docs" / "images"
_REST_MS = 3000


def keep_picture(page, name: str) -> None:
    """Write what is on screen to `docs/images`, in 256 colours so that it stays small."""
    if not os.environ.get("CARINA_SCREENSHOTS"):
        return
    FOLDER.mkdir(exist_ok=True)
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(_REST_MS)
    picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
    picture.quantize(128).save(FOLDER / f"{name}.png", optimize=True)
