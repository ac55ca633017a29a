"""What a crash leaves among the label files is tidied up, and nothing that was acknowledged is touched."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from carina.annotations.sweeping import sweep

_KILLED_BEFORE_THE_ROW = """
import os, signal, sys
from pathlib import Path
import numpy as np
from carina.annotations.files import LabelFiles, LocalFileSystem
from carina.annotations.store import AnnotationStore, open_annotations
from carina.geometry import Grid, Volume
from carina.settings import Settings

class Dying(LocalFileSystem):
    def flush(self, stream):
        super().flush(stream)
        if sys.argv[2] == "flush":
            os.kill(os.getpid(), signal.SIGKILL)

    def publish(self, part, final):
        super().publish(part, final)
        os.kill(os.getpid(), signal.SIGKILL)

settings = Settings(home=Path(sys.argv[1]))
opened = open_annotations(settings)
files = LabelFiles(settings.annotations_dir, file_system=Dying())
store = AnnotationStore(opened.database, files=files, patients=opened.patients)
store.submit("1.2.3", Volume(np.ones((4, 4, 4), np.uint8), Grid((4, 4, 4), np.eye(4))), names={"liver": 1})
"""


@pytest.mark.parametrize(("step", "deleted", "set_aside"), [("flush", 1, 0), ("publish", 0, 1)])
def test_a_kill_between_file_and_row_is_harmless_and_swept(settings, store, submit, step, deleted, set_aside):
    kept = submit()
    done = subprocess.run(
        [sys.executable, "-c", _KILLED_BEFORE_THE_ROW, str(settings.home), step], check=False, timeout=120
    )
    assert done.returncode == -signal.SIGKILL
    assert [version.id for version in store.versions("1.2.3")] == [kept.id]

    assert sweep(store).set_aside == ()  # too young: it might belong to a submit under way
    for path in store.files.folder.rglob("*"):
        os.utime(path, (0, 0))
    swept = sweep(store)

    assert (swept.deleted, len(swept.set_aside)) == (deleted, set_aside)
    assert all(path.is_file() for path in swept.set_aside)
    assert store.label_path(kept).is_file()
    assert sweep(store).set_aside == ()
