"""What several tests of the command line use."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from carina.cli import app


@dataclass(frozen=True)
class Ran:
    exit_code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        """The last line of stdout."""
        return json.loads(self.stdout.splitlines()[-1])


@pytest.fixture
def carina():
    """Run `carina` with arguments, in this process."""

    def run(*arguments: object) -> Ran:
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(argument) for argument in arguments])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ran(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def phantoms(carina, tmp_path: Path) -> Path:
    """Three tiny phantoms in the middle of the chest, oblique, with their truth."""
    folder = tmp_path / "phantoms"
    ran = carina(
        "phantom", "--out", folder, "--count", 3, "--seed", 7, "--shape", "32,30,24", "--spacing", "4,4,5",
        "--oblique", "6,-4,9",
    )  # fmt: skip
    assert ran.exit_code == 0, ran.stderr
    return folder


@pytest.fixture
def untrained_model(carina_home: Path) -> str:
    """A served version of thorax_ct with random weights."""
    return serve_untrained("thorax_ct")


@pytest.fixture
def untrained_covid19(carina_home: Path) -> str:
    """A served version of cxr_covid19 with random weights."""
    return serve_untrained("cxr_covid19")


def serve_untrained(task: str) -> str:
    import torch

    from carina.models.store import ModelStore
    from carina.networks.factory import build_network
    from carina.registry import find_tasks
    from carina.settings import Settings

    spec = find_tasks().get(task)
    torch.manual_seed(0)
    models = ModelStore(Settings().models_dir)
    version = models.add(
        spec.name, build_network(spec).state_dict(), fingerprint=spec.fingerprint(), labels=spec.labels.indices
    )
    models.promote(spec.name, version.version, reason="test")
    return version.version
