"""Options of a request are checked by name, type and range."""

from __future__ import annotations

import dataclasses

import pytest

from carina.errors import InvalidInputError
from carina.registry import find_tasks
from carina.task import TrainerOptions
from carina.trainers.options import check_options, override


def test_numbers_and_texts_of_numbers_are_taken():
    changed = override(
        TrainerOptions(), {"max_epochs": "7", "learning_rate": 0.5, "patch_voxels": "32, 48,64", "seed": 0}
    )
    assert (changed.max_epochs, changed.learning_rate, changed.patch_voxels) == (7, 0.5, (32, 48, 64))
    assert changed.batch_size == TrainerOptions().batch_size
    assert override(changed, {"patch_voxels": [1, 2, 3]}).patch_voxels == (1, 2, 3)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"max_epoch": 1}, "Did you mean 'max_epochs'"),
        ({"max_epochs": 1.5}, "whole number"),
        ({"max_epochs": 0}, "above 0"),
        ({"learning_rate": "fast"}, "a number, got 'fast'"),
        ({"learning_rate": float("nan")}, "a number above 0"),
        ({"learning_rate": float("inf")}, "a number above 0"),
        ({"seed": -1}, "at least 0"),
        ({"patch_voxels": "32,32"}, "3 sizes"),
        ({"patch_voxels": 32}, "3 sizes"),
        ({"batch_size": None}, "whole number"),
        ({"new_share": 1.5}, "at most 1"),
        ({"warm_share": 0}, "above 0"),
        ({"ema": 1}, "at most 0.9999"),
    ],
)
def test_anything_else_is_refused(values, message):
    with pytest.raises(InvalidInputError, match=message):
        override(TrainerOptions(), values)


@pytest.mark.parametrize("task", ["cxr_findings", "thorax_ct_clicks"])
def test_kinds_that_learn_nothing_from_images_without_labels_refuse_the_option(task):
    spec = find_tasks().get(task)
    with pytest.raises(InvalidInputError, match="unlabelled_weight must be 0 for a task of kind"):
        check_options(spec, dataclasses.replace(spec.trainer, unlabelled_weight=1.0))
