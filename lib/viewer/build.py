"""Which OHIF build is served, how it is configured, and what its pages may do."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import MissingDependencyError

BASE = "/ohif"
MODULES = f"{BASE}/carina"
DICOMWEB = "/dicomweb"
# The wheel's own MONAI Label panel reads its server's address from a cookie, and tries port 8000 without one.
_MONAI_LABEL_ADDRESS = (
    "document.cookie = `MONAILABEL_SERVER_URL=${escape(location.origin + '/')}; path=/ohif; SameSite=Strict`;\n"
)
_INLINE_SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class OhifBuild:
    """A built viewer that expects to be served under `/ohif/`.

    Attributes:
        folder: Holds `index.html` and the build's files.
        extensible: Whether carina's panel fits it; the older build of the monailabel wheel has MONAI Label's own.
    """

    folder: Path
    extensible: bool

    @property
    def start_page(self) -> Path:
        """What every page of the viewer's own router is answered with."""
        return self.folder / "index.html"


def find_build() -> OhifBuild:
    """The build `scripts/ohif` installed (`CARINA_OHIF` names another folder), else that of the monailabel wheel.

    Raises:
        MissingDependencyError: If there is neither.
    """
    installed = Path(os.environ.get("CARINA_OHIF") or Path(sys.prefix, "share", "carina", "ohif")).resolve()
    if (installed / "index.html").is_file():
        return OhifBuild(folder=installed, extensible=True)
    spec = importlib.util.find_spec("monailabel")
    for place in spec.submodule_search_locations or () if spec else ():
        folder = Path(place, "endpoints", "static", "ohif").resolve()
        if (folder / "index.html").is_file():
            return OhifBuild(folder=folder, extensible=False)
    raise MissingDependencyError("OHIF must be installed to be served, got none. Run scripts/ohif.")


def modules_folder() -> Path:
    """Where carina's own modules for the browser lie."""
    return Path(__file__).resolve().parent


def app_config(build: OhifBuild) -> str:
    """OHIF's `app-config.js`: one DICOMweb source, our proxy; no source that a page's address could name."""
    source = {
        "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
        "sourceName": "carina",
        "configuration": {
            "friendlyName": "carina",
            "name": "carina",
            "qidoRoot": DICOMWEB,
            "wadoRoot": DICOMWEB,
            "imageRendering": "wadors",
            "thumbnailRendering": "wadors",
            "enableStudyLazyLoad": True,
            "supportsFuzzyMatching": False,
            "supportsWildcard": True,
            "supportsReject": False,
            "dicomUploadEnabled": False,
            "bulkDataURI": {"enabled": True},
            "omitQuotationForMultipartRequest": True,  # Debian's Orthanc (1.10, plugin 1.7) answers 400 to quotes
            "qidoSupportsIncludeField": False,  # and ignores lists of fields
        },
    }
    config = {
        "name": "carina",
        "routerBasename": BASE,
        "showStudyList": True,
        "extensions": [f"{MODULES}/extension.js"] if build.extensible else [],
        "modes": [f"{MODULES}/mode.js"] if build.extensible else [],
        "customizationService": {},
        "showWarningMessageForCrossOrigin": False,
        "showCPUFallbackMessage": True,
        "showLoadingIndicator": True,
        "strictZSpacingForVolumeViewport": True,
        "investigationalUseDialog": {"option": "configure", "days": 30},
        "defaultDataSourceName": "carina",
        "dataSources": [source],
    }
    address = "" if build.extensible else _MONAI_LABEL_ADDRESS
    return f"window.config = {json.dumps(config, indent=2)};\n{address}"


def content_policy(build: OhifBuild) -> str:
    """The Content-Security-Policy of the viewer's files.

    What it allows beyond the same origin, and why: the page's own inline scripts by their hashes; `unsafe-eval`, as
    OHIF's image decoders are WebAssembly whose glue for JPEG-LS and JPEG compiles functions, and the `ndarray` that
    reads SEG objects does so too; `blob:` workers, images and fetches, which Cornerstone makes of decoded data; inline
    styles, which React sets on its elements; `data:` images and fonts inside its style sheets. No script comes from
    elsewhere.
    """
    scripts = " ".join(_inline_hashes(build.start_page))
    return "; ".join(
        (
            "default-src 'self'",
            f"script-src 'self' 'unsafe-eval' {scripts}".strip(),
            "worker-src 'self' blob:",
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "font-src 'self' data:",
            "connect-src 'self' blob: data:",
            "object-src 'none'",
            "base-uri 'self'",
            "form-action 'self'",
            "frame-ancestors 'self'",
        )
    )


@cache
def _inline_hashes(page: Path) -> tuple[str, ...]:
    texts = _INLINE_SCRIPT.findall(page.read_text(encoding="utf-8"))
    digests = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in texts)
    return tuple(f"'sha256-{digest}'" for digest in digests)
