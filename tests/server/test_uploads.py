"""Files of requests: each process's own."""

from __future__ import annotations

import subprocess
import sys

from carina.server.uploads import clear_temporary, temporary_folder, temporary_root


def test_a_server_that_starts_leaves_the_files_of_another_one_that_runs(settings):
    with temporary_folder(settings) as ours:
        start = "import sys; from pathlib import Path; from carina.settings import Settings; "
        start += "from carina.server.uploads import clear_temporary; clear_temporary(Settings(home=Path(sys.argv[1])))"
        subprocess.run([sys.executable, "-c", start, str(settings.home)], check=True)
        assert ours.is_dir()
    assert not ours.exists()


def test_what_a_killed_server_left_is_removed(settings):
    root = temporary_root(settings)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    for name in (f"{dead.pid}-x", "unnamed"):
        (root / name).mkdir(parents=True)
    clear_temporary(settings)
    assert list(root.iterdir()) == []
