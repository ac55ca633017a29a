"""A report of findings in plain sentences: what an SR document, an answer over REST and `carina infer` say alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from .. import __version__
from ..geometry import Grid
from ..measurements import Measurement, in_words
from ..regions import Place, bounds
from .provenance import AlgorithmType, Provenance, content_description
from .sr_content import ReportedFinding

_HEADINGS: Mapping[AlgorithmType, tuple[tuple[bool | None, str], ...]] = MappingProxyType(
    {
        "AUTOMATIC": ((True, "Likely"), (False, "Unlikely"), (None, "Uncertain")),
        "SEMIAUTOMATIC": ((True, "Present"), (False, "Absent"), (None, "Unsure")),
        "MANUAL": ((True, "Present"), (False, "Absent"), (None, "Unsure")),
    }
)
_ENDINGS: Mapping[AlgorithmType, str] = MappingProxyType(
    {
        "AUTOMATIC": "This is a model's draft that nobody has confirmed.",
        "SEMIAUTOMATIC": "A reader answered after seeing the model's draft.",
        "MANUAL": "A reader answered without a model's draft.",
    }
)


_PATIENT_AXES = ("RL", "AP", "IS")


def report_text(
    findings: Sequence[ReportedFinding],
    *,
    provenance: Provenance,
    measurements: Sequence[Measurement] = (),
    place: str | None = None,
) -> str:
    """The report: findings, what the model could not tell, probabilities, measurements, and who says so.

    Args:
        findings: In the order in which they are told.
        provenance: Who says so; no name of a person gets into the text.
        measurements: What tasks' drawings of the image gave.
        place: The part of the image that was judged, as `place_text` says it; None for all of it.

    Returns:
        Such as "Present: Pneumothorax. Absent: Mass. The model's draft (carina cxr_findings, v3) had as probabilities:
        Pneumothorax 0.91, Mass 0.02. A reader answered after seeing the model's draft."
    """
    sentences = [] if place is None else [f"Judged {place}."]
    for answer, heading in _HEADINGS[provenance.algorithm_type]:
        named = [one.code.meaning for one in findings if one.present is answer]
        if named:
            sentences.append(f"{heading}: {', '.join(named)}.")
    sentences += _of_the_model(findings, provenance)
    for task, version in dict.fromkeys((one.task, one.model_version) for one in measurements):
        drawn = [one for one in measurements if (one.task, one.model_version) == (task, version)]
        who = f"carina {task}, {version}," if version else f"a reader for {task}"
        sentences.append(f"Measured on what {who} drew: {in_words(drawn)}.")
    return " ".join([*sentences, _ENDINGS[provenance.algorithm_type]])


def place_text(place: Place, grid: Grid, *, in_patient: bool) -> str:
    """Such as "at L 31.5, P 12.0, S 101.1 mm", or "between … and …" of a box.

    Args:
        place: A voxel or a box.
        grid: The image's.
        in_patient: Whether the image has a position there; of one without, column and row are told, from 0.
    """
    ends = np.array(bounds(place)).T - [[0], [1]]  # the last voxel of the place, not the one past it
    first, last = (_spot(end, grid, in_patient=in_patient) for end in ends.astype(float))
    return f"at {first}" if first == last else f"between {first} and {last}"


def _spot(indices: NDArray[np.float64], grid: Grid, *, in_patient: bool) -> str:
    if not in_patient:
        return f"column {indices[0]:.0f}, row {indices[1]:.0f}"
    along = zip(_PATIENT_AXES, grid.points_at(indices[None])[0].round(1), strict=True)
    return ", ".join(f"{letters[int(mm >= 0)]} {abs(mm):.1f}" for letters, mm in along) + " mm"


def _of_the_model(findings: Sequence[ReportedFinding], provenance: Provenance) -> list[str]:
    said = [f"{one.code.meaning} {one.probability:.2f}" for one in findings if one.probability is not None]
    if not said:
        return []
    model = f"{content_description(provenance)}, {provenance.model_version or __version__}"
    sentences = [f"The model's draft ({model}) had as probabilities: {', '.join(said)}."]
    open_ones = [one.code.meaning for one in findings if one.state == "uncertain"]
    if open_ones and provenance.algorithm_type != "AUTOMATIC":
        sentences.append(f"The model could not tell: {', '.join(open_ones)}.")
    return sentences
