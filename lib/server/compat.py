"""Makes monailabel 0.8.5 importable on today's libraries, and keeps it off the internet.

`install()` must run before anything of `monailabel` is imported, in every process. It is idempotent.

- `pydicom_seg` (which monailabel imports) wants `pydicom._storage_sopclass_uids`, gone since pydicom 3. A module of
  that name is built from the `*Storage` names of `pydicom.uid`.
- `MONAILabelApp` fetches a DICOM converter from the internet when its studies are a DICOMweb URL. carina writes SEG
  itself, so `apps/radiology` overrides that step; here only the settings that reach for the network are turned off.
"""

from __future__ import annotations

import os
import sys
import types
import warnings

import pydicom.uid

_STORAGE_MODULE = "pydicom._storage_sopclass_uids"

# Read once by `monailabel.config`: what would start work or open connections that carina does itself or not at all.
_QUIET_SETTINGS = {
    "MONAI_LABEL_AUTO_UPDATE_SCORING": "false",
    "MONAI_LABEL_TRACKING_ENABLED": "false",
    "MONAI_LABEL_SESSIONS": "false",
    "MONAI_LABEL_DATASTORE_AUTO_RELOAD": "false",
}


def install() -> None:
    """Prepare this process for `import monailabel`.

    Not locked: call it before threads start, as every entry point of carina does.
    """
    if _STORAGE_MODULE not in sys.modules:
        sys.modules[_STORAGE_MODULE] = _storage_module()
    for name, value in _QUIET_SETTINGS.items():
        os.environ.setdefault(name, value)
    # `cgi`, `pkg_resources` and pydantic v1 idioms inside monailabel: nothing a user of carina can act on.
    warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"monailabel\..*")


def _storage_module() -> types.ModuleType:
    """A stand-in for pydicom 2's private module: every storage SOP class UID by its keyword."""
    module = types.ModuleType(_STORAGE_MODULE)
    for name in dir(pydicom.uid):
        value = getattr(pydicom.uid, name)
        if name.endswith("Storage") and isinstance(value, pydicom.uid.UID):
            setattr(module, name, value)
    return module
