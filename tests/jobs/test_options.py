"""Options come from carina's and from MONAI Label's clients; what is wrong is said at once."""

from __future__ import annotations

import pytest

from carina.errors import InvalidInputError
from carina.jobs.options import parse_device, parse_options, parse_readers, parse_start
from carina.registry import find_tasks

# What Slicer's module sends for a stock trainer: the `_config` of monailabel 0.8.5, lists reduced to the chosen entry.
STOCK = {
    "model": "thorax_ct",
    "name": "train_01",
    "pretrained": True,
    "device": "cuda",
    "max_epochs": 50,
    "early_stop_patience": -1,
    "val_split": 0.2,
    "train_batch_size": 1,
    "val_batch_size": 1,
    "multi_gpu": True,
    "gpus": "all",
    "dataset": "SmartCacheDataset",
    "dataloader": "ThreadDataLoader",
    "tracking": "mlflow",
    "tracking_uri": "",
    "tracking_experiment_name": "",
    "client_id": "slicer",
    "local_rank": 0,
}


@pytest.fixture(scope="module")
def spec():
    return find_tasks().get("thorax_ct")


def test_no_options_leave_the_defaults_of_the_task(spec):
    assert parse_options(spec, {}) == spec.trainer


def test_a_stock_client_is_understood(spec):
    options = parse_options(spec, STOCK)
    assert (options.max_epochs, options.batch_size, options.validation_fraction) == (50, 1, 0.2)
    assert options.patience_epochs == 50
    assert options.learning_rate == spec.trainer.learning_rate


def test_text_from_an_input_field_is_a_number(spec):
    assert parse_options(spec, {"max_epochs": "7", "patch_voxels": "32,32,16"}).patch_voxels == (32, 32, 16)


def test_our_own_name_wins_over_the_one_of_monai_label(spec):
    assert parse_options(spec, {"batch_size": 3, "train_batch_size": 8}).batch_size == 3


def test_never_stopping_early_needs_a_patience_as_long_as_the_training(spec):
    assert parse_options(spec, {"early_stop_patience": -1}).patience_epochs == spec.trainer.max_epochs
    assert parse_options(spec, {"early_stop_patience": 4}).patience_epochs == 4


def test_a_misspelt_option_is_refused_with_what_was_meant(spec):
    with pytest.raises(InvalidInputError, match=r"'max_epoch' is not known\. Did you mean 'max_epochs'"):
        parse_options(spec, {"max_epoch": 3})


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_epochs": 0},
        {"max_epochs": 2.5},
        {"max_epochs": True},
        {"max_epochs": "many"},
        {"max_epochs": None},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"patch_voxels": [32, 32]},
        {"val_split": -0.1},
        {"val_split": 0.9, "holdout_fraction": 0.2},
        {"train_batch_size": [1]},
    ],
)
def test_a_value_that_does_not_fit_is_refused(spec, wrong):
    with pytest.raises(InvalidInputError):
        parse_options(spec, wrong)


def test_editable_fields_of_a_task_may_come_back(spec):
    assert parse_options(spec, dict(spec.config)) == spec.trainer


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_devices_by_name(device):
    assert parse_device({"device": device}) == device


def test_no_device_means_the_best_there_is():
    assert parse_device({}) == parse_device({"device": ""}) == "auto"


@pytest.mark.parametrize("device", ["tpu", "cuda:", "cuda:x", "cuda:-1", ["cuda"], 3, "CPU"])
def test_other_devices_are_refused(device):
    with pytest.raises(InvalidInputError):
        parse_device({"device": device})


@pytest.mark.parametrize(
    ("request_", "start"),
    [
        ({}, "served"),
        (STOCK, "served"),
        ({"pretrained": False}, "nothing"),
        ({"pretrained": "false"}, "nothing"),
        ({"start_from": "v3", "pretrained": False}, "v3"),
        ({"start_from": "nothing"}, "nothing"),
        ({"start_from": "auto", "pretrained": True}, "auto"),
    ],
)
def test_a_client_says_what_a_training_starts_from(spec, request_, start):
    assert parse_start(request_) == start
    parse_options(spec, request_)


@pytest.mark.parametrize("request_", [{"start_from": 3}, {"start_from": ""}, {"pretrained": "maybe"}])
def test_what_no_training_can_start_from_is_refused(request_):
    with pytest.raises(InvalidInputError, match="must be"):
        parse_start(request_)


def test_every_readers_label_counts_on_wish_where_labels_are_drawn(spec):
    assert [parse_readers(spec, request) for request in ({}, {"readers": "newest"}, {"readers": "all"})] == [
        False,
        False,
        True,
    ]
    with pytest.raises(InvalidInputError, match="must be newest or all, got 'both'"):
        parse_readers(spec, {"readers": "both"})
    with pytest.raises(InvalidInputError, match="must be newest for 'cxr_findings'"):
        parse_readers(find_tasks().get("cxr_findings"), {"readers": "all"})
