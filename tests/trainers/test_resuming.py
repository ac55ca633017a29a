"""A training that is stopped anywhere goes on where it stood, and ends exactly as one that was not stopped."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from carina.errors import CancelledError
from carina.infers.sliding_window import predict
from carina.models.store import ModelStore
from carina.task import NetworkSpec
from carina.trainers.checkpoint import load_checkpoint
from carina.trainers.splits import FileSplitStore
from carina.trainers.standing import seeded
from carina.trainers.training import train
from carina.trainers.warm_start import NOTHING

from .conftest import Died

EPOCHS, STEPS = 2, 3
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def task(spec):
    """The toy task with dropout, so that torch's global random numbers matter too."""
    arguments = {**spec.network.arguments, "dropout_prob": 0.2}
    trainer = dataclasses.replace(spec.trainer, max_epochs=EPOCHS, steps_per_epoch=STEPS, batch_size=2)
    return dataclasses.replace(spec, network=NetworkSpec(name="segresnet", arguments=arguments), trainer=trainer)


@pytest.fixture
def patients(toy_case):
    return [toy_case(seed) for seed in range(3)]


@pytest.fixture
def start(tmp_path: Path, task, patients):
    """Train in a home of its own; the checkpoint stays where it can be looked at."""

    def run(home: str, **arguments):
        models = ModelStore(tmp_path / home / "models")
        given = {"predict": predict, "splits": FileSplitStore(models.root), "device": "cpu"} | arguments
        return train(
            patients,
            spec=task,
            models=models,
            work_dir=tmp_path / home / "work",
            checkpoint=tmp_path / home / "checkpoint.safetensors",
            **given,
        )

    return run


@pytest.fixture
def whole(start):
    """The training that nobody stopped."""
    return start("whole")


def dying_after(steps: int):
    """An `on_step` that ends everything after so many steps."""
    seen = []

    def on_step(step):
        seen.append(step)
        if len(seen) == steps:
            raise Died

    return on_step


def same(one, other) -> bool:
    histories = [[(row.loss, row.dice, row.per_label) for row in result.history] for result in (one, other)]
    return one.version.sha256 == other.version.sha256 and histories[0] == histories[1]


def test_killed_after_any_step_it_ends_with_the_same_weights_and_metrics(start, whole):
    for steps in np.random.default_rng(3).permutation(np.arange(2, EPOCHS * STEPS + 1))[:3]:
        home = f"killed-{steps}"
        with pytest.raises(Died):
            start(home, on_step=dying_after(int(steps)), checkpoint_every_s=0.0)
        told = []
        resumed = start(home, on_step=told.append)
        # The step of the death itself had no checkpoint yet.
        assert len(told) == EPOCHS * STEPS - (steps - 1)
        assert same(resumed, whole)
        assert resumed.evaluation == whole.evaluation


def test_cancelled_within_an_epoch_it_leaves_a_checkpoint_of_that_very_step(start, whole, tmp_path):
    told = []
    with pytest.raises(CancelledError):
        start("cut", on_step=told.append, cancelled=lambda: len(told) == STEPS + 1)
    resumed = []
    assert same(start("cut", on_step=resumed.append), whole)
    assert [(step.epoch, step.step) for step in resumed] == [(2, 2), (2, 3)]
    assert [(step.epoch, step.step) for step in told] == [(1, 1), (1, 2), (1, 3), (2, 1)]
    assert (told[0].device, told[0].device_memory_mib, told[0].steps) == ("cpu", None, STEPS)


def test_cancelled_while_validating_it_does_no_step_again(start, whole):
    told = []
    validating = iter([False, True])
    with pytest.raises(CancelledError):
        start("cut", on_step=told.append, cancelled=lambda: len(told) == STEPS and next(validating))
    resumed = []
    assert same(start("cut", on_step=resumed.append), whole)
    assert len(resumed) == (EPOCHS - 1) * STEPS


def test_cancelled_while_measuring_it_does_no_step_again(start, whole):
    measured = []
    with pytest.raises(CancelledError):
        start(
            "cut",
            progress=lambda fraction, text: measured.append(text) if "measured" in text else None,
            cancelled=lambda: bool(measured),
        )
    resumed = []
    assert same(start("cut", on_step=resumed.append), whole)
    assert resumed == []


def test_a_checkpoint_is_written_within_an_epoch_only_when_it_is_time(start, tmp_path):
    with pytest.raises(Died):
        start("rare", on_step=dying_after(STEPS), checkpoint_every_s=3600.0)
    assert not (tmp_path / "rare" / "checkpoint.safetensors").exists()
    with pytest.raises(Died):
        start("often", on_step=dying_after(STEPS), checkpoint_every_s=0.0)
    assert [path.name for path in (tmp_path / "often").glob("*checkpoint*")] == ["checkpoint.safetensors"]


def test_a_version_promoted_meanwhile_does_not_change_where_a_training_started_from(start, whole, task, tmp_path):
    with pytest.raises(Died):
        start("cut", on_step=dying_after(4), checkpoint_every_s=0.0, start_from=NOTHING)
    models = ModelStore(tmp_path / "cut" / "models")
    state = {name: tensor + 0.01 for name, tensor in whole_state(whole).items()}
    other = models.add(task.name, state, fingerprint=task.fingerprint(), labels=task.labels.indices)
    models.promote(task.name, other.version, reason="test")

    resumed = start("cut", start_from=NOTHING)

    assert resumed.version.sha256 == whole.version.sha256
    assert resumed.version.parent is None
    assert start("next", start_from=NOTHING).version.sha256 == whole.version.sha256


def whole_state(result):
    from carina.models.weights import load_state

    return load_state(result.version.weights_path)


def test_random_numbers_of_an_epoch_go_on_where_they_were_taken():
    with seeded(7, 3) as random:
        random.patches.random(5)
        torch.rand(5)
        torch.rand(5, generator=random.changes)
        numbers, tensors = random.numbers(), random.tensors()
        expected = (random.patches.random(), torch.rand(()), torch.rand((), generator=random.changes))
    with seeded(7, 3) as random:
        random.put_back(numbers, tensors)
        assert (random.patches.random(), torch.rand(()), torch.rand((), generator=random.changes)) == expected


def test_random_numbers_outside_a_training_are_left_alone():
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    with seeded(7, 3):
        torch.rand(9)
    assert torch.equal(torch.rand(3), expected)


def test_a_checkpoint_of_an_older_form_is_not_resumed(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "checkpoint.safetensors"
    save_file({"network/a": torch.zeros(1)}, str(path), metadata={"identity": "x", "state": "{}"})
    assert load_checkpoint(path, identity="x") is None
