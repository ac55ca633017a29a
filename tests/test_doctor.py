from __future__ import annotations

import socket

import pytest

from carina.doctor import check_home, check_orthanc, check_port, check_tasks, check_torch, check_versions, examine
from carina.models.store import ModelStore
from carina.registry import find_tasks
from carina.settings import Settings


def test_every_finding_that_is_not_ok_says_what_to_do():
    findings = list(examine(Settings(port=1 << 14)))

    assert {"Python", "numpy", "pydicom", "monai", "monailabel", "torchvision", "GPU", "disk"} <= {
        finding.what for finding in findings
    }
    assert all(finding.fix for finding in findings if finding.state != "ok")
    assert all(not finding.fix for finding in findings if finding.state == "ok")


def test_this_installation_has_versions_that_fit():
    assert {finding.state for finding in check_versions()} == {"ok"}


def test_torchvision_and_torch_work_together():
    findings = {finding.what: finding for finding in check_torch()}

    assert findings["torchvision"].state == "ok"


def test_a_port_in_use_is_found():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        (finding,) = check_port(Settings(port=taken.getsockname()[1]))

    assert finding.state == "warn"
    assert "--port" in finding.fix


def test_a_missing_orthanc_is_known_not_fatal(monkeypatch, tmp_path):
    monkeypatch.setenv("CARINA_ORTHANC", str(tmp_path / "nothing"))

    finding = next(iter(check_orthanc()))

    assert finding.state == "warn"
    assert "--store" in finding.fix


def test_a_home_that_is_no_folder_fails(tmp_path):
    (tmp_path / "file").touch()

    (finding,) = check_home(Settings(home=tmp_path / "file"))

    assert finding.state == "fail"
    assert "CARINA_HOME" in finding.fix


@pytest.fixture
def served(carina_home):
    from carina.networks.factory import build_network

    spec = find_tasks().get("thorax_ct")
    models = ModelStore(Settings().models_dir)
    version = models.add(
        spec.name, build_network(spec).state_dict(), fingerprint=spec.fingerprint(), labels=spec.labels.indices
    )
    return models.promote(spec.name, version.version, reason="test")


def _thorax():
    return next(finding for finding in check_tasks(Settings()) if finding.what == "task thorax_ct")


def test_a_task_without_a_model_says_how_to_train_one():
    assert _thorax().state == "warn"
    assert "carina train thorax_ct" in _thorax().fix


def test_a_served_version_is_named(served):
    assert _thorax().state == "ok"
    assert "v1" in _thorax().found


def test_lost_weights_fail(served):
    served.weights_path.unlink()

    assert _thorax().state == "fail"
    assert "rollback" in _thorax().fix


def test_doctor_exits_with_1_when_something_must_be_fixed(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from carina.cli import app

    (tmp_path / "file").touch()
    monkeypatch.setenv("CARINA_HOME", str(tmp_path / "file"))

    result = CliRunner().invoke(app, ["doctor", "--json"])

    assert result.exit_code == 1
    assert '"ok": false' in result.stdout.splitlines()[-1]
