"""Where a training may start from a version or from nothing, both are tried, and the better one is gone on with."""

from __future__ import annotations

import dataclasses
import json
import logging

import pytest
import torch

from carina.errors import CancelledError, InvalidInputError
from carina.infers.sliding_window import predict
from carina.models.loading import load_weights
from carina.models.store import ModelStore
from carina.trainers.options import override
from carina.trainers.splits import FileSplitStore
from carina.trainers.standing import Epoch
from carina.trainers.starting import better
from carina.trainers.training import train
from carina.trainers.warm_start import AUTO, NOTHING, either, tried

from .conftest import Died

OPTIONS = {"max_epochs": 3, "steps_per_epoch": 4, "batch_size": 2, "trial_share": 0.3}
pytestmark = pytest.mark.usefixtures("one_thread")


def train_in(folder, spec, cases, *, options, **given):
    """Train in a home of its own."""
    models = ModelStore(folder / "models")
    return train(
        cases, spec=spec, models=models, splits=FileSplitStore(models.root), predict=predict,
        work_dir=folder / "work", device="cpu", options=dataclasses.replace(spec.trainer, **{**OPTIONS, **options}),
        checkpoint=folder / "checkpoint.safetensors", **given,
    )  # fmt: skip


@pytest.fixture
def start(tmp_path, spec, toy_case):
    """Train in a home of its own, whose split is that of all others."""

    def run(home: str, *, patients: int = 6, **given):
        cases = given.pop("cases", [toy_case(seed) for seed in range(patients)])
        return train_in(tmp_path / home, spec, cases, options=given.pop("options", {}), **given)

    return run


@pytest.fixture
def serve(tmp_path, spec):
    """Serve weights in a home."""

    def put(home: str, state, **data):
        models = ModelStore(tmp_path / home / "models")
        version = models.add(
            spec.name, state, fingerprint=spec.fingerprint(), labels=spec.labels.indices,
            data={"trained_labels": list(spec.labels.names), **data},
        )  # fmt: skip
        models.promote(spec.name, version.version, reason="test")
        return version

    return put


@pytest.fixture(scope="module")
def learned(tmp_path_factory, spec, toy_case):
    """Weights that can already tell the shapes."""
    cases, options = [toy_case(seed) for seed in range(6)], {"max_epochs": 4, "steps_per_epoch": 12}
    school = train_in(tmp_path_factory.mktemp("school"), spec, cases, options=options, start_from=NOTHING)
    return load_weights(school.version)


@pytest.fixture
def broken(learned):
    """Weights from which a network hardly learns: far from anything that ever drew a shape."""
    return {name: torch.full_like(tensor, -3.0) for name, tensor in learned.items()}


def test_a_good_version_is_gone_on_with_and_the_training_is_as_if_it_had_been_told_to(start, serve, learned, caplog):
    for home in ("tried", "told"):
        serve(home, learned)
    caplog.set_level(logging.INFO)

    steps = []
    both = start("tried", start_from=AUTO, on_step=steps.append)
    told = start("told", start_from="served")

    assert (both.start.chosen, both.version.parent, both.start.epochs) == ("v1", "v1", 1)
    assert both.start.scores["v1"] > both.start.scores["nothing"]
    assert both.version.sha256 == told.version.sha256
    assert [(row.loss, row.dice) for row in both.history] == [(row.loss, row.dice) for row in told.history]
    assert len(steps) == (3 + 1) * 4  # what was not gone on with is all that it takes more
    assert both.version.data["start"] == both.start.to_json()
    assert both.start.reason.startswith(f"validation Dice {both.start.scores['v1']:.3f} from v1 and ")
    assert f"starts from v1: {both.start.reason}." in caplog.text
    assert told.start is None
    assert "start" not in told.version.data


def test_a_version_from_which_nothing_is_learned_gives_way_to_random_weights(start, serve, broken):
    serve("tried", broken)
    both, told = start("tried", start_from=AUTO), start("told", start_from=NOTHING)
    assert (both.start.chosen, both.version.parent) == (NOTHING, None)
    assert both.version.sha256 == told.version.sha256


def test_a_version_that_was_named_is_tried_instead_of_the_served_one(start, serve, learned, broken):
    serve("tried", learned)
    serve("tried", broken)
    assert start("tried", start_from=either("v1")).version.parent == "v1"


