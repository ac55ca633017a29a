"""The gate lets nothing worse through, says why, and knows what it does not know."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from carina.errors import ConfigurationError
from carina.models.gate import Candidate, decide, decide_first, drifts
from carina.models.scores import Score, better_than_chance

NAN = math.nan


def scores(table):
    """Image → label → Dice as scores; nan stands for a structure that neither reference nor drawing has."""
    return {
        case: {name: Score(dice=dice, reference_ml=0.0 if math.isnan(dice) else 1.0) for name, dice in row.items()}
        for case, row in table.items()
    }


def candidate(table, **fields):
    return Candidate(**({"scores": scores(table), "patients": {}} | fields))


def compare(after, before, *, margin=0.01, **options):
    return decide(candidate(after), scores(before), margin=margin, **options)


def test_better_on_every_label_is_promoted():
    decision = compare({"a": {"liver": 0.9}, "b": {"liver": 0.8}}, {"a": {"liver": 0.7}, "b": {"liver": 0.7}})
    assert decision.promoted
    assert decision.mean_difference == pytest.approx(0.15)
    assert decision.interval[0] <= 0.15 <= decision.interval[1]
    assert decision.per_label[0].candidate == pytest.approx(0.85)
    assert (decision.margin, decision.cases, decision.patients) == (0.01, 2, 2)


def test_one_label_beyond_the_margin_stops_a_better_mean():
    decision = compare({"a": {"liver": 0.9, "spleen": 0.5}}, {"a": {"liver": 0.5, "spleen": 0.6}}, margin=0.05)
    assert not decision.promoted
    assert "spleen -0.100" in decision.reason
    assert [row.verdict for row in decision.per_label] == ["better", "worse"]
    assert decision.per_label[1].reason == "fell by 0.100, more than 0.05"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (-0.00004, "worse on average; mean Dice 0.00004 lower on 1 holdout case"),
        (-0.0123, "worse on average; mean Dice 0.012 lower on 1 holdout case"),
        (0.0, "not worse on any label; mean Dice unchanged on 1 holdout case"),
        (0.0006, "not worse on any label; mean Dice 0.0006 higher on 1 holdout case"),
    ],
)
def test_the_reason_says_by_how_much_the_mean_changed_however_little(change, words):
    decision = compare({"a": {"liver": 0.7 + change}}, {"a": {"liver": 0.7}}, margin=0.05)
    assert decision.reason == words


def test_a_rare_label_in_one_of_many_cases_stops_an_otherwise_better_candidate():
    before = {str(number): {"liver": 0.5, "nodule": NAN} for number in range(30)} | {"rare": {"nodule": 0.6}}
    after = {str(number): {"liver": 0.9, "nodule": NAN} for number in range(30)} | {"rare": {"nodule": 0.55}}
    decision = compare(after, before)
    assert not decision.promoted
    assert "nodule -0.050" in decision.reason
    assert decision.per_label[1].cases == 1


def test_a_label_that_no_holdout_case_has_is_said_to_be_unknown():
    decision = decide(
        candidate({"a": {"liver": 0.9, "nodule": NAN}}, labels=("liver", "nodule", "vein")),
        scores({"a": {"liver": 0.8, "nodule": NAN}}),
        margin=0.01,
    )
    assert decision.promoted
    assert "cannot be shown for nodule, vein" in decision.reason
    assert {row.label: row.verdict for row in decision.per_label} == {
        "liver": "better",
        "nodule": "cannot be shown",
        "vein": "cannot be shown",
    }


def drawn_falsely(volume_ml):
    dice = 0.0 if volume_ml else NAN
    return Score(dice=dice, reference_ml=0.0, false_ml=volume_ml)


@pytest.mark.parametrize(("before_ml", "after_ml", "stops"), [(0, 2, True), (2, 0, False), (0, 0.01, False)])
def test_a_structure_drawn_where_it_is_not_stops_a_candidate_unless_it_is_a_speck(before_ml, after_ml, stops):
    liver = Score(dice=0.8, reference_ml=1000.0)
    decision = decide(
        Candidate(scores={"a": {"liver": liver, "nodule": drawn_falsely(after_ml)}}, patients={}),
        {"a": {"liver": liver, "nodule": drawn_falsely(before_ml)}},
        margin=0.01,
    )
    assert decision.promoted is not stops
    assert ("draws nodule in cases that do not have it" in decision.reason) is stops


def test_what_is_a_speck_depends_on_how_large_the_structure_is():
    table = {"a": {"liver": Score(dice=0.8, reference_ml=1500.0)}, "b": {"liver": drawn_falsely(0)}}
    speck = table | {"b": {"liver": drawn_falsely(20)}}
    lump = table | {"b": {"liver": drawn_falsely(600)}}
    assert decide(Candidate(scores=speck, patients={}), table, margin=0.01).promoted
    assert not decide(Candidate(scores=lump, patients={}), table, margin=0.01).promoted


def test_a_fall_within_the_margin_passes_if_the_mean_holds():
    served = {"a": {"liver": 0.5, "spleen": 0.6}}
    assert compare({"a": {"liver": 0.52, "spleen": 0.59}}, served).promoted
    assert not compare({"a": {"liver": 0.505, "spleen": 0.59}}, served).promoted


def test_small_falls_do_not_add_up_over_many_promotions():
    """Each step alone is within the margin, and another label makes up for it on average."""
    served = {"a": {"liver": 0.5, "nodule": 0.6}}
    drift, decisions = {}, []
    for step in range(1, 4):
        following = {"a": {"liver": 0.5 + 0.02 * step, "nodule": 0.6 - 0.008 * step}}
        decision = compare(following, served, drift=drift)
        decisions.append(decision)
        if decision.promoted:
            served, drift = following, drifts(json.loads(json.dumps(decision.to_json())))
    assert [decision.promoted for decision in decisions] == [True, False, False]
    assert "nodule -0.008 (fell by 0.016 since its best version, more than 0.01)" in decisions[1].reason


def test_a_label_that_recovers_may_fall_again():
    down = compare({"a": {"liver": 0.5, "nodule": 0.592}}, {"a": {"liver": 0.4, "nodule": 0.6}})
    up = compare(
        {"a": {"liver": 0.5, "nodule": 0.61}}, {"a": {"liver": 0.5, "nodule": 0.592}}, drift=drifts(down.to_json())
    )
    assert drifts(up.to_json()) == {"liver": 0.0, "nodule": 0.0}


def test_a_persons_promotion_against_the_gate_starts_the_count_anew():
    refused = compare({"a": {"liver": 0.5}}, {"a": {"liver": 0.9}})
    assert drifts(refused.to_json()) == {}
    assert drifts(None) == {}


def test_an_empty_holdout_promotes_nothing_over_a_served_version():
    decision = compare({}, {})
    assert not decision.promoted
    assert "holdout is empty" in decision.reason
    assert "carina models promote" in decision.reason


def test_undefined_dice_counts_for_nothing():
    after = {"a": {"liver": 0.8, "nodule": NAN}, "b": {"liver": NAN, "nodule": 0.5}}
    before = {"a": {"liver": 0.8, "nodule": NAN}, "b": {"liver": NAN, "nodule": 0.4}}
    decision = compare(after, before, margin=0.0)
    assert decision.promoted
    assert decision.mean_difference == pytest.approx(0.05)
    json.dumps(decision.to_json(), allow_nan=False)


def test_a_holdout_without_any_label_promotes_nothing():
    decision = compare({"a": {"liver": NAN}}, {"a": {"liver": NAN}})
    assert not decision.promoted
    assert "no holdout case" in decision.reason
    assert not decide_first(candidate({"a": {"liver": NAN}}), margin=0.01).promoted


def test_different_cases_cannot_be_compared():
    with pytest.raises(ConfigurationError, match="same cases"):
        compare({"a": {"liver": 1.0}}, {"b": {"liver": 1.0}})


class TestChance:
    """What a model that learned nothing would reach."""

    POOR = Score(dice=0.3, chance=0.28, reference_ml=1.0)
    GOOD = Score(dice=0.5, chance=0.28, reference_ml=1.0)

    def test_a_first_version_must_be_better_than_chance(self):
        first = decide_first(Candidate(scores={"a": {"liver": self.GOOD}}, patients={}), margin=0.01)
        poor = decide_first(Candidate(scores={"a": {"liver": self.POOR}}, patients={}), margin=0.01)
        assert first.promoted
        assert first.reason == "nothing served yet; better than chance on liver, on 1 holdout case"
        assert not poor.promoted
        assert "better than chance would draw it" in poor.reason

    def test_one_label_better_than_chance_is_enough_for_a_first_version(self):
        first = decide_first(Candidate(scores={"a": {"liver": self.POOR, "spleen": self.GOOD}}, patients={}), margin=0)
        assert (first.promoted, first.better_than_chance) == (True, ("spleen",))

    def test_a_first_version_may_be_shown_on_validation_but_not_on_training_patients(self):
        on = {
            part: decide_first(
                Candidate(scores={"a": {"liver": self.GOOD}}, patients={}, measured_on=part), margin=0.01
            )
            for part in ("validation", "train")
        }
        assert on["validation"].promoted
        assert "1 validation case" in on["validation"].reason
        assert not on["train"].promoted
        assert "which shows nothing" in on["train"].reason

    def test_luck_over_a_served_version_of_chance_quality_is_not_enough(self):
        served = {"a": {"liver": Score(dice=0.29, chance=0.28, reference_ml=1.0)}}
        lucky = Candidate(scores={"a": {"liver": self.POOR}}, patients={})
        assert not decide(lucky, served, margin=0.01).promoted

    def test_luck_on_the_holdout_is_not_enough_if_the_training_labels_were_not_learnt(self):
        lucky = Candidate(
            scores={"a": {"liver": self.GOOD}}, learnt={"t": {"liver": self.POOR}}, patients={}, labels=("liver",)
        )
        served = {"a": {"liver": Score(dice=0.4, chance=0.2, reference_ml=1.0)}}
        for decision in (decide_first(lucky, margin=0.01), decide(lucky, served, margin=0.01)):
            assert not decision.promoted
            assert "own training cases" in decision.reason

    def test_cases_without_the_structure_say_nothing_about_chance(self):
        assert better_than_chance({"a": {"liver": drawn_falsely(3)}, "b": {"liver": self.GOOD}}) == ("liver",)


def test_interval_is_scipys_percentile_bootstrap():
    differences = np.random.default_rng(5).normal(0.03, 0.05, size=25)
    served = {f"{number:02}": {"liver": 0.5} for number in range(25)}
    after = {f"{number:02}": {"liver": 0.5 + value} for number, value in enumerate(differences)}
    low, high = compare(after, served, margin=1.0, resamples=20_000).interval
    expected = stats.bootstrap((differences,), np.mean, method="percentile", n_resamples=20_000, rng=7)
    assert low == pytest.approx(expected.confidence_interval.low, abs=2e-3)
    assert high == pytest.approx(expected.confidence_interval.high, abs=2e-3)


def test_images_of_one_patient_count_as_one_for_the_interval():
    after, before = {"a": {"liver": 0.9}, "b": {"liver": 0.5}}, {"a": {"liver": 0.5}, "b": {"liver": 0.4}}
    together = decide(candidate(after, patients={"a": "p", "b": "p"}), scores(before), margin=0.01)
    assert (together.patients, together.interval, together.per_label[0].interval) == (1, None, None)


@given(st.lists(st.tuples(st.floats(0.1, 1), st.floats(0, 1)), min_size=1, max_size=6), st.floats(0, 0.2))
def test_a_lower_mean_is_never_promoted(pairs, margin):
    after = {str(number): {"liver": pair[0]} for number, pair in enumerate(pairs)}
    before = {str(number): {"liver": pair[1]} for number, pair in enumerate(pairs)}
    difference = float(np.mean([pair[0] - pair[1] for pair in pairs]))
    decision = compare(after, before, margin=margin, resamples=50)
    assert decision.promoted is (difference >= -1e-6)
