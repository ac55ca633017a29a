"""Whether a draft looks like the labels its model learned from: pieces, holes, sides and shapes, without any truth.

What is usual is measured on the training labels and kept beside the version's weights (`plausibility.safetensors`), so
that a draft is compared with what its own network was taught. It does not look at the image: a plausible draft of
another patient counts as plausible.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..errors import ConfigurationError, InvalidInputError
from ..geometry import Volume
from ..labels import LabelSet
from ..task import TaskSpec
from .drawings import Drawing, measure
from .shapes import ShapeSpace, residuals_out_of_sample
from .usual import ODD, Spread
from .verdict import Oddity, Verdict
from .version import PLAUSIBILITY_NAME, ModelVersion

FEWEST_CASES = 5
"""With fewer labels there is no telling what is usual."""

FEATURES = ("shape", "apart", "holes")
"""What is measured of a structure by itself."""

_SMALLEST = {"shape": 0.02, "apart": 0.005, "holes": 0.01, "ratio": 0.05}
_AGREEING = 0.9
_PRESENT = 0.5

# What reading another file as if it were one of ours raises.
_NOT_OURS = (SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError, RecursionError)

Pair = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class UsualPair:
    """The left and the right one of a structure.

    Attributes:
        agreeing: Share of the labels in which they lie as the usual ones do, 0.5–1.
        left_is_left: Whether the left one usually lies further left.
        ratio: Of the logarithm of left volume by right volume.
    """

    agreeing: float
    left_is_left: bool
    ratio: Spread


@dataclass(frozen=True, eq=False, kw_only=True)
class Plausibility:
    """What is usual for the structures of a task.

    Attributes:
        names: The structures, in the order of all arrays.
        dimension: Of the task.
        present: Name → share of the labels that have it.
        spreads: Name → `FEATURES`, of labels that have it.
        pairs: Left and right name → what is usual for both.
        space: Of coarse masks.
    """

    names: tuple[str, ...]
    dimension: int
    present: Mapping[str, float]
    spreads: Mapping[str, Mapping[str, Spread]]
    pairs: Mapping[Pair, UsualPair]
    space: ShapeSpace

    @classmethod
    def of(cls, labels: Iterable[Volume], *, spec: TaskSpec, names: Sequence[str]) -> Plausibility | None:
        """Learn from label maps.

        Args:
            labels: Label maps in which each of `names` was looked for.
            spec: The task.
            names: Of its labels.

        Returns:
            None if there are fewer than `FEWEST_CASES`.
        """
        drawings = [measure(one, labels=spec.labels, names=names, dimension=spec.dimension) for one in labels]
        if len(drawings) < FEWEST_CASES or not names:
            return None
        masks = np.stack([drawing.masks for drawing in drawings])
        residuals = residuals_out_of_sample(masks)
        there = np.array([drawing.volumes_ml > 0 for drawing in drawings])
        measured = {
            "shape": residuals,
            "apart": np.array([drawing.apart for drawing in drawings]),
            "holes": np.array([drawing.holes for drawing in drawings]),
        }
        spreads = {
            name: {
                feature: Spread.of(values[there[:, position], position].tolist(), smallest=_SMALLEST[feature])
                for feature, values in measured.items()
            }
            for position, name in enumerate(names)
            if there[:, position].any()
        }
        return cls(
            names=tuple(names),
            dimension=spec.dimension,
            present=dict(zip(names, there.mean(axis=0).tolist(), strict=True)),
            spreads=spreads,
            pairs=dict(_usual_pairs(drawings, spec.labels, list(names))),
            space=ShapeSpace.of(masks),
        )

    def judge(self, label: Volume, labels: LabelSet) -> Verdict:
        """Look at one draft.

        Args:
            label: `(X, Y, Z)` label map of `labels`.
            labels: Those of the task.
        """
        found = self.oddities(label, labels)
        structures = dict.fromkeys(self.names, 0.0)
        for one in found:
            for name in one.names:
                structures[name] = max(structures[name], one.odd)
        return Verdict(
            score=1 - max(structures.values()),
            structures=structures,
            reasons=tuple(dict.fromkeys(one.text for one in found if one.odd >= ODD)),
        )

    def oddities(self, label: Volume, labels: LabelSet) -> list[Oddity]:
        """All that `judge` looks at, the oddest first; its arguments."""
        drawing = measure(label, labels=labels, names=self.names, dimension=self.dimension)
        return sorted(self._oddities(drawing), key=lambda one: -one.odd)

    def _oddities(self, drawing: Drawing) -> Iterator[Oddity]:
        residuals = self.space.residuals(drawing.masks)
        for position, name in enumerate(self.names):
            if drawing.volumes_ml[position] == 0:
                if self.present[name] > _PRESENT:
                    yield Oddity((name,), self.present[name], f"{name} is missing", fault=True)
                continue
            if name not in self.spreads:
                yield Oddity((name,), 1.0, f"{name} is drawn, and none of the labels learned from has it")
                continue
            usual, apart, holes = self.spreads[name], drawing.apart[position], drawing.holes[position]
            yield Oddity((name,), usual["shape"].beyond(residuals[position]), f"{name} has an unusual shape or place")
            text = f"{name} is in pieces, {100 * apart:.0f} % of it apart from the largest"
            yield Oddity((name,), usual["apart"].beyond(apart), text)
            yield Oddity((name,), usual["holes"].beyond(holes), f"{name} has holes of {100 * holes:.0f} % of its size")
        for (left, right), pair in self.pairs.items():
            yield from self._oddities_of_pair(drawing, left, right, pair)

    def _oddities_of_pair(self, drawing: Drawing, left: str, right: str, pair: UsualPair) -> Iterator[Oddity]:
        first, second = self.names.index(left), self.names.index(right)
        is_left, ratio = _sides(drawing, first, second)
        if math.isnan(ratio):
            return
        if pair.agreeing >= _AGREEING and is_left != pair.left_is_left:
            yield Oddity((left, right), pair.agreeing, f"{left} and {right} look exchanged", fault=True)
        times, usual = math.exp(ratio), math.exp(pair.ratio.middle)
        text = f"{left} has {times:.1f} times the size of {right}, usual is {usual:.1f}"
        yield Oddity((left, right), pair.ratio.apart(ratio), text)

    def save(self, path: Path) -> None:
        """Write it as one file of arrays and words; nothing in it can be executed."""
        content = {
            "names": self.names,
            "dimension": self.dimension,
            "present": self.present,
            "spreads": {
                name: {feature: asdict(spread) for feature, spread in row.items()} for name, row in self.spreads.items()
            },
            "pairs": [[left, right, asdict(pair)] for (left, right), pair in self.pairs.items()],
        }
        arrays = {"mean": self.space.mean, "axes": self.space.axes}
        save_file(
            {name: np.ascontiguousarray(array, dtype=np.float16) for name, array in arrays.items()},
            str(path),
            metadata={"plausibility": json.dumps(content)},
        )

    @classmethod
    def load(cls, path: Path) -> Plausibility:
        """Read what `save` wrote.

        Raises:
            InvalidInputError: If it is another file.
        """
        try:
            with safe_open(str(path), framework="numpy") as stored:
                content = json.loads(stored.metadata()["plausibility"])
                space = ShapeSpace(*(stored.get_tensor(name).astype(np.float32) for name in ("mean", "axes")))
            return cls(
                names=tuple(str(name) for name in content["names"]),
                dimension=int(content["dimension"]),
                present={str(name): float(share) for name, share in content["present"].items()},
                spreads={
                    str(name): {str(feature): Spread.from_json(spread) for feature, spread in row.items()}
                    for name, row in content["spreads"].items()
                },
                pairs={
                    (str(left), str(right)): UsualPair(
                        agreeing=float(pair["agreeing"]),
                        left_is_left=bool(pair["left_is_left"]),
                        ratio=Spread.from_json(pair["ratio"]),
                    )
                    for left, right, pair in content["pairs"]
                },
                space=space,
            )
        except _NOT_OURS as error:
            raise InvalidInputError(
                f"{path.name} must be as carina wrote it, got {type(error).__name__}. Ask for the file again."
            ) from error


def plausibility_of(version: ModelVersion) -> Plausibility | None:
    """What is usual for the drafts of a version; None where it was not learned, as for published weights.

    Raises:
        ConfigurationError: If the file is damaged.
    """
    path = version.folder / PLAUSIBILITY_NAME
    if not path.is_file():
        return None
    try:
        return Plausibility.load(path)
    except InvalidInputError as error:
        raise ConfigurationError(
            f"{version.task}/{version.version}/{PLAUSIBILITY_NAME} must be as carina wrote it, and is not. Restore the "
            f"file, or delete it: drafts are then not judged."
        ) from error


def _usual_pairs(
    drawings: Sequence[Drawing], labels: LabelSet, names: Sequence[str]
) -> Iterator[tuple[Pair, UsualPair]]:
    """Every structure with a right one among the names, and what is usual for both."""
    for first, left in enumerate(names):
        other = labels.other_side(labels.named(left))
        if "left" not in left.split("_") or other is None or other.name not in names:
            continue
        sides = [_sides(drawing, first, names.index(other.name)) for drawing in drawings]
        known = [(is_left, ratio) for is_left, ratio in sides if not math.isnan(ratio)]
        if not known:
            continue
        share = sum(is_left for is_left, _ in known) / len(known)
        ratio = Spread.of([ratio for _, ratio in known], smallest=_SMALLEST["ratio"])
        yield (left, other.name), UsualPair(agreeing=max(share, 1 - share), left_is_left=share > 0.5, ratio=ratio)


def _sides(drawing: Drawing, left: int, right: int) -> tuple[bool, float]:
    """Whether the left one lies further left, and the logarithm of its volume by the right one's; nan without both."""
    if drawing.volumes_ml[left] == 0 or drawing.volumes_ml[right] == 0:
        return False, math.nan
    ratio = math.log(drawing.volumes_ml[left] / drawing.volumes_ml[right])
    return bool(drawing.leftness_mm[left] > drawing.leftness_mm[right]), ratio