@pytest.mark.parametrize("after", [2, 6, 10])
def test_stopped_in_either_trial_or_afterwards_it_decides_once_and_ends_as_if_nobody_had(
    start, serve, learned, tmp_path, after
):
    """Four steps from the version, four from nothing, eight more."""
    for home in ("cut", "whole"):
        serve(home, learned)
    steps, resumed, epochs = [], [], []

    def die(step):
        steps.append(step)
        if len(steps) == after:
            raise Died

    with pytest.raises(Died):
        start("cut", start_from=AUTO, on_step=die, checkpoint_every_s=0.0)
    decided = (tmp_path / "cut" / "start.json").exists()
    cut = start("cut", start_from=AUTO, on_step=resumed.append)
    whole = start("whole", start_from=AUTO, on_step=epochs.append)

    assert decided is (after == 10)
    assert len(resumed) == len(epochs) - (after - 1)  # the step of the death itself had no checkpoint yet
    assert (cut.version.sha256, cut.start) == (whole.version.sha256, whole.start)
    assert sorted(path.name for path in (tmp_path / "cut").glob("*.*")) == ["checkpoint.safetensors", "start.json"]


def test_a_resumed_training_does_not_decide_again(start, serve, learned, tmp_path):
    """What was decided is read, not measured: the other start would win if it were asked."""
    serve("cut", learned)
    told = []
    with pytest.raises(CancelledError):
        start("cut", start_from=AUTO, on_step=told.append, cancelled=lambda: len(told) == 10)
    path = tmp_path / "cut" / "start.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"chosen": NOTHING, "reason": "a test"}))
    found = start("cut", start_from=AUTO)
    assert (found.version.parent, found.start.reason) == (None, "a test")


def test_what_another_training_decided_is_not_taken_over(start, serve, learned):
    serve("home", learned)
    first = start("home", start_from=AUTO)
    second = start("home", start_from=AUTO, options={"trial_share": 0.5})
    assert (first.start.epochs, second.start.epochs) == (1, 2)


def test_progress_rises_through_both_trials_and_says_which_it_is(start, serve, learned):
    serve("home", learned)
    told = []
    start("home", start_from=AUTO, progress=lambda fraction, text: told.append((fraction, text)))
    fractions = [fraction for fraction, _ in told]
    assert fractions == sorted(fractions)
    trying = [text.partition(",")[0] for _, text in told if text.startswith("trying")]
    assert trying == ["trying to start from v1"] * 4 + ["trying to start from nothing"] * 4


def test_without_a_version_it_starts_from_nothing_at_once(start):
    steps = []
    found = start("home", start_from=AUTO, on_step=steps.append)
    assert (found.start.chosen, found.start.epochs, len(steps)) == (NOTHING, 0, 12)
    assert found.start.reason == "no earlier version fits the task"


def test_without_validation_patients_the_version_is_kept_for_there_is_nothing_to_compare_by(start, serve, learned):
    serve("home", learned)
    found = start("home", patients=1, start_from=AUTO)
    assert (found.start.chosen, found.start.epochs) == ("v1", 0)
    assert found.start.reason == "there is no validation patient to compare by"


def test_a_version_that_knows_a_label_which_no_case_teaches_is_kept(start, serve, learned, toy_case):
    serve("home", learned)
    cases = [toy_case(seed, annotated=frozenset({"liver"})) for seed in range(6)]
    found = start("home", cases=cases, start_from=AUTO)
    assert found.version.parent == "v1"
    assert found.start.reason == "no case teaches spleen, which v1 knows"


def test_both_are_tried_for_as_long_where_a_training_from_a_version_is_shorter(start, serve, learned, toy_case):
    parts = [{"image_id": f"image{seed}", "revision": "1", "part": "train"} for seed in range(6)]
    serve("home", learned, cases=parts)
    found = start("home", start_from=AUTO, options={"max_epochs": 10, "warm_share": 0.2, "trial_share": 0.5})
    assert found.start.epochs == 2


@pytest.mark.parametrize(
    ("earlier", "random", "chosen"),
    [((0.5, 0.8), (0.7, 0.79), "v1"), ((0.5, 0.5), (0.4, 0.6), NOTHING), ((0.5,), (0.5,), "v1"),
     ((None,), (None,), "v1"), ((None,), (0.1,), NOTHING), ((0.1,), (None,), "v1")],
)  # fmt: skip
def test_the_best_epoch_of_each_counts_and_the_version_where_there_is_no_telling(earlier, random, chosen):
    def rows(values):
        return [Epoch(number=1, loss=0.1, dice=value, per_label={}, seconds=1.0) for value in values]

    found = better("v1", {"v1": rows(earlier), NOTHING: rows(random)}, metric="Dice", epochs=1)
    assert found.chosen == chosen
    assert found.reason.endswith("from nothing within 1 epoch")


def test_a_start_is_told_in_words_that_are_read_again():
    assert tried("served") == ("served", False)
    assert tried("v3") == ("v3", False)
    assert tried(AUTO) == ("served", True)
    assert tried(either("v3")) == ("v3", True)
    assert tried(either(NOTHING)) == (NOTHING, True)


@pytest.mark.parametrize("share", [0, 1.5])
def test_a_share_that_is_none_is_refused(spec, share):
    with pytest.raises(InvalidInputError, match="trial_share"):
        override(spec.trainer, {"trial_share": share})
