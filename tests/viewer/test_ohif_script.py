"""`scripts/ohif` with a stand-in for npm: what it installs, what it refuses, and that it never stops a setup."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "ohif"
FILES = {
    "LICENSE": "MIT",
    "dist/index.html": (
        '<script>window.PUBLIC_URL="/"</script><link href="/app.bundle.css"><script src="/app.bundle.1.js"></script>'
    ),
    "dist/app.bundle.1.js": "__webpack_require__.p = \"/\";\nbrowserImportFunction('/dicom-microscopy-viewer/x.js')\n"
    + " " * 2000,
    "dist/app.bundle.css": "@font-face{src:url(/0ddf166f7a343eda.woff2)}",
    "dist/app-config.js": "window.config = {}",
    "dist/google.js": "",
    "dist/sw.js": "",
    "dist/_headers": "",
    "dist/_redirects": "",
    "dist/ort/large.wasm": "not wanted",
    "dist/app.js.map": "not wanted",
}


@pytest.fixture
def project(tmp_path) -> Path:
    if shutil.which("node") is None:
        pytest.skip("Node.js is not installed")
    (tmp_path / "scripts").mkdir()
    (tmp_path / "bin").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts" / "ohif")
    return tmp_path


def package(project: Path, *, integrity: str | None = None) -> None:
    """What npm will give out, and the hash that is pinned."""
    buffer = BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name, text in FILES.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(text.encode())
            archive.addfile(entry, BytesIO(text.encode()))
    (project / "given.tgz").write_bytes(buffer.getvalue())
    digest = base64.b64encode(hashlib.sha512(buffer.getvalue()).digest()).decode()
    (project / "scripts" / "ohif.lock").write_text(f"@ohif/app 9.9.9 {integrity or f'sha512-{digest}'}\n")


def run(project: Path, npm: str) -> subprocess.CompletedProcess[str]:
    program = project / "bin" / "npm"
    program.write_text(f"#!/bin/sh\necho asked >>{project}/asked\n{npm}\n")
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    return subprocess.run([project / "scripts" / "ohif"], env=environment, capture_output=True, text=True, check=False)


def test_the_package_is_made_ready_for_its_address_and_a_second_run_asks_nobody(project):
    package(project)
    ran = run(project, f"cp {project}/given.tgz .")
    assert ran.returncode == 0, ran.stderr
    folder = project / ".venv" / "share" / "carina" / "ohif"
    page = (folder / "index.html").read_text()
    assert 'PUBLIC_URL="/ohif/"' in page
    assert 'href="/ohif/app.bundle.css"' in page
    assert 'src="/ohif/app.bundle.1.js"' in page
    script = (folder / "app.bundle.1.js").read_text()
    assert '__webpack_require__.p = "/ohif/";' in script
    assert "'/ohif/dicom-microscopy-viewer/" in script
    assert "url(/ohif/0ddf166f7a343eda.woff2)" in (folder / "app.bundle.css").read_text()
    assert (folder / "app.bundle.1.js.gz").is_file()
    assert (folder / "LICENSE").read_text() == "MIT"
    assert not (folder / "ort").exists()
    assert not list(folder.glob("*.map"))

    again = run(project, "exit 1")
    assert (again.returncode, again.stderr) == (0, "")
    assert (project / "asked").read_text().count("asked") == 1


def test_another_file_than_the_pinned_one_is_refused_and_nothing_is_installed(project):
    package(project, integrity="sha512-AAAA")
    ran = run(project, f"cp {project}/given.tgz .")
    assert ran.returncode == 1
    assert "must have the hash of scripts/ohif.lock" in ran.stderr
    assert not (project / ".venv" / "share" / "carina" / "ohif").exists()
    assert list((project / ".venv" / "share" / "carina").iterdir()) == []


def test_without_network_setup_goes_on_and_says_what_serves(project):
    package(project)
    ran = run(project, "exit 1")
    assert ran.returncode == 0
    assert "older one of the monailabel wheel serves" in ran.stderr
    assert not (project / ".venv" / "share" / "carina" / "ohif").exists()
