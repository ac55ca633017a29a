"""What distinguishes two versions of a task: quality, training data, options, the task itself and the code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from .version import QUALITIES, ModelVersion


@dataclass(frozen=True, kw_only=True)
class Change:
    """One thing that differs; None where one side does not have it."""

    name: str
    before: Any
    after: Any


@dataclass(frozen=True, kw_only=True)
class MetricChange:
    """A label's quality in both versions.

    Attributes:
        label: Name.
        before: `mean`, `low`, `high` and `n` in the first version; values None where unknown.
        after: The same in the second.
        difference: Second minus first mean; None if one is undefined.
    """

    label: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]
    difference: float | None


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Everything that distinguishes two versions.

    Attributes:
        task: Task name.
        before: First version.
        after: Second version.
        same_weights: Whether they are one model.
        same_cases: Whether both were measured on the same cases with the same labels; without that, the differences
            of the metrics say little.
        metric: What people call the quality that both are compared by, such as Dice.
        metrics: That quality per label.
        added: Cases `{"image_id", "revision", "part"}` that only the second was made from.
        removed: Cases that only the first was made from.
        options: Trainer options.
        task_spec: What the task declares.
        code: carina and libraries.
    """

    task: str
    before: str
    after: str
    same_weights: bool
    same_cases: bool
    metric: str
    metrics: tuple[MetricChange, ...]
    added: tuple[Mapping[str, Any], ...]
    removed: tuple[Mapping[str, Any], ...]
    options: tuple[Change, ...]
    task_spec: tuple[Change, ...]
    code: tuple[Change, ...]

    def to_json(self) -> dict[str, Any]:
        """All fields as JSON-able values."""
        return asdict(self)


def difference(before: ModelVersion, after: ModelVersion) -> Difference:
    """Compare two versions by what was recorded when they were made; no weights are read."""
    cases_before, cases_after = _cases(before), _cases(after)
    measured = after.quality or before.quality
    metric = measured[0] if measured else next(iter(QUALITIES))
    return Difference(
        task=after.task,
        before=before.version,
        after=after.version,
        same_weights=before.sha256 == after.sha256,
        same_cases=bool(_measured(before)) and _measured(before) == _measured(after),
        metric=QUALITIES[metric],
        metrics=tuple(_metrics(before, after, metric)),
        added=tuple(dict(case) for key, case in cases_after.items() if key not in cases_before),
        removed=tuple(dict(case) for key, case in cases_before.items() if key not in cases_after),
        options=changes(before.data.get("options", {}), after.data.get("options", {})),
        task_spec=changes(before.task_spec, after.task_spec) if before.task_spec and after.task_spec else (),
        code=changes({"carina": before.carina_version, **before.code}, {"carina": after.carina_version, **after.code}),
    )


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[Change, ...]:
    """What differs between two JSON objects, by dotted names such as `network.arguments.channels`."""
    flat_before, flat_after = dict(_flat(before)), dict(_flat(after))
    return tuple(
        Change(name=name, before=flat_before.get(name), after=flat_after.get(name))
        for name in dict.fromkeys([*flat_before, *flat_after])
        if flat_before.get(name) != flat_after.get(name)
    )


def _flat(content: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        elif _is_named_list(value):
            yield from _flat({str(entry["name"]): entry for entry in value}, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", list(value) if isinstance(value, tuple) else value


def _is_named_list(value: object) -> bool:
    """Whether it is a list such as a task's labels, of which one wants to know which label changed."""
    return isinstance(value, Sequence) and bool(value) and all(isinstance(x, Mapping) and "name" in x for x in value)


def _cases(version: ModelVersion) -> dict[tuple[str, str, str], Mapping[str, Any]]:
    cases = version.data.get("cases", ())
    return {(case["image_id"], case["revision"], case["part"]): case for case in cases}


def _measured(version: ModelVersion) -> frozenset[tuple[str, str]]:
    part = version.data.get("measured_on")
    return frozenset((image, revision) for image, revision, where in _cases(version) if where == part)


def _metrics(before: ModelVersion, after: ModelVersion, metric: str) -> Iterator[MetricChange]:
    for label in dict.fromkeys([*before.metrics, *after.metrics]):
        ours, theirs = _spread(before, label, metric), _spread(after, label, metric)
        known = ours["mean"] is not None and theirs["mean"] is not None
        yield MetricChange(
            label=label, before=ours, after=theirs, difference=theirs["mean"] - ours["mean"] if known else None
        )


def _spread(version: ModelVersion, label: str, metric: str) -> Mapping[str, Any]:
    """With its interval where that was recorded."""
    spread = version.intervals.get(label, {}).get(metric)
    mean = version.metrics.get(label, {}).get(metric)
    return spread or {"mean": mean, "low": None, "high": None, "n": None}
