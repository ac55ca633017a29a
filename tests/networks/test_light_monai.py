"""A process that builds a network does not wait for libraries it has no use for, and can still use them."""

from __future__ import annotations

import subprocess
import sys
import textwrap

UNUSED = ("ignite", "mlflow", "pandas", "scipy.signal", "sklearn")


def run(code: str) -> None:
    """In a process of its own: this one has MONAI loaded."""
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]


def test_a_network_is_built_without_what_monai_would_like_to_have():
    run(
        f"""
        import sys
        from carina.networks.factory import build_network
        from carina.registry import find_tasks

        for spec in find_tasks():
            if spec.learns:
                build_network(spec)
        loaded = [name for name in {UNUSED!r} if name in sys.modules]
        assert "monai" in sys.modules and loaded == [], loaded

        import mlflow, pandas, scipy.signal
        """
    )


def test_who_imported_monai_before_keeps_the_whole_of_it():
    run(
        """
        import sys
        import monai
        from carina.networks.light_monai import load_monai

        load_monai()
        assert "pandas" in sys.modules
        assert monai.utils.optional_import("ignite")[1]
        """
    )
