"""A run is readable with MLflow's own client, stays in its folder, and cannot fail a training."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from carina.models.tracking import MlflowTracking, NoTracking


@pytest.mark.slow
def test_mlflow_reads_back_everything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tracking = MlflowTracking(tmp_path / "mlruns")
    run = tracking.start("toy_ct", name="first", parameters={"learning_rate": 0.1, "patch_voxels": (1, 2, 3)})
    run.log_epoch(1, {"loss": 1.5, "validation_dice/liver": 0.25, "undefined": float("nan")})
    run.log_epoch(2, {"loss": 0.5})
    run.log_json("data/manifest.json", {"cases": []})
    (tmp_path / "overlay.png").write_bytes(b"png")
    run.log_picture(tmp_path / "overlay.png")
    run.finish(status="FINISHED", tags={"promoted": "true", "name": "toy_ct v1", "note": "# well"})

    from mlflow.tracking import MlflowClient

    client = MlflowClient(tracking_uri=tracking.uri)
    (experiment,) = (found for found in client.search_experiments() if found.name == "toy_ct")
    (read,) = client.search_runs([experiment.experiment_id])
    assert read.data.params == {"learning_rate": "0.1", "patch_voxels": "(1, 2, 3)"}
    assert [(point.step, point.value) for point in client.get_metric_history(read.info.run_id, "loss")] == [
        (1, 1.5),
        (2, 0.5),
    ]
    assert read.data.metrics["validation_dice/liver"] == 0.25
    assert "undefined" not in read.data.metrics
    assert read.data.tags["promoted"] == "true"
    assert read.info.status == "FINISHED"
    assert (read.info.run_name, read.data.tags["mlflow.note.content"]) == ("toy_ct v1", "# well")
    kept = [entry.path for folder in ("data", "pictures") for entry in client.list_artifacts(read.info.run_id, folder)]
    assert kept == ["data/manifest.json", "pictures/overlay.png"]
    assert {path.name for path in tmp_path.iterdir()} == {"mlruns", "overlay.png"}
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_a_folder_that_cannot_be_written_only_logs(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with caplog.at_level(logging.WARNING, logger="carina"):
        run = MlflowTracking(blocked).start("toy_ct", name="first", parameters={})
        run.log_epoch(1, {"loss": 1.0})
        run.log_picture(Path("nowhere.png"))
        run.finish(status="FINISHED", tags={})
    assert "could not start a run" in caplog.text


def test_no_tracking_forgets_everything(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = NoTracking().start("toy_ct", name="first", parameters={"a": 1})
    run.log_epoch(1, {"loss": 1.0})
    run.log_json("data.json", {})
    run.log_picture(Path("nowhere.png"))
    run.finish(status="FAILED", tags={})
    assert not list(tmp_path.iterdir())
