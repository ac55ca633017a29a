"""One job in each slot, in the order of the queue; which GPUs there are is said by the environment or the driver."""

from __future__ import annotations

import json
import stat

import pytest

from carina.jobs.slots import CPU, Slot, find_slots, suitable

GPUS = (
    Slot(name="cuda:0", environment={"CUDA_VISIBLE_DEVICES": "GPU-a"}),
    Slot(name="cuda:1", environment={"CUDA_VISIBLE_DEVICES": "GPU-b"}),
    Slot(name=CPU, environment={"CUDA_VISIBLE_DEVICES": ""}),
)
WAITS = """
import json
request = folder.request()
seen = {"fraction": 0.5, "message": json.dumps([os.environ.get("CUDA_VISIBLE_DEVICES"), request["device"]])}
folder.append_event({"type": "progress", **seen})
while folder.cancel_age_s() is None:
    time.sleep(0.02)
folder.write_error("cancel", "Cancelled on request.")
"""


def seen_by(runner, job_id: str):
    message = runner.status(job_id).message
    return json.loads(message) if message.startswith("[") else None


def test_trainings_take_a_gpu_each_and_the_third_waits_for_one(runner_of, until):
    runner = runner_of(WAITS, slots=GPUS)
    first = runner.start("train", {"task": "thorax_ct"})
    second = runner.start("train", {"task": "wholebody_ct"})
    third = runner.start("train", {"task": "thorax_ct"}, enqueue=True)
    until(lambda: seen_by(runner, first.id) and seen_by(runner, second.id))
    assert [runner.status(job.id).slot for job in (first, second)] == ["cuda:0", "cuda:1"]
    assert [seen_by(runner, job.id)[0] for job in (first, second)] == ["GPU-a", "GPU-b"]
    assert runner.status(third.id).state == "queued"

    runner.cancel(second.id)
    runner.wait(second.id, timeout_s=60)
    assert runner.status(third.id).state == "queued"  # its task is being trained still
    runner.cancel(first.id)
    until(lambda: seen_by(runner, third.id))


def test_a_job_for_another_gpu_or_the_cpu_does_not_wait_behind_one_for_a_busy_gpu(runner_of, until):
    runner = runner_of(WAITS, slots=GPUS)
    busy = runner.start("train", {"task": "thorax_ct", "options": {"device": "cuda:0"}})
    until(lambda: seen_by(runner, busy.id))
    waits = runner.start("train", {"task": "wholebody_ct", "options": {"device": "cuda:0"}})
    passes = runner.start("train", {"task": "wholebody_ct", "options": {"device": "cpu"}}, enqueue=True)
    until(lambda: seen_by(runner, passes.id))
    assert runner.status(waits.id).state == "queued"
    assert (runner.status(passes.id).slot, seen_by(runner, passes.id)) == ("cpu", ["", "cpu"])
    assert seen_by(runner, busy.id) == ["GPU-a", "cuda"]  # the only GPU it sees has number 0


def test_a_restarted_server_knows_which_gpu_is_taken(runner_of, until):
    before = runner_of(WAITS, slots=GPUS)
    first = before.start("train", {"task": "thorax_ct"})
    until(lambda: seen_by(before, first.id))
    before.close()
    after = runner_of(WAITS, slots=GPUS)
    second = after.start("train", {"task": "wholebody_ct"})
    until(lambda: seen_by(after, second.id))
    assert after.status(second.id).slot == "cuda:1"


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("auto", ["cuda:0", "cuda:1"]),
        ("cuda", ["cuda:0", "cuda:1"]),
        ("cuda:1", ["cuda:1"]),
        ("cuda:7", ["cpu"]),
        ("cpu", ["cpu"]),
    ],
)
def test_what_a_job_asks_for_decides_where_it_may_run(wanted, names):
    assert [slot.name for slot in suitable(GPUS, wanted)] == names


def test_without_a_gpu_everything_runs_in_the_one_cpu_slot_and_sees_what_the_server_sees():
    only = (Slot(name=CPU),)
    assert [suitable(only, wanted) for wanted in ("auto", "cpu", "cuda:0")] == [only, only, only]
    assert only[0].device("cuda:0") == "cuda:0"  # the process says that it is not there


@pytest.mark.parametrize(
    ("visible", "names"),
    [("0,2", ["cuda:0", "cuda:1", "cpu"]), ("GPU-x", ["cuda:0", "cpu"]), ("", ["cpu"]), ("3,-1,4", ["cuda:0", "cpu"])],
)
def test_the_environment_says_which_gpus_count(monkeypatch, visible, names):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    slots = find_slots()
    assert [slot.name for slot in slots] == names
    if names[0] != CPU:
        assert slots[0].environment == {"CUDA_VISIBLE_DEVICES": visible.split(",")[0]}


def test_the_driver_is_asked_where_the_environment_says_nothing(monkeypatch, tmp_path):
    tool = tmp_path / "nvidia-smi"
    tool.write_text('#!/bin/sh\n[ "$1" = --query-gpu=uuid ] && printf "GPU-a\\nGPU-b\\n"\n')
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    assert [dict(slot.environment) for slot in find_slots()] == [
        {"CUDA_VISIBLE_DEVICES": "GPU-a"},
        {"CUDA_VISIBLE_DEVICES": "GPU-b"},
        {"CUDA_VISIBLE_DEVICES": ""},
    ]
    tool.write_text("#!/bin/sh\nexit 9\n")
    assert [slot.name for slot in find_slots()] == ["cpu"]
