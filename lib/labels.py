"""The one identity of a label: name, label index, DICOM segment number, code and colour.

Three numbers are easily confused. `index` is the voxel value in carina's label maps and the network's output
channel; only where labels of a task overlap is the voxel value another one, see `LabelSet.values`. `segment_number` is
DICOM's: 1, 2, 3… without gaps within one SEG object, so it depends on which labels an object holds and is never stored
here. A client's value (Slicer, a NIfTI file from elsewhere) is whatever its `labels.json` says; `LabelSet.remap` brings
it to ours by name, never by order.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from .errors import ConfigurationError, LabelError

BACKGROUND_INDEX = 0
MOST_OVERLAPPING = 16
"""Labels that may overlap in one label map: each takes one bit of uint16."""

_OTHER_SIDE = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Code:
    """A coded concept (PS3.3 §8): value, coding scheme designator and meaning."""

    value: str
    scheme: str
    meaning: str


@dataclass(frozen=True, kw_only=True)
class Label:
    """One structure.

    Attributes:
        name: Field-standard name in snake case, such as `lung_upper_lobe_left`.
        index: Voxel value and network channel, 1 or more; 0 is the background.
        category: Segmented property category code (PS3.3 C.8.20.2, CID 7150).
        type: Segmented property type code.
        modifier: Laterality or other type modifier, if the type needs one.
        colour: sRGB, each 0–255.
    """

    name: str
    index: int
    category: Code
    type: Code
    modifier: Code | None = None
    colour: tuple[int, int, int] = (128, 174, 128)

    @property
    def has_side(self) -> bool:
        """Whether it is a left or a right one, by its name or its coded modifier."""
        coded = self.modifier is not None and self.modifier.meaning.lower() in _OTHER_SIDE
        return coded or not _OTHER_SIDE.keys().isdisjoint(self.name.lower().split("_"))


class LabelSet:
    """An ordered, validated set of labels with contiguous indices 1…N.

    Args:
        labels: The labels, in any order.
        overlapping: Whether a voxel may have several labels at once, as in a projection; see `values`.

    Raises:
        ConfigurationError: If names repeat, the indices are not exactly 1…N, or more overlap than a label map holds.
    """

    def __init__(self, labels: Iterable[Label], *, overlapping: bool = False) -> None:
        self.overlapping = overlapping
        self._labels = tuple(sorted(labels, key=lambda label: label.index))
        self._by_name = {label.name: label for label in self._labels}
        if len(self._by_name) != len(self._labels):
            raise ConfigurationError("Label names must be unique within a task. Rename the duplicates.")
        indices = [label.index for label in self._labels]
        if indices != list(range(1, len(indices) + 1)):
            raise ConfigurationError(f"Label indices must be 1…{len(indices)} without gaps, got {indices}.")
        if overlapping and len(indices) > MOST_OVERLAPPING:
            raise ConfigurationError(
                f"At most {MOST_OVERLAPPING} labels of a task may overlap, got {len(indices)}. Split the task."
            )

    def __iter__(self) -> Iterator[Label]:
        return iter(self._labels)

    def __len__(self) -> int:
        return len(self._labels)

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, LabelSet):
            return False
        return (self._labels, self.overlapping) == (other._labels, other.overlapping)

    def __hash__(self) -> int:
        return hash((self._labels, self.overlapping))

    def __repr__(self) -> str:
        return f"LabelSet({', '.join(self.names)})"

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of their indices."""
        return tuple(label.name for label in self._labels)

    @property
    def indices(self) -> dict[str, int]:
        """Name → label index, the form MONAI Label clients expect."""
        return {label.name: label.index for label in self._labels}

    @property
    def values(self) -> dict[str, int]:
        """Name → voxel value in a label map: the index, or where labels overlap the bit `2 ** (index - 1)`.

        A voxel of several labels has the sum of their bits, so a label map stays one array of whole numbers, and
        whatever moves voxels without mixing them moves all labels at once. `label_maps` reads and writes such maps.
        """
        return {label.name: 1 << (label.index - 1) if self.overlapping else label.index for label in self._labels}

    def named(self, name: str) -> Label:
        """The label called `name`.

        Raises:
            LabelError: If there is none; the message says what was probably meant.
        """
        label = self._by_name.get(name)
        if label is None:
            raise LabelError(f"Label '{name}' is not part of this task.{did_you_mean(name, self.names)}")
        return label

    def at(self, index: int) -> Label:
        """The label with voxel value `index`.

        Raises:
            LabelError: If no label has it.
        """
        if not 1 <= index <= len(self._labels):
            raise LabelError(f"Label index must lie in 1…{len(self._labels)}, got {index}.")
        return self._labels[index - 1]

    def other_side(self, label: Label) -> Label | None:
        """The same structure of the other side, by name; None where there is none."""
        name = "_".join(_OTHER_SIDE.get(word, word) for word in label.name.split("_"))
        return self._by_name.get(name) if name != label.name else None

    @property
    def exchanged(self) -> tuple[Label, ...]:
        """What each label is called in a mirrored image, in the order of the indices: the other side's, or itself."""
        return tuple(self.other_side(label) or label for label in self._labels)

    def remap(self, values: Mapping[str, int]) -> dict[int, int]:
        """Map a foreign numbering to ours, by name.

        Args:
            values: Name → voxel value, as in a `labels.json`. Names that are not ours are left out.

        Returns:
            Foreign voxel value → our label index.

        Raises:
            LabelError: If two names share one value.
        """
        if len(set(values.values())) != len(values):
            raise LabelError("Each label name must have its own voxel value. Check labels.json for repeats.")
        return {value: self._by_name[name].index for name, value in values.items() if name in self._by_name}


def require_known(names: Iterable[str], known: Collection[str], *, what: str) -> None:
    """Refuse names that a catalogue does not have.

    Args:
        names: Of labels.
        known: Those of the catalogue.
        what: What it holds, such as `a structure`.

    Raises:
        LabelError: Naming the first unknown one, and what was probably meant.
    """
    unknown = next((name for name in names if name not in known), None)
    if unknown is not None:
        raise LabelError(f"A label must be {what} of the catalogue, got '{unknown}'.{did_you_mean(unknown, known)}")


def did_you_mean(name: str, known: Iterable[str], *, shown: int = 12) -> str:
    """A sentence for an error message: the closest known names, then some of what there is."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(repr(match) for match in close)}?" if close else ""
    listed = ", ".join(names[:shown]) + (f", … ({len(names)} in all)" if len(names) > shown else "")
    return f"{hint} Available: {listed or 'none'}."
