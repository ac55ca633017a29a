"""Jobs that nobody has to ask for: which are due, and that none is due twice."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

import numpy as np
import pytest

from carina.annotations.database import utc_now
from carina.errors import ConfigurationError
from carina.geometry import Volume
from carina.jobs.unasked import BY_ITSELF, Attendant, RetrainRules
from carina.models.store import ModelStore
from carina.settings import Settings

from .conftest import GRID, SPEC, add_version

LEARNS = """
import json
folder.write_plan({"annotations": json.loads(Path(r"%s").read_text())})
folder.write_result({"version": "v1"})
"""
NIGHT = datetime(2026, 3, 5, 2, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "last_hours", "new", "due"),
    [
        (0, None, 1, True),
        (0, None, 0, False),
        (-0.1, None, 1, False),
        (5.9, None, 1, True),
        (6.1, None, 1, False),
        (1, 0.5, 1, False),
        (1, -1, 1, True),
        (24, 1, 1, True),
    ],
)
def test_the_hour_of_the_day_makes_a_training_due_once_a_night_and_only_with_something_new(hours, last_hours, new, due):
    rules = RetrainRules(at=time(2, 30))
    last = None if last_hours is None else NIGHT + timedelta(hours=last_hours)
    assert bool(rules.why(new, last=last, now=NIGHT + timedelta(hours=hours))) == due


def test_a_night_that_began_before_midnight_goes_on_after_it():
    rules = RetrainRules(at=time(23, 0))
    assert rules.why(1, last=None, now=datetime(2026, 3, 5, 1, 0, tzinfo=UTC))
    assert not rules.why(1, last=datetime(2026, 3, 4, 23, 1, tzinfo=UTC), now=datetime(2026, 3, 5, 1, 0, tzinfo=UTC))


def test_rules_come_from_the_settings_and_nonsense_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("CARINA_RETRAIN_AFTER", "8")
    monkeypatch.setenv("CARINA_RETRAIN_AT", "02:30")
    assert RetrainRules.of(Settings(home=tmp_path)) == RetrainRules(after=8, at=time(2, 30))
    with pytest.raises(ConfigurationError, match="02:30, got 'half past'"):
        RetrainRules.of(Settings(home=tmp_path, retrain_at="half past"))
    monkeypatch.setenv("CARINA_RETRAIN_AFTER", "-1")
    with pytest.raises(ConfigurationError, match="whole number"):
        Settings(home=tmp_path)


def test_a_task_is_trained_again_after_so_many_new_labels_and_not_again_for_the_same(
    runner_of, settings, annotations, tmp_path
):
    learnt = tmp_path / "learnt.json"
    runner = runner_of(LEARNS % learnt)
    attendant = _attendant(settings, runner, annotations, retrain_after=2)
    assert attendant.look() == []
    first = _submit(annotations, "case0")
    _submit(annotations, "case0")  # the same image once more
    _submit(annotations, "case1", task="wholebody_ct")
    _submit(annotations, "case2", tag="original")
    assert attendant.look() == []

    second = _submit(annotations, "case1")
    learnt.write_text(f'["{first}", "{second}"]')
    (job,) = attendant.look()
    assert (job.kind, job.task, job.user, job.why) == ("train", SPEC.name, BY_ITSELF, "2 new labels")
    assert attendant.look() == []  # it waits or runs
    assert runner.wait(job.id, timeout_s=120).state == "succeeded"
    assert attendant.look() == []
    _submit(annotations, "case0")
    annotations.cases.reject("case1", SPEC.name, user="anna", reason="sides swapped")
    _submit(annotations, "case2")
    (again,) = attendant.look()
    assert again.why == "2 new labels"


def test_a_training_that_failed_is_not_tried_again_for_the_same_labels(runner_of, settings, annotations):
    runner = runner_of("folder.write_error('error', 'The disk must have room.')")
    attendant = _attendant(settings, runner, annotations, retrain_after=1)
    _submit(annotations, "case0")
    (job,) = attendant.look()
    assert runner.wait(job.id, timeout_s=120).state == "failed"
    assert attendant.look() == []
    _submit(annotations, "case1")
    assert len(attendant.look()) == 1


def test_at_night_one_new_label_is_enough(runner_of, settings, annotations):
    runner = runner_of("folder.write_result({'version': 'v1'})")
    attendant = _attendant(settings, runner, annotations, retrain_at="02:30")
    _submit(annotations, "case0")
    tonight = datetime.combine(utc_now().date() + timedelta(days=1), time(2, 30), tzinfo=UTC)
    assert attendant.look(tonight - timedelta(hours=1)) == []
    (job,) = attendant.look(tonight + timedelta(hours=1))
    assert job.why == "1 new label since the last training, at 02:30"


def test_both_starts_are_tried_once_the_last_training_was_kept_back_and_not_before(runner_of, settings, annotations):
    runner = runner_of("folder.write_result({'version': 'v1'})")
    attendant = _attendant(settings, runner, annotations, retrain_after=1)
    models = ModelStore(settings.models_dir)

    def asked(image_id: str) -> dict:
        _submit(annotations, image_id)
        (job,) = attendant.look()
        runner.wait(job.id, timeout_s=120)
        return dict(job.options)

    assert asked("case0") == {}
    add_version(settings, 0)
    assert asked("case1") == {}
    kept = add_version(settings, 1, serve=False, decision={"promoted": False})
    assert asked("case2") == {"start_from": "auto"}
    models.promote(SPEC.name, kept, reason="test")
    assert asked("case3") == {}


def test_what_was_scored_is_scored_again_in_the_same_way_once_another_version_is_served(
    runner_of, settings, annotations
):
    version = add_version(settings, 0)
    runner = runner_of(f"folder.write_result({{'model_version': '{version}'}})")
    attendant = _attendant(settings, runner, annotations)
    asked = {"task": SPEC.name, "options": {"method": "margin", "images": "all", "limit": 5}}
    runner.wait(runner.start("score", asked).id, timeout_s=120)
    assert attendant.look() == []
    newer = add_version(settings, 1)
    (job,) = attendant.look()
    assert (job.kind, job.options, job.why) == (
        "score",
        {"method": "margin", "images": "all"},
        f"{newer} is served now",
    )
    assert attendant.look() == []


def test_a_scoring_of_one_named_version_is_left_alone(runner_of, settings, annotations):
    version = add_version(settings, 0)
    runner = runner_of(f"folder.write_result({{'model_version': '{version}'}})")
    asked = {"task": SPEC.name, "options": {"model_version": version}}
    runner.wait(runner.start("score", asked).id, timeout_s=120)
    add_version(settings, 1)
    assert _attendant(settings, runner, annotations).look() == []


def _attendant(settings, runner, annotations, *, retrain_after: int = 0, retrain_at: str = "") -> Attendant:
    ruled = Settings(home=settings.home, retrain_after=retrain_after, retrain_at=retrain_at)
    return Attendant(ruled, jobs=runner, annotations=annotations, models=ModelStore(settings.models_dir))


def _submit(annotations, image_id: str, *, task: str = SPEC.name, tag: str = "final") -> str:
    label = Volume(np.zeros(GRID.shape, np.uint8), GRID)
    return annotations.submit(image_id, label, names={"heart": 1}, task=task, tag=tag, user="anna", deliver=False).id
