from __future__ import annotations

import subprocess
import sys

import pytest

PRELUDE = "import sys; from carina.server import compat; compat.install(); compat.install(); "


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", PRELUDE + code], capture_output=True, text=True, timeout=300)


@pytest.mark.slow
def test_monailabel_s_app_imports_on_the_installed_libraries():
    done = run("import monailabel.interfaces.app, monailabel.datastore.utils.convert")
    assert done.returncode == 0, done.stderr


def test_the_stand_in_has_the_storage_classes_pydicom_seg_asks_for():
    done = run(
        "import pydicom._storage_sopclass_uids as old, pydicom.uid;"
        "assert old.CTImageStorage == pydicom.uid.CTImageStorage == '1.2.840.10008.5.1.4.1.1.2';"
        "assert old.SegmentationStorage == '1.2.840.10008.5.1.4.1.1.66.4'"
    )
    assert done.returncode == 0, done.stderr


def test_without_it_the_module_is_missing():
    done = subprocess.run(
        [sys.executable, "-c", "import pydicom._storage_sopclass_uids"], capture_output=True, text=True, timeout=300
    )
    assert "No module named 'pydicom._storage_sopclass_uids'" in done.stderr


def test_preparing_a_process_loads_neither_torch_nor_monailabel():
    done = run("assert not {'torch', 'monai', 'monailabel'} & set(sys.modules)")
    assert done.returncode == 0, done.stderr


def test_the_server_s_modules_load_no_torch():
    done = run("import carina.server.app; assert not {'torch', 'monai'} & set(sys.modules)")
    assert done.returncode == 0, done.stderr
