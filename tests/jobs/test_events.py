"""Progress is reported in moderation, epochs always."""

from __future__ import annotations

import pytest

from carina.jobs.events import EventTracking, Pace, Reporter
from carina.jobs.folder import JobFolder
from carina.models.tracking import NoTracking
from carina.trainers.standing import Step


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


def test_progress_tells_the_step_it_is_about_and_what_the_process_takes(folder):
    reporter = Reporter(folder)
    reporter.step(Step(epoch=2, step=7, steps=50, loss=0.5, device="cuda:0", device_memory_mib=1000.4))
    reporter.progress(1.0, "epoch 2")
    reporter.progress(1.0, "measuring")
    first, second = folder.events()[0]
    assert (first["type"], first["epoch"], first["step"], first["steps"]) == ("progress", 2, 7, 50)
    assert (first["loss"], first["device"], first["device_memory_mib"]) == (0.5, "cuda:0", 1000)
    assert first["memory_mib"] > 10
    assert "step" not in second


def test_the_rest_takes_as_long_as_the_pace_of_the_last_two_minutes_says():
    now = [0.0]
    pace = Pace(lambda: now[0])
    assert pace.remaining_s(0.0) is None
    for second in range(1, 101):
        now[0] = second
        remaining = pace.remaining_s(second / 1000)
    assert remaining == pytest.approx(900.0)
    for second in range(101, 400):  # twice as fast from here on
        now[0] = second
        remaining = pace.remaining_s(0.1 + (second - 100) / 500)
    assert remaining == pytest.approx((399 - 398) + (1 - 0.1 - 299 / 500) * 500, rel=0.01)


def test_a_line_torn_by_a_crash_takes_no_other_with_it(folder):
    folder.append_event({"type": "progress", "fraction": 0.1, "message": "on"})
    with (folder.path / "events.jsonl").open("ab") as events:
        events.write(b'{"type": "progr')
    folder.append_event({"type": "state", "state": "running"})
    events, offset = folder.events()
    assert [event["type"] for event in events] == ["progress", "state"]
    assert offset == (folder.path / "events.jsonl").stat().st_size


def test_epochs_are_structured_and_hold_only_numbers(folder):
    run = EventTracking(NoTracking(), Reporter(folder)).start("thorax_ct", name="now", parameters={})
    run.log_epoch(
        3, {"loss": 0.5, "validation_dice": 0.75, "validation_dice/heart": 0.9, "validation_dice/spine": float("nan")}
    )
    (event,) = folder.events()[0]
    assert {**event, "time": 0} == {
        "time": 0,
        "type": "epoch",
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
