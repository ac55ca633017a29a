"""What a training leaves in MLflow, read with MLflow's own client: curves, picture, data manifest, decision."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from carina.infers.sliding_window import predict
from carina.models.registry_mlflow import ALIAS, mirror
from carina.models.store import ModelStore
from carina.models.tracking import MlflowTracking, open_client
from carina.trainers.splits import FileSplitStore
from carina.trainers.training import train


@pytest.mark.slow
def test_a_training_can_be_looked_at_in_mlflow(tmp_path, spec, toy_case):
    models, folder = ModelStore(tmp_path / "models"), tmp_path / "mlruns"
    result = train(
        [toy_case(seed) for seed in range(4)],
        spec=spec,
        models=models,
        splits=FileSplitStore(models.root),
        predict=predict,
        work_dir=tmp_path / "work",
        device="cpu",
        tracking=MlflowTracking(folder),
    )
    mirror(models, folder, spec.name)

    client = open_client(folder)
    experiment = client.get_experiment_by_name(spec.name)
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.run_name == "toy_ct v1"
    for label in spec.labels.names:
        curve = client.get_metric_history(run.info.run_id, f"dice/{label}")
        assert [(point.step, point.value) for point in curve] == [
            (epoch.number, epoch.per_label[label]) for epoch in result.history
        ]
        assert run.data.metrics[f"holdout_dice/{label}"] == result.version.metrics[label]["dice"]

    def kept(path: str) -> Path:
        return Path(client.download_artifacts(run.info.run_id, path, str(tmp_path)))

    assert kept("pictures/overlay.png").read_bytes() == result.overlay.read_bytes()
    assert json.loads(kept("data/manifest.json").read_text()) == result.version.data
    assert json.loads(kept("gate/decision.json").read_text()) == result.version.decision()
    note = run.data.tags["mlflow.note.content"]
    assert "### toy_ct v1: **promoted**" in note
    assert "Nothing served yet; better than chance on liver, spleen" in note
    assert client.get_model_version_by_alias(spec.name, ALIAS).run_id == run.info.run_id
