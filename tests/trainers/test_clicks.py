from __future__ import annotations

import torch
from torch import nn

from carina.trainers.clicks import click_on_errors

TRUTH = torch.zeros(1, 1, 12, 12, 12, dtype=torch.uint8)
TRUTH[0, 0, 2:5, 2:5, 2:5] = 1
TRUTH[0, 0, 8:11, 8:11, 8:11] = 2
ALL = torch.ones(1, 3, dtype=torch.bool)


class Draws(nn.Module):
    """A network whose answer is given."""

    def __init__(self, label: torch.Tensor) -> None:
        super().__init__()
        self.scores = nn.functional.one_hot(label[:, 0].long(), 3).movedim(-1, 1).float()

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.scores.expand(len(image), *self.scores.shape[1:])


def many(network: nn.Module, annotated: torch.Tensor = ALL, *, count: int = 40) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    image = torch.zeros(1, 1, 12, 12, 12)
    return [click_on_errors(network, image, TRUTH, annotated, random=random)[0, 1:] for _ in range(count)]


def clicked(maps: torch.Tensor) -> set[tuple[int, ...]]:
    return {tuple(at) for at in torch.nonzero(maps == 1.0).tolist()}


def test_every_click_lies_on_an_error_and_says_the_truth():
    nothing = Draws(torch.zeros_like(TRUTH))
    points = set().union(*map(clicked, many(nothing)))
    assert {channel for channel, *_ in points} == {1, 2}
    assert all(int(TRUTH[0, 0][tuple(at)]) == channel for channel, *at in points)


def test_what_is_drawn_too_much_gets_a_click_of_the_background():
    too_much = TRUTH.clone()
    too_much[0, 0, 6, 6, 6] = 1
    assert set().union(*map(clicked, many(Draws(too_much)))) == {(0, 6, 6, 6)}


def test_some_patches_get_no_click_and_a_faultless_drawing_never_one():
    without = sum(not maps.any() for maps in many(Draws(torch.zeros_like(TRUTH)), count=100))
    assert 20 < without < 60
    assert not any(maps.any() for maps in many(Draws(TRUTH)))


def test_no_click_speaks_of_a_label_nobody_cared_for():
    cared = torch.tensor([[True, True, False]])
    points = set().union(*map(clicked, many(Draws(torch.zeros_like(TRUTH)), cared)))
    assert {channel for channel, *_ in points} == {1}


def test_one_seed_gives_the_same_clicks():
    network = Draws(torch.zeros_like(TRUTH))
    assert all(torch.equal(one, other) for one, other in zip(many(network), many(network), strict=True))


def test_drawing_for_clicks_leaves_the_statistics_of_batches_alone():
    network = nn.Sequential(nn.Conv3d(1, 3, 1), nn.BatchNorm3d(3)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert any(maps.any() for maps in many(network))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(module.training for module in network.modules())
