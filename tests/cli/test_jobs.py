"""`carina jobs` on a CARINA_HOME, beside a supervisor and without one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from carina.jobs.runner import JobRunner
from carina.settings import Settings

SCRIPT = """
import os, sys, time
from pathlib import Path
from carina.jobs.folder import JobFolder
from carina.jobs.process import mark_of
folder = JobFolder(Path(sys.argv[1]))
folder.write_process(mark_of(os.getpid()))
print("hello from the job", flush=True)
folder.append_event({"type": "epoch", "epoch": 1, "loss": 0.25, "dice": 0.75, "labels": {}})
folder.append_event({"type": "progress", "fraction": 0.5, "message": "half way", "eta_s": 7.0})
while folder.cancel_age_s() is None and not Path(sys.argv[1], "go").exists():
    time.sleep(0.02)
if folder.cancel_age_s() is None:
    folder.write_result({"version": "v1"})
else:
    folder.write_error("cancel", "Cancelled on request.")
"""
REQUEST = {"task": "thorax_ct", "options": {"max_epochs": 2}}


@pytest.fixture
def supervisor(tmp_path) -> Iterator[JobRunner]:
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    runner = JobRunner(Settings(), command=lambda folder: [sys.executable, str(script), str(folder)])
    yield runner
    for job in runner.running():
        if job.process is not None:
            job.process.kill_session()
    runner.close()


@pytest.fixture
def job_id(supervisor) -> str:
    job = supervisor.start("train", REQUEST, user="anna")
    while supervisor.status(job.id).message != "half way":
        time.sleep(0.02)
    return job.id


def test_jobs_are_listed_and_shown_while_they_run(carina, job_id):
    listed = carina("jobs", "list", "--json")
    assert [(job["id"], job["state"], job["progress"]) for job in listed.json["jobs"]] == [(job_id, "running", 0.5)]
    shown = carina("jobs", "show", job_id[:8], "--json")
    assert (shown.json["user"], shown.json["slot"], shown.json["options"]) == ("anna", "cpu", {"max_epochs": 2})
    assert [epoch["dice"] for epoch in shown.json["epochs"]] == [0.75]
    assert "half way" in carina("jobs", "list").stdout
    assert carina("jobs", "list", "--kind", "infer", "--json").json == {"jobs": []}


def test_a_kind_of_job_that_there_is_not_is_refused(carina, carina_home):
    ran = carina("jobs", "list", "--kind", "trian", "--json")

    assert ran.exit_code == 1
    assert "Did you mean 'train'" in ran.json["detail"]
    assert carina("jobs", "list", "--kind", "train", "--json").json["jobs"] == []


def test_a_job_is_watched_and_its_log_followed_to_the_end(carina, supervisor, job_id):
    def end_it():
        time.sleep(0.5)
        (supervisor.folder(job_id).path / "go").touch()

    threading.Thread(target=end_it).start()
    watched = carina("jobs", "watch", job_id)
    assert watched.exit_code == 0, watched.stderr
    assert "epoch 1: loss 0.250, Dice 0.750" in watched.stdout
    assert "succeeded" in watched.stdout
    log = carina("jobs", "log", job_id, "-f", "--json")
    assert (log.json["state"], log.json["lines"]) == ("succeeded", ["hello from the job"])


def test_a_job_is_cancelled_and_resumed_beside_a_supervisor(carina, supervisor, job_id):
    assert carina("jobs", "cancel", job_id, "--json").json["state"] == "cancelled"
    assert carina("jobs", "resume", job_id, "--json").json["state"] == "queued"
    while supervisor.status(job_id).attempt < 2:
        time.sleep(0.02)
    again = carina("jobs", "resume", job_id, "--json")
    assert (again.exit_code, again.json["error"]) == (1, "ConflictError")


def test_without_a_supervisor_a_running_job_is_cancelled_and_a_resumed_one_waits_for_a_server(
    carina, supervisor, job_id
):
    supervisor.close()
    cancelled = carina("jobs", "cancel", job_id, "--json")
    assert cancelled.json["state"] == "cancelled"
    resumed = carina("jobs", "resume", job_id)
    assert "carina up" in resumed.stdout
    assert carina("jobs", "show", job_id, "--json").json["state"] == "queued"


def test_what_became_of_a_job_nobody_watched_is_known(carina, supervisor, job_id):
    process = supervisor.status(job_id).process
    supervisor.close()
    process.kill_session()
    while process.alive:
        time.sleep(0.02)
    assert carina("jobs", "show", job_id, "--json").json["state"] == "queued"  # the next server resumes it


@pytest.mark.parametrize("text", ["", "zz", "../x"])
def test_an_id_that_fits_no_job_is_said_so(carina, text):
    ran = carina("jobs", "show", text, "--json")
    assert (ran.exit_code, ran.json["error"]) == (1, "UnknownJobError")


@pytest.mark.slow
def test_ctrl_c_stops_a_training_with_a_checkpoint_and_says_how_to_go_on(phantoms, carina_home):
    command = [
        sys.executable, "-c", "from carina.cli import main; main()",
        "train", "thorax_ct", "--images", str(phantoms / "images"), "--labels", str(phantoms / "labels"),
        "--max-epochs", "2", "--steps-per-epoch", "10", "--batch-size", "1", "--device", "cpu",
        "--set", "patch_voxels=32,32,32", "--json",
    ]  # fmt: skip
    checkpoint = Settings().jobs_dir / "work" / "thorax_ct" / "checkpoint.safetensors"
    environment = {**os.environ, "CARINA_CHECKPOINT_EVERY_S": "0.001"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as first:
        while not checkpoint.exists() and first.poll() is None:
            time.sleep(0.02)
        first.send_signal(signal.SIGINT)
        _, stderr = first.communicate()
    assert first.returncode == 130, stderr
    assert "same command again" in stderr
    assert checkpoint.exists()
