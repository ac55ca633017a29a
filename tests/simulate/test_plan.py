from __future__ import annotations

import dataclasses

import pytest

from carina.errors import ConflictError, InvalidInputError, UnknownNameError
from carina.registry import find_tasks
from carina.simulate.plan import FULL, Plan, keep, split

PLAN = Plan(task="thorax_ct", images="i", labels="l", strategies=("hybrid",), seeds=2)
PATIENTS = [f"P{number}" for number in range(20)]


def test_test_patients_depend_on_the_seed_alone():
    first = split(PATIENTS, seed=0, test_fraction=0.3)
    assert len(first) == 6
    assert split(PATIENTS[::-1] * 2, seed=0, test_fraction=0.3) == first
    assert split(PATIENTS, seed=1, test_fraction=0.3) != first


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_there_is_always_somebody_to_test_and_somebody_to_label(fraction):
    assert 1 <= len(split(PATIENTS[:2], seed=0, test_fraction=fraction)) < 2


def test_one_patient_cannot_be_simulated():
    with pytest.raises(InvalidInputError, match="2 patients"):
        split(["P1", "P1"], seed=0, test_fraction=0.3)


def test_random_and_the_whole_pool_are_always_compared_with():
    assert PLAN.runs == [(name, seed) for seed in (0, 1) for name in (FULL, "random", "hybrid")]


def test_rounds_end_with_the_pool():
    plan = dataclasses.replace(PLAN, start=4, step=4, rounds=10)
    assert [plan.rounds_of(pool) for pool in (3, 4, 5, 42)] == [1, 1, 2, 10]


def test_a_folder_goes_on_with_more_seeds_but_not_with_other_steps(tmp_path):
    keep(PLAN, tmp_path)
    keep(dataclasses.replace(PLAN, seeds=5, strategies=("hybrid", "coverage")), tmp_path)
    with pytest.raises(ConflictError, match="steps"):
        keep(dataclasses.replace(PLAN, steps=PLAN.steps + 1), tmp_path)


@pytest.mark.parametrize("changes", [{"seeds": 0}, {"steps": -1}, {"test_fraction": 1.0}])
def test_impossible_values_are_refused(changes):
    with pytest.raises(InvalidInputError):
        dataclasses.replace(PLAN, **changes)


def test_the_whole_pool_gets_as_many_steps_as_all_rounds_together():
    plan = dataclasses.replace(PLAN, steps=40)
    assert [plan.steps_of(1), plan.steps_of(3)] == [40, 120]
    patient = dataclasses.replace(plan, first_steps=200)
    assert [patient.steps_of(1), patient.steps_of(3)] == [200, 280]


def test_an_unknown_strategy_is_refused():
    with pytest.raises(UnknownNameError, match="hybrid"):
        dataclasses.replace(PLAN, strategies=("hibrid",))


def test_a_matrix_replaces_the_spacing_and_is_one_window():
    spec = dataclasses.replace(PLAN, matrix_voxels=(32, 32, 16)).task_spec(find_tasks().get("thorax_ct"))
    assert (spec.spacing_mm, spec.roi_voxels, spec.trainer.patch_voxels) == (None, (32, 32, 16), (32, 32, 16))
