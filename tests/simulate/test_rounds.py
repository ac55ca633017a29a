"""A run with a network that learns for a step or two: what is chosen, kept, and gone on with."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from carina.errors import CancelledError, ConflictError
from carina.models.contours import path_to_add
from carina.models.metrics import dice
from carina.phantoms.chest import make_chest
from carina.registry import find_tasks
from carina.scoring import find_methods
from carina.simulate.learner import Learner
from carina.simulate.plan import FULL, Plan, split
from carina.simulate.rounds import Journal, Run
from carina.strategies import find_strategies
from carina.trainers.cache import VolumeCache
from carina.trainers.cases import Case

MATRIX = (16, 16, 16)
PLAN = Plan(
    task="thorax_ct", images="", labels="", strategies=("hybrid",), seeds=1, start=2, step=2, rounds=3, steps=2,
    matrix_voxels=MATRIX, test_fraction=0.25,
)  # fmt: skip
SPEC = PLAN.task_spec(find_tasks().get("thorax_ct"))


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    made = [make_chest(seed, shape=MATRIX) for seed in range(8)]
    return [
        Case(image_id=f"c{seed}", patient_id=f"P{seed}", load=lambda one=one: (one.image, one.label), revision="1")
        for seed, one in enumerate(made)
    ]


@pytest.fixture
def run(cases, tmp_path):
    def make(name="hybrid", *, folder="out", cancelled=lambda: False, plan=PLAN):
        one = Run(plan=plan, spec=SPEC, cases=cases, folder=tmp_path / folder, cancelled=cancelled)
        one.run(name, 0)
        return Journal(tmp_path / folder, name, 0).read()

    return make


def without_time(rounds):
    return [dataclasses.replace(one, seconds=0.0) for one in rounds]


@pytest.mark.parametrize("name", find_strategies().names)
def test_every_strategy_reveals_labels_of_the_pool_once_each(run, cases, name):
    needs_dropout = find_strategies().get(name).needs.scores[:1] == ("bald",)
    if needs_dropout:
        pytest.skip("the task's network has no dropout")
    rounds = run(name)
    chosen = [image_id for one in rounds for image_id in one.chosen]
    testing = split((case.patient_id for case in cases), seed=0, test_fraction=PLAN.test_fraction)
    pool = {case.image_id for case in cases if case.patient_id not in testing}
    assert [one.labels for one in rounds] == [2, 4, 6]
    assert sorted(chosen) == sorted(pool)
    for efforts in ([one.voxels_changed for one in rounds], [one.contour_added for one in rounds]):
        assert efforts == sorted(efforts)
        assert efforts[0] > 0


def test_a_run_that_was_stopped_ends_as_one_that_was_not(run):
    asked = []
    whole = run(folder="whole", cancelled=lambda: asked.append(None) or False)
    left = iter([False] * (len(asked) // 2))
    with pytest.raises(CancelledError):
        run(folder="parts", cancelled=lambda: next(left, True))
    assert without_time(run(folder="parts")) == without_time(whole)


def test_finished_rounds_are_not_done_again(run):
    first = run()
    assert run(cancelled=lambda: pytest.fail("worked again")) == first


def test_a_line_that_was_cut_off_does_not_count(run, tmp_path):
    run()
    journal = Journal(tmp_path / "out", "hybrid", 0)
    journal.path.write_text(journal.path.read_text() + '{"strategy": "hyb')
    assert len(journal.read()) == 3


def test_the_whole_pool_is_one_round(run):
    (only,) = run(FULL)
    assert only.labels == 6


def test_a_learner_measures_all_images_as_one(cases, tmp_path):
    cache = VolumeCache(tmp_path, SPEC)
    volumes = [cache.get(case) for case in cases[:3]]
    learner = Learner(SPEC, seed=0, device="cpu", cancelled=lambda: False)
    learner.learn(volumes, number=0, steps=4)
    drawn = np.stack([learner._draw(volume) for volume in volumes])
    truth = np.stack([volume.label for volume in volumes])
    expected = {label.name: dice(drawn == label.index, truth == label.index) for label in SPEC.labels}
    found = learner.measure(volumes)
    assert found == pytest.approx({name: value for name, value in expected.items() if not np.isnan(value)})
    effort = learner.to_correct(volumes[0])
    assert effort.voxels == np.count_nonzero(drawn[0] != truth[0])
    assert effort.contour == path_to_add(drawn[0], truth[0], SPEC.labels)


def test_strategies_that_leave_the_first_images_to_chance_go_on_from_one_network(run, tmp_path):
    """What the second run begins with is not learnt again: with other weights in its place it shows."""
    random = run("random")
    uncertain = run("uncertainty")
    assert uncertain[0].chosen == random[0].chosen
    assert uncertain[0].dice == random[0].dice
    (measured,) = (tmp_path / "out" / "beginnings").glob("*.json")
    measured.write_text('{"heart": 0.125}')
    assert run("margin")[0].dice == {"heart": 0.125}


def test_a_shared_beginning_changes_nothing(run):
    run("random")
    assert without_time(run("margin")) == without_time(run("margin", folder="alone"))


def test_rounds_of_another_carina_are_not_gone_on_with(run, tmp_path):
    run()
    journal = Journal(tmp_path / "out", "hybrid", 0)
    journal.path.write_text(journal.path.read_text().replace("contour_added", "something_else"))
    with pytest.raises(ConflictError, match="Choose another folder"):
        journal.read()


def test_before_the_first_round_every_labelled_voxel_has_to_be_drawn(cases, tmp_path):
    volume = VolumeCache(tmp_path, SPEC).get(cases[0])
    learner = Learner(SPEC, seed=0, device="cpu", cancelled=lambda: False)
    effort = learner.to_correct(volume)
    assert effort.voxels == np.count_nonzero(volume.label)
    assert effort.contour == path_to_add(np.zeros_like(volume.label), volume.label, SPEC.labels)
    assert learner.look(volume, None).presence == {}


def test_a_committee_is_the_network_as_it_was_after_the_rounds_before_also_after_a_restart(cases, tmp_path):
    volume = VolumeCache(tmp_path, SPEC).get(cases[0])
    learner, restarted = (Learner(SPEC, seed=0, device="cpu", cancelled=lambda: False) for _ in range(2))
    method = find_methods().get("committee")
    learner.learn([volume], number=0, steps=1)
    assert learner.look(volume, method).score is None
    for number in (1, 2):
        learner.learn([volume], number=number, steps=1)
    learner.save(tmp_path / "weights.safetensors")
    restarted.restore(tmp_path / "weights.safetensors")
    score = restarted.look(volume, method).score
    assert score > 0
    assert score == pytest.approx(learner.look(volume, method).score, rel=0.01)  # weights lie otherwise in memory
    assert len(restarted._before) == 2


@pytest.mark.parametrize("task", ["thorax_ct", "cxr_anatomy"])
def test_a_learner_goes_on_from_what_it_saved_also_where_layers_share_their_weights(task, tmp_path):
    spec = find_tasks().get(task)
    before, after = (Learner(spec, seed=seed, device="cpu", cancelled=lambda: False) for seed in (0, 1))
    before.save(tmp_path / "weights.safetensors")
    after.restore(tmp_path / "weights.safetensors")
    states = (learner._network.state_dict() for learner in (before, after))
    for one, other in zip(*(state.values() for state in states), strict=True):
        assert torch.equal(one, other)
