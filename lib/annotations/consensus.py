"""Several readers' labels of one case as one: STAPLE or majority per structure, stored as a version beside theirs.

A reader who did not name a structure did not look for it and has no vote on it. One who named it and drew nothing says
that it is not there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, get_args

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from ..errors import ConflictError, InvalidInputError
from ..geometry import Volume, resample_label
from ..label_maps import bounding_box
from ..labels import MOST_OVERLAPPING
from .annotation import CONSENSUS_TAG, Annotation, from_row
from .store import AnnotationStore
from .versions import is_readers_work, of_case, verdicts
from .voxel_values import mask_named, unnamed_values

Method = Literal["staple", "majority"]
METHODS: tuple[Method, ...] = get_args(Method)
_ITERATIONS = 200  # STAPLE settles within tens
_MARGIN = 2

Masks = Sequence[NDArray[np.bool_]]


def make_consensus(
    store: AnnotationStore,
    image_id: str,
    *,
    task: str | None,
    method: str = "staple",
    user: str | None = None,
    deliver: bool = False,
) -> Annotation:
    """Merge the newest version of each reader of a case, and store the result tagged `consensus`.

    Withdrawn and rejected versions are left out. The case's state stays; the result counts once somebody accepts it.

    Args:
        store: Where the versions are.
        image_id: Id in the image store.
        task: Whose labels; None for labels of no task.
        method: `staple` or `majority`, see `merge`.
        user: Who asks for it.
        deliver: Whether the PACS is to have it as well.

    Raises:
        InvalidInputError: If there is no such method.
        ConflictError: If fewer than two readers have a version.
        StorageError: If a label file is gone or was changed, or the result cannot be stored.
    """
    if method not in METHODS:
        raise InvalidInputError(f"A method must be one of {', '.join(METHODS)}, got '{method[:32]}'.")
    readers = newest_of_each_reader(store, image_id, task)
    if len(readers) < 2:
        raise ConflictError(
            f"A consensus must have labels of two readers or more, got {len(readers)} of image '{image_id[:64]}' for "
            f"task '{task or ''}'. Readers are told apart by 'user' or 'client_id'; let another one submit."
        )
    opinions = [_opinion(store, reader, readers[0]) for reader in readers]
    overlapping = any(unnamed_values(array, known, sums=False) for array, known in opinions)
    names = _bits(readers) if overlapping else _numbers(readers)
    return store.submit(
        image_id,
        Volume(merge(opinions, names, method=method, overlapping=overlapping), readers[0].grid),
        names=names,
        tag=CONSENSUS_TAG,
        task=task,
        user=user,
        origin="automatic",
        deliver=deliver,
        sources=readers,
    )


def newest_of_each_reader(store: AnnotationStore, image_id: str, task: str | None) -> list[Annotation]:
    """The newest version in use of each reader of a case that was not rejected, the newest first.

    Versions that nobody put a name to count as one reader's.
    """
    found: dict[str | None, Annotation] = {}
    with store.database.reading() as session:
        said = verdicts(session, image_id=image_id)
        for row in session.scalars(of_case(image_id, task)):
            if is_readers_work(row.tag) and not said.rejected(row):
                found.setdefault(row.author, from_row(row, withdrawn=False))
    return list(found.values())


def merge(
    opinions: Sequence[tuple[NDArray[np.uint16], Mapping[str, int]]],
    names: Mapping[str, int],
    *,
    method: Method,
    overlapping: bool = False,
) -> NDArray[np.uint8 | np.uint16]:
    """Merge label maps structure by structure.

    A voxel belongs to a structure if its share is above one half; where several are and they must not overlap, to the
    one with the largest share, and of equal ones to the first in alphabetical order. With `majority` the share is the
    fraction of the readers who looked for the structure and drew it there, so that a tie is no majority and leaves the
    background.
    With `staple` it is the probability of Warfield, Zou and Wells (IEEE TMI 23(7), 2004), computed by SimpleITK in the
    box around all readers' voxels of the structure and a margin. One reader alone is believed.

    Args:
        opinions: Per reader `(X, Y, Z)` voxel values, and name → voxel value of the structures looked for.
        names: Name → voxel value in the result.
        method: `staple` or `majority`.
        overlapping: Whether a voxel may belong to several structures; all values of `names` are powers of two then.

    Returns:
        `(X, Y, Z)`, uint8 if the values fit, else uint16.
    """
    shape = opinions[0][0].shape
    best = np.full(shape, 0.5, dtype=np.float64)
    merged = np.zeros(shape, dtype=np.uint16)
    share_of = _majority if method == "majority" else _staple
    for name in sorted(names):
        masks = [mask_named(array, name, known) for array, known in opinions if name in known]
        box = _box(masks)
        if box is None:
            continue
        share = share_of([mask[box] for mask in masks])
        wins = share > best[box]
        if overlapping:
            merged[box][wins] |= np.uint16(names[name])
            continue
        best[box][wins] = share[wins]
        merged[box][wins] = names[name]
    return merged if sum(names.values()) > np.iinfo(np.uint8).max else merged.astype(np.uint8)


def _majority(masks: Masks) -> NDArray[np.float64]:
    share: NDArray[np.float64] = np.mean(masks, axis=0, dtype=np.float64)
    return share


def _staple(masks: Masks) -> NDArray[np.float64]:
    if all(np.array_equal(masks[0], mask) for mask in masks[1:]):
        return masks[0].astype(np.float64)
    staple = sitk.STAPLEImageFilter()
    staple.SetForegroundValue(1.0)
    staple.SetMaximumIterations(_ITERATIONS)
    probability = staple.Execute([sitk.GetImageFromArray(mask.astype(np.uint8)) for mask in masks])
    found: NDArray[np.float64] = sitk.GetArrayFromImage(probability)
    return found


def _box(masks: Masks) -> tuple[slice, ...] | None:
    """Around the voxels of all masks, with a margin; None if there are none."""
    ends = bounding_box(np.logical_or.reduce(masks))
    return None if ends is None else tuple(slice(max(first - _MARGIN, 0), end + _MARGIN) for first, end in ends)


def _opinion(
    store: AnnotationStore, reader: Annotation, like: Annotation
) -> tuple[NDArray[np.uint16], Mapping[str, int]]:
    volume, names = store.read(reader)
    if not volume.grid.matches(like.grid):
        volume = resample_label(volume, grid=like.grid)
    return volume.array, names


def _numbers(readers: Iterable[Annotation]) -> dict[str, int]:
    """A voxel value for every name: the newest reader's, where it is not taken."""
    names: dict[str, int] = {}
    for reader in readers:
        for name, value in reader.names.items():
            if name not in names:
                taken = set(names.values())
                names[name] = value if value not in taken else _free(taken)
    return names


def _bits(readers: Iterable[Annotation]) -> dict[str, int]:
    """A power of two for every name.

    Raises:
        ConflictError: If there are more than a label map has bits for.
    """
    names = dict.fromkeys(name for reader in readers for name in reader.names)
    if len(names) > MOST_OVERLAPPING:
        raise ConflictError(
            f"At most {MOST_OVERLAPPING} structures that overlap can be merged, got {len(names)}. Merge fewer readers."
        )
    return {name: 1 << position for position, name in enumerate(names)}


def _free(taken: set[int]) -> int:
    return next(value for value in range(1, len(taken) + 2) if value not in taken)
