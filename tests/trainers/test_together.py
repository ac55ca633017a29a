"""Several processes on one training take the steps of one, and none is left behind, whichever of them dies."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch

from carina.errors import InvalidInputError, PeerError
from carina.infers.sliding_window import predict
from carina.models.store import ModelStore
from carina.models.weights import load_state
from carina.task import NetworkSpec
from carina.trainers.gathering import gathered, own_gpu
from carina.trainers.helping import MODULE
from carina.trainers.options import check_options
from carina.trainers.splits import FileSplitStore
from carina.trainers.together import outside
from carina.trainers.training import train
from carina.trainers.warm_start import AUTO, NOTHING

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def task(spec, monkeypatch):
    """The toy task in 32 bits, as 16 round each part of a batch in another way.

    And without augmentation, whose random numbers belong to each process.
    """
    monkeypatch.setenv("CARINA_PRECISION", "float32")
    network = NetworkSpec(name="segresnet", arguments={**spec.network.arguments, "init_filters": 8})
    trainer = dataclasses.replace(spec.trainer, max_epochs=2, steps_per_epoch=3, batch_size=3, augmentation=0.0)
    return dataclasses.replace(spec, network=network, trainer=trainer)


@pytest.fixture
def start(tmp_path: Path, task, toy_case):
    def run(home: str, processes: int, **arguments):
        models = ModelStore(tmp_path / home / "models")
        return train(
            [toy_case(seed) for seed in range(3)],
            spec=task,
            models=models,
            splits=FileSplitStore(models.root),
            predict=predict,
            work_dir=tmp_path / home / "work",
            device="cpu",
            options=dataclasses.replace(task.trainer, processes=processes),
            **{"start_from": NOTHING} | arguments,
        )

    return run


def helpers() -> list[psutil.Process]:
    """Helping processes that this one started; others may have left children of theirs, in whatever state."""
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            found += [child] if MODULE in child.cmdline() else []
    return found


def test_two_processes_end_as_one_and_a_killed_one_is_named_and_its_training_gone_on_with(start):
    alone = start("alone", 1)
    killed, heard = [], []

    def kill_in_the_second_epoch(step):
        if (step.epoch, step.step) == (2, 2):
            (helper,) = helpers()
            killed.append(helper)
            heard.extend(one.laddr.ip for one in helper.net_connections() if one.laddr)
            helper.kill()

    with pytest.raises(PeerError, match=r"2 processes .* got process 1 ended by SIGKILL"):
        start("together", 2, on_step=kill_in_the_second_epoch, checkpoint_every_s=0.0)
    assert not killed[0].is_running()
    assert set(heard) == {"127.0.0.1"}
    assert "GLOO_SOCKET_IFNAME" not in os.environ
    assert helpers() == []

    told = []
    together = start("together", 2, on_step=told.append)

    assert [(step.epoch, step.step) for step in told] in ([(2, 2), (2, 3)], [(2, 3)])
    assert helpers() == []
    one, other = (load_state(result.version.weights_path) for result in (alone, together))
    for name, tensor in one.items():
        torch.testing.assert_close(other[name], tensor, rtol=1e-3, atol=1e-4)
    for mine, theirs in zip(alone.history, together.history, strict=True):
        assert theirs.loss == pytest.approx(mine.loss, abs=1e-4)
        assert theirs.dice == pytest.approx(mine.dice, abs=0.01)


def test_two_processes_try_both_starts_as_one_does(start, task, tmp_path):
    """The same helpers work on one trial, on the other, and on what is gone on with."""
    first = start("school", 1)
    state = load_state(first.version.weights_path)
    found = {}
    for processes in (1, 2):
        models = ModelStore(tmp_path / str(processes) / "models")
        models.add(task.name, state, fingerprint=task.fingerprint(), labels=task.labels.indices)
        models.promote(task.name, "v1", reason="test")
        found[processes] = start(str(processes), processes, start_from=AUTO)
    assert helpers() == []
    one, two = found[1], found[2]
    assert (two.start.chosen, two.start.epochs) == (one.start.chosen, one.start.epochs) == ("v1", 1)
    for name, score in one.start.scores.items():
        assert two.start.scores[name] == pytest.approx(score, abs=0.01)
    for mine, theirs in zip(one.history, two.history, strict=True):
        assert theirs.loss == pytest.approx(mine.loss, abs=1e-4)


def test_a_helper_ends_with_the_process_that_started_it(tmp_path):
    """It reads the end of its input, which it gets however the other process dies."""
    helper = subprocess.Popen(
        [sys.executable, "-m", MODULE, "1", "2", "cpu", str(tmp_path)], stdin=subprocess.PIPE, env=os.environ
    )
    assert helper.stdin is not None
    helper.stdin.close()
    assert helper.wait(timeout=120) == 0


def test_a_helper_that_cannot_begin_is_named_with_its_last_words(task, monkeypatch):
    monkeypatch.setattr("carina.trainers.gathering.MODULE", "carina.trainers.nowhere")
    options = dataclasses.replace(task.trainer, processes=2)
    with (
        pytest.raises(PeerError, match=r"status 1, whose last words were '.*No module named carina.trainers.nowhere"),
        gathered(options, torch.device("cpu"), cancelled=lambda: False),
    ):
        pass


def test_more_processes_than_patches_are_refused_before_anything_is_done(task):
    options = dataclasses.replace(task.trainer, processes=4)
    with pytest.raises(InvalidInputError, match="'batch_size' must be at least the number of processes, 4, got 3"):
        check_options(task, options)


def test_more_processes_than_gpus_are_refused(task):
    options = dataclasses.replace(task.trainer, processes=torch.cuda.device_count() + 1, batch_size=64)
    with (
        pytest.raises(InvalidInputError, match="Each process must have a GPU of its own"),
        gathered(
            dataclasses.replace(options, processes=max(2, options.processes)), torch.device("cuda"), cancelled=bool
        ),
    ):
        pass


@pytest.mark.parametrize(
    ("environment", "found"),
    [({}, None), ({"RANK": "0", "WORLD_SIZE": "1"}, None), ({"RANK": "3", "WORLD_SIZE": "8"}, (3, 8))],
)
def test_torchrun_says_which_process_this_is(environment, found):
    assert outside(environment) == found


@pytest.mark.parametrize(
    ("environment", "asked", "own"),
    [
        ({}, "cuda", "cuda:0"),
        ({}, "cuda:2", "cuda:2"),
        ({}, "cpu", "cpu"),
        ({"RANK": "9", "WORLD_SIZE": "16", "LOCAL_RANK": "1"}, "cuda", "cuda:1"),
    ],
)
def test_the_gpu_of_a_process_has_a_number_of_which_the_meeting_is_told(monkeypatch, environment, asked, own):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert own_gpu(torch.device(asked)) == torch.device(own)
