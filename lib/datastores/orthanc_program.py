"""Where Orthanc and its DICOMweb plugin are on this machine."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..errors import MissingDependencyError

_BINARIES = ("/usr/sbin/Orthanc", "/usr/local/sbin/Orthanc", "/opt/orthanc/bin/Orthanc")
_PLUGIN_NAME = "libOrthancDicomWeb"
_PLUGIN_FOLDERS = (
    "/usr/share/orthanc/plugins",
    "/usr/lib/orthanc",
    "/usr/local/share/orthanc/plugins",
    "/opt/orthanc/plugins",
)
_INSTALL = "On Debian and Ubuntu: apt-get install orthanc orthanc-dicomweb"


def find_orthanc() -> Path:
    """The Orthanc binary: `CARINA_ORTHANC`, else where packages put it, else in `PATH`.

    Raises:
        MissingDependencyError: If there is none; names the packages to install.
    """
    override = os.environ.get("CARINA_ORTHANC")
    candidates = [override] if override else [*_BINARIES, shutil.which("Orthanc") or ""]
    for candidate in candidates:
        if candidate and os.access(candidate, os.X_OK) and Path(candidate).is_file():
            return Path(candidate)
    where = f"CARINA_ORTHANC names {override}, which is no program" if override else "it was not found"
    raise MissingDependencyError(f"Orthanc must be installed, but {where}. {_INSTALL}")


def find_dicomweb_plugin() -> Path:
    """Orthanc's DICOMweb plugin: `CARINA_ORTHANC_DICOMWEB`, else where packages put it.

    Raises:
        MissingDependencyError: If there is none; names the packages to install.
    """
    override = os.environ.get("CARINA_ORTHANC_DICOMWEB")
    if override and Path(override).is_file():
        return Path(override)
    for folder in _PLUGIN_FOLDERS:
        found = sorted(Path(folder).glob(f"{_PLUGIN_NAME}.so*"))
        if found:
            return found[0]
    raise MissingDependencyError(f"Orthanc's DICOMweb plugin must be installed, but was not found. {_INSTALL}")
