"""Labelled images in folders, as cases.

Images: files `<images>/<id>.nii.gz` (or another of `image_formats.IMAGE_SUFFIXES`), folders `<images>/<id>/` with an
`image.*` file or DICOM files, or one case whose folder is `<images>` itself. Labels, found by the image's id:

    <labels>/<id>.nii.gz         <labels>/<id>/labels.nii.gz         <labels>/labels.nii.gz (one image)
    <labels>/masks/<id>/<structure>.png                              <labels>/<id>/<structure>.nii.gz

The masks of one image may overlap, which counts for tasks whose labels may. A missing mask means that nobody drew it
where the structure is anatomy, and that there is none where it is an altered structure, such as a nodule, that another
image has a mask of: see `_annotated_in`. A label map has `labels.json` (name → value) beside it or in `<labels>`; a
`.seg.nrrd` names its own values. A `cases.csv` with the columns `image,patient` in `<images>`, `<labels>` or the folder
above says who is who; without it every image counts as a patient of its own.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ..errors import InvalidInputError, LabelError
from ..geometry import Volume, resample_label
from ..image_formats import split_suffix
from ..images import read_label
from ..label_maps import Mask, join_masks, label_type
from ..labels import LabelSet, did_you_mean
from ..structures import ALIASES, ANATOMICAL_STRUCTURE
from ..task import TaskSpec
from .cases import Case
from .folders import file_revision, find_images, find_label, load_image, patient_of, read_patients

_log = logging.getLogger(__name__)

_NAMED = 4
"""Missing masks that a warning names."""


def read_case_folder(images: Path, labels: Path, spec: TaskSpec) -> list[Case]:
    """Find the labelled images of two folders (which may be one).

    Args:
        images: Folder of images.
        labels: Folder of labels.
        spec: The task; labels of other names are left out with a warning.

    Returns:
        Cases in the order of their ids, without those that no structure of the task was annotated in. Nothing but names
        and `labels.json` is read yet.

    Raises:
        InvalidInputError: If a folder is missing, no image has a label, or `cases.csv` lacks an image.
        LabelError: If no label has a name of the task.
    """
    for folder in (images, labels):
        if not folder.is_dir():
            raise InvalidInputError(f"'{folder}' must be a folder. Give the folders of images and labels.")
    found = find_images(images)
    patients = read_patients(images, labels)
    alone = len(found) == 1
    sources = {
        image_id: source
        for image_id, image in found.items()
        if (source := find_label(labels, image_id, image, alone=alone)) is not None
    }
    if not sources:
        raise InvalidInputError(
            f"At least one image must have a label, got {len(found)} image(s) in '{images}' and none with a label in "
            f"'{labels}'. Name each label like its image, or put masks into masks/<id>/."
        )
    names = {image_id: frozenset(_names_in(source, spec.labels)) for image_id, source in sources.items()}
    known = _known_names(frozenset().union(*names.values()), spec.labels)
    cases = [
        Case(
            image_id=image_id,
            patient_id=patient_of(image_id, patients),
            load=partial(_load, found[image_id], source, spec.labels),
            revision=_revision(found[image_id], source),
            annotated=annotated,
        )
        for image_id, source in sorted(sources.items())
        if (annotated := _annotated_in(source, names[image_id], spec.labels, known))
    ]
    _warn_of_missing_masks([case for case in cases if sources[case.image_id].is_dir()], known)
    return cases


def _annotated_in(source: Path, names: frozenset[str], labels: LabelSet, known: frozenset[str]) -> frozenset[str]:
    """The structures an annotator looked for in one image.

    A label map names them. In a folder of masks anatomy without a file was not drawn, for hardly anybody lacks a lung;
    an altered structure without one was looked for and not found, if some image has one.
    """
    altered = {label.name for label in labels if label.category != ANATOMICAL_STRUCTURE}
    return known & (names | altered if source.is_dir() else names)


def _warn_of_missing_masks(cases: Sequence[Case], known: frozenset[str]) -> None:
    """Name the masks that the other images have: a forgotten one is easily drawn, an absent structure easily said."""
    missing = [f"{name} of '{case.image_id}'" for case in cases for name in sorted(known - (case.annotated or known))]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        _log.warning(
            "%d mask(s) that other images have are missing, and are not learned from or measured: %s%s. "
            "Where the structure is absent, add an empty mask.",
            len(missing), ", ".join(missing[:_NAMED]), more,
        )  # fmt: skip


def _names_in(source: Path, labels: LabelSet) -> dict[str, int]:
    """Label name → voxel value; masks have none of their own and count as 1."""
    if source.is_dir():
        return dict.fromkeys(_masks_by_name(source, labels), 1)
    return {_name_in(labels, name): value for name, value in _values_in(source).items()}


def _masks_by_name(folder: Path, labels: LabelSet) -> dict[str, Path]:
    stems = {path: split_suffix(path.name) for path in sorted(folder.iterdir())}
    return {_name_in(labels, stem): path for path, (stem, suffix) in stems.items() if suffix}


def _name_in(labels: LabelSet, name: str) -> str:
    """What a task calls a structure that a data set may call something else."""
    return name if name in labels else ALIASES.get(name, name)


def _values_in(source: Path) -> dict[str, int]:
    for folder in (source.parent, source.parent.parent):
        path = folder / "labels.json"
        if path.is_file():
            return _read_values(path)
    embedded = read_label(source)[1]
    if embedded is None:
        raise InvalidInputError(
            f"'{source.name}' must have its values named, got no labels.json beside it. "
            f'Write one, such as {{"liver": 5}}.'
        )
    return embedded


def _read_values(path: Path) -> dict[str, int]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"'{path.name}' must be JSON, got something else at {error}.") from error
    if not isinstance(content, dict) or not all(type(value) is int and value > 0 for value in content.values()):
        raise InvalidInputError(f"'{path.name}' must map label names to whole numbers above 0. Correct it.")
    return content


def _known_names(names: Collection[str], labels: LabelSet) -> frozenset[str]:
    known = frozenset(name for name in names if name in labels)
    unknown = sorted(set(names) - known)
    if not known:
        hint = did_you_mean(unknown[0], labels.names) if unknown else ""
        raise LabelError(f"Labels must have names of the task, got {', '.join(unknown[:8]) or 'none'}.{hint}")
    if unknown:
        _log.warning(
            "%d label(s) are not part of the task and are left out: %s.%s",
            len(unknown), ", ".join(unknown), did_you_mean(unknown[0], labels.names),
        )  # fmt: skip
    return known


def _revision(image: Path, source: Path) -> str:
    values = json.dumps(_values_in(source), sort_keys=True) if source.is_file() else ""
    return hashlib.sha256(f"{file_revision((image, source))}{values}".encode()).hexdigest()


def _load(image_path: Path, source: Path, labels: LabelSet) -> tuple[Volume, Volume]:
    image = load_image(image_path)
    if source.is_dir():
        return image, _load_masks(source, labels, image)
    label, embedded = read_label(source)
    values = embedded or _values_in(source)
    named = {_name_in(labels, name): value for name, value in values.items()}
    return image, resample_label(_renumber(label, named, labels, source.name), grid=image.grid)


def _renumber(label: Volume, values: Mapping[str, int], labels: LabelSet, name: str) -> Volume:
    """Bring a foreign numbering to the task's, by name; labels that are not the task's become background."""
    present = [int(value) for value in np.unique(label.array) if value]
    unnamed = sorted(set(present) - set(values.values()))
    if unnamed:
        raise LabelError(f"'{name}' must hold only values named in labels.json, got {unnamed[:8]}. Name them there.")
    mapping, ours = labels.remap(values), [0, *labels.values.values()]
    table = np.zeros(max(present, default=0) + 1, dtype=label_type(labels))
    for value in present:
        table[value] = ours[mapping.get(value, 0)]
    return Volume(table[label.array], label.grid)


def _load_masks(folder: Path, labels: LabelSet, image: Volume) -> Volume:
    """One mask file per structure; where two overlap that must not, the one with the higher label index wins."""
    files = _masks_by_name(folder, labels)
    drawn = 0

    def masks() -> Iterator[tuple[str, Mask]]:
        nonlocal drawn
        for name in (name for name in labels.names if name in files):
            mask = resample_label(read_label(files[name])[0], grid=image.grid).array > 0
            drawn += int(np.count_nonzero(mask))
            yield name, mask

    array = join_masks(masks(), labels, shape=image.grid.shape)
    lost = drawn - int(np.count_nonzero(array))
    if lost and not labels.overlapping:
        _log.warning("Masks of '%s' overlap in %d voxels: the later label wins.", folder.name, lost)
    return Volume(array, image.grid)
