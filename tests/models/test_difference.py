"""A difference names what changed, and says when two versions were measured on different cases."""

from __future__ import annotations

import dataclasses

import torch

from carina.models.difference import changes, difference
from carina.models.registry_mlflow import describe
from carina.structures import label_set


def case(number, part, revision="a"):
    return {"image_id": f"image{number}", "revision": revision, "part": part}


def add(store, spec, *, dice, cases, options, low=None):
    return store.add(
        spec.name,
        {"weight": torch.full((2,), dice)},
        fingerprint=spec.fingerprint(),
        labels=spec.labels.indices,
        metrics={"liver": {"dice": dice}},
        intervals={"liver": {"dice": {"mean": dice, "low": low, "high": 1.0, "n": 2}}},
        task_spec=spec.to_json(),
        data={"cases": cases, "options": options, "measured_on": "holdout"},
    )


def test_tells_metrics_data_options_and_task(store, spec):
    before = add(
        store, spec, dice=0.6, low=0.5, cases=[case(1, "train"), case(2, "train"), case(9, "holdout")],
        options={"seed": 0, "max_epochs": 3},
    )  # fmt: skip
    changed = dataclasses.replace(spec, spacing_mm=(1.5, 2.0, 2.0), labels=label_set("liver", "heart"))
    after = add(
        store, changed, dice=0.7, cases=[case(1, "train", "b"), case(2, "train"), case(9, "holdout")],
        options={"seed": 0, "max_epochs": 5},
    )  # fmt: skip
    found = difference(before, after)
    (liver,) = found.metrics
    assert (liver.before["low"], round(liver.difference, 6)) == (0.5, 0.1)
    assert found.same_cases
    assert not found.same_weights
    assert [row["revision"] for row in found.added] == ["b"]
    assert [row["revision"] for row in found.removed] == ["a"]
    assert [(row.name, row.before, row.after) for row in found.options] == [("max_epochs", 3, 5)]
    named = {row.name: (row.before, row.after) for row in found.task_spec}
    assert named["spacing_mm"] == ([2.0, 2.0, 2.0], [1.5, 2.0, 2.0])
    assert named["labels.heart.index"] == (None, 2)
    assert named["labels.spleen.index"] == (2, None)
    assert found.code == ()


def test_other_holdout_cases_are_said(store, spec):
    before = add(store, spec, dice=0.6, cases=[case(9, "holdout")], options={})
    after = add(store, spec, dice=0.6, cases=[case(9, "holdout"), case(8, "holdout")], options={})
    assert not difference(before, after).same_cases
    assert difference(before, after).same_weights


def test_a_version_that_recorded_nothing_can_still_be_compared(store, spec):
    bare = store.add(spec.name, {"weight": torch.zeros(2)}, fingerprint="f", labels={})
    found = difference(bare, add(store, spec, dice=0.6, cases=[case(9, "holdout")], options={"seed": 0}))
    (liver,) = found.metrics
    assert (liver.before["mean"], liver.difference) == (None, None)
    assert found.task_spec == ()
    assert not found.same_cases


def test_changes_are_named_by_their_path():
    found = changes({"a": {"b": 1, "c": (1, 2)}, "d": 1}, {"a": {"b": 2, "c": [1, 2]}, "e": {}})
    assert [(row.name, row.before, row.after) for row in found] == [("a.b", 1, 2), ("d", 1, None), ("e", None, {})]


def test_versions_that_tell_findings_are_compared_by_auroc(store, spec):
    def told(area: float):
        return store.add(
            spec.name,
            {"weight": torch.full((2,), area)},
            fingerprint=spec.fingerprint(),
            labels=spec.labels.indices,
            metrics={"nodule": {"auroc": area, "brier": 0.2}},
            intervals={"nodule": {"auroc": {"mean": area, "low": 0.5, "high": 1.0, "n": 9}}},
        )

    before, after = told(0.75), told(0.875)
    found = difference(before, after)
    assert found.metric == "AUROC"
    assert [(row.label, row.before["low"], row.difference) for row in found.metrics] == [("nodule", 0.5, 0.125)]
    assert "| label | AUROC | 95 % low | 95 % high | cases |\n|---|---|---|---|---|\n| nodule | 0.875 |" in describe(
        after
    )
