"""A training job of findings learns from what people answered, and goes through the same gate and store."""

from __future__ import annotations

import pytest

from carina.annotations.submit import submit_findings
from carina.datastores.port import open_store
from carina.errors import InvalidInputError
from carina.images import write_image
from carina.jobs import score
from carina.jobs.events import Reporter
from carina.jobs.folder import JobFolder
from carina.jobs.kind import Work
from carina.jobs.train import KIND
from carina.models.store import ModelStore
from tests.trainers.findings import SPEC, cases


def test_answers_become_a_version_with_calibration_and_a_decision(settings, annotations, tmp_path):
    folder, images = JobFolder(tmp_path / "job"), tmp_path / "pictures"
    folder.path.mkdir()
    images.mkdir()
    answered = {}
    for case in cases(16):
        write_image(images / f"{case.image_id}.nii.gz", case.load())
        annotation = submit_findings(
            annotations, image_id=case.image_id, findings=case.findings, spec=SPEC, patient_id=case.patient_id
        )
        answered[case.image_id] = annotation.id
    store = open_store(str(images), settings=settings)
    options = {"max_epochs": 1, "steps_per_epoch": 2}
    KIND.check(SPEC, options)

    result = KIND.run(
        Work(
            folder=folder,
            settings=settings,
            spec=SPEC,
            options=options,
            device="cpu",
            user=None,
            annotations=annotations,
            images=store,
            reporter=Reporter(folder),
            cancelled=lambda: False,
        )
    )

    store.close()
    (version,) = ModelStore(settings.models_dir).list(SPEC.name)
    assert result["version"] == version.version
    assert result["decision"]["metric"] == "AUROC"
    assert {case["image_id"]: case["revision"] for case in version.data["cases"]} == answered
    assert set(version.calibration) == {"nodule", "mass"}
    assert folder.overlay.stat().st_size > 0


def test_a_scoring_of_drawings_refuses_a_task_that_tells():
    with pytest.raises(InvalidInputError, match="tells findings"):
        score.check(SPEC, {"method": "plausibility"})
    score.check(SPEC, {"method": "entropy"})
