"""Progress is reported in moderation, epochs always."""

from __future__ import annotations

import pytest

from carina.jobs.events import EventTracking, Reporter
from carina.jobs.folder import JobFolder
from carina.models.tracking import NoTracking


@pytest.fixture
def folder(tmp_path) -> JobFolder:
    return JobFolder(tmp_path)


def test_a_thousand_steps_are_a_few_lines_and_the_end_is_one_of_them(folder):
    reporter = Reporter(folder)
    for step in range(1001):
        reporter.progress(step / 1000, f"step {step}")
    events, _ = folder.events()
    assert len(events) < 500
    assert (events[0]["fraction"], events[-1]["fraction"], events[-1]["message"]) == (0.0, 1.0, "step 1000")


def test_the_share_never_falls(folder):
    reporter = Reporter(folder)
    reporter.progress(0.5, "fitting")
    reporter.progress(1.5, "done")
    reporter.progress(1.0, "done")
    assert [event["fraction"] for event in folder.events()[0]] == [0.5, 1.0, 1.0]


def test_epochs_are_structured_and_hold_only_numbers(folder):
    run = EventTracking(NoTracking(), Reporter(folder)).start("thorax_ct", name="now", parameters={})
    run.log_epoch(
        3, {"loss": 0.5, "validation_dice": 0.75, "validation_dice/heart": 0.9, "validation_dice/spine": float("nan")}
    )
    (event,) = folder.events()[0]
    assert {**event, "time": 0} == {
        "time": 0,
        "epoch": 3,
        "fraction": 0.0,
        "loss": 0.5,
        "dice": 0.75,
        "labels": {"heart": 0.9},
    }


def test_everything_reaches_the_inner_tracking(folder, tmp_path):
    calls = []

    class Recorder:
        def start(self, task, *, name, parameters):
            calls.append(task)
            return self

        def log_epoch(self, epoch, values):
            calls.append(epoch)

        def log_json(self, name, content):
            calls.append(name)

        def log_picture(self, path):
            calls.append(path)

        def finish(self, *, status, tags):
            calls.append(status)

    run = EventTracking(Recorder(), Reporter(folder)).start("thorax_ct", name="now", parameters={})
    run.log_epoch(1, {})
    run.log_json("data.json", {})
    run.log_picture(tmp_path)
    run.finish(status="FINISHED", tags={})
    assert calls == ["thorax_ct", 1, "data.json", tmp_path, "FINISHED"]
