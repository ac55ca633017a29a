"""The moving average follows the weights, survives a checkpoint, and is kept where it validates better."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from carina.trainers.averaging import WeightAverage
from carina.trainers.cache import VolumeCache
from carina.trainers.fitting import Fitting
from carina.trainers.loss import loss_of
from carina.trainers.patches import PatchSampler, annotated_channels


def test_it_is_the_exponential_moving_average_of_the_weights():
    network = nn.Linear(2, 1)
    nn.init.constant_(network.weight, 0.0)
    average = WeightAverage(network, decay=0.9)
    expected = 0.0
    for steps, weight in ((1000, 1.0), (1001, 2.0), (1002, 4.0)):
        nn.init.constant_(network.weight, weight)
        average.update(steps)
        expected = 0.9 * expected + 0.1 * weight
    assert average.state()["weight"].tolist() == [[pytest.approx(expected)] * 2]
    with average.in_place():
        assert network.weight[0, 0].item() == pytest.approx(expected)
    assert network.weight[0, 0].item() == 4.0


def test_random_first_weights_are_forgotten_soon():
    network = nn.Linear(2, 1)
    nn.init.constant_(network.weight, 100.0)
    average = WeightAverage(network, decay=0.999)
    nn.init.constant_(network.weight, 1.0)
    for steps in range(1, 41):
        average.update(steps)
    assert average.state()["weight"].max() < 1.1


def test_whole_numbers_are_left_as_they_are():
    network = nn.BatchNorm1d(3)
    average = WeightAverage(network, decay=0.5)
    network.num_batches_tracked.fill_(7)
    average.update(100)
    with average.in_place():
        assert int(network.num_batches_tracked) == 7
    assert "num_batches_tracked" not in average.state()


@pytest.fixture
def fit(tmp_path: Path, spec, toy_case):
    """Fit the toy task with a validation that the test decides."""
    volume = VolumeCache(tmp_path / "volumes", spec).get(toy_case(0))
    annotated = annotated_channels(volume, spec)

    def run(validate, name="a", **more):
        from carina.networks.factory import build_network

        torch.manual_seed(0)
        network = build_network(spec)
        given = {"on_step": lambda step: None, "checkpoint_every_s": 60.0} | more
        fitting = Fitting(
            network=network,
            spec=spec,
            options=dataclasses.replace(spec.trainer, max_epochs=2, steps_per_epoch=3, ema=0.9),
            sampler=PatchSampler([volume], spec=spec, patch_voxels=(8, 8, 8)),
            loss=loss_of(spec, present=annotated, known=annotated),
            validate=validate,
            device=torch.device("cpu"),
            checkpoint=tmp_path / f"{name}.safetensors",
            identity="test",
            on_epoch=lambda epoch: None,
            progress=lambda fraction, text: None,
            cancelled=lambda: False,
            **given,
        )
        return fitting.run(), network

    return run


@pytest.mark.parametrize("better", [True, False])
def test_the_average_is_kept_where_it_validates_better(fit, better):
    seen = []

    def validate(network):
        seen.append({name: value.clone() for name, value in network.state_dict().items()})
        is_average = len(seen) % 2 == 0
        return {"liver": (0.9 if is_average == better else 0.5) + 0.01 * len(seen)}

    fitted, _ = fit(validate)

    assert [epoch.averaged for epoch in fitted.history] == [better, better]
    expected = seen[3] if better else seen[2]
    assert all(torch.equal(fitted.best_state[name], value) for name, value in expected.items())
    assert not all(torch.equal(seen[2][name], value) for name, value in seen[3].items())


def test_without_a_validation_the_weights_themselves_are_kept(fit):
    fitted, _ = fit(lambda network: {})
    assert [epoch.averaged for epoch in fitted.history] == [False, False]


def test_a_resumed_fitting_goes_on_with_its_average(fit):
    validations: list[dict[str, torch.Tensor]] = []

    def validate(network):
        validations.append({name: value.clone() for name, value in network.state_dict().items()})
        return {"liver": 0.5}

    class Died(BaseException):
        pass

    def die(step):
        if (step.epoch, step.step) == (2, 2):
            raise Died

    fit(validate, "whole")
    whole = validations[-1]
    with pytest.raises(Died):
        fit(validate, "cut", on_step=die, checkpoint_every_s=0.0)
    fit(validate, "cut")
    assert all(torch.equal(validations[-1][name], value) for name, value in whole.items())
