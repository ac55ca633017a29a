"""What one finding is in an SR document: a measurement group of TID 1501, written and read back.

| content item of the group | concept | value |
|---|---|---|
| tracking identifier | (112039, DCM) | carina's name of the finding; its UID is the same in every version |
| finding category, finding | (276214006, SCT), (121071, DCM) | the codes of the finding |
| presence | (121052, DCM, "Presence of property") | Present, Absent or Undetermined, CID 240 |
| what the model leaves possible | (conformal, 99CARINA, "Conformal prediction") | Positive, Negative or Uncertain |
| the model's calibrated probability | (122157, DCM, "Probability") | 0 to 1, with its algorithm (TID 4019) |
| source image | (121112, DCM, "Source of Measurement") | the instances that were looked at |

A finding of a part of an image has its place (`sr_place`) instead of the source images.

The presence is what the observer says, the two below it what the algorithm said; they are absent without a draft.

What was measured on the image stands in one more group per task that drew it. Its tracking identifier is `measured by
<task>`, it has no finding, and one numeric item per quantity (`measurements.QUANTITIES`) with unit and algorithm, which
a reader's drawing has not. Where that drawing is a SEG in the PACS, the SEG is a source of the measurement too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, get_args

import highdicom as hd
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from ..errors import DicomError
from ..labels import Code
from ..measurements import QUANTITIES, Measurement
from .codes import concept, same_concept
from .provenance import ObjectReference, Provenance, algorithm_content, algorithm_in
from .sr_place import Group, ImagePlace

State = Literal["positive", "negative", "uncertain"]
"""What a conformal prediction leaves possible (`models.calibration`)."""

PRESENCE = Code("121052", "DCM", "Presence of property")
CONFORMAL = Code("conformal", "99CARINA", "Conformal prediction")
PROBABILITY = Code("122157", "DCM", "Probability")
_MEASURED_BY = "measured by "
_NO_SEGMENTATIONS: Mapping[str, ObjectReference] = MappingProxyType({})
_PRESENCES: Mapping[bool | None, Code] = MappingProxyType(
    {
        True: Code("52101004", "SCT", "Present"),
        False: Code("272519000", "SCT", "Absent"),
        None: Code("373068000", "SCT", "Undetermined"),
    }
)
_STATES: Mapping[State, Code] = MappingProxyType(
    {
        "positive": Code("10828004", "SCT", "Positive"),
        "negative": Code("260385009", "SCT", "Negative"),
        "uncertain": Code("64957009", "SCT", "Uncertain"),
    }
)


@dataclass(frozen=True, kw_only=True)
class ReportedFinding:
    """What is said of one finding.

    Attributes:
        name: Name in snake case, such as `pleural_thickening`; at most 64 characters.
        category: Code of its category.
        code: Its own code.
        present: Whether the image has it; None for "unsure".
        probability: What the model said, calibrated, 0–1; None without a draft.
        state: What the model's conformal prediction leaves possible; None without a draft.

    Raises:
        DicomError: If the probability is none, or only one of the model's two answers is given.
    """

    name: str
    category: Code
    code: Code
    present: bool | None
    probability: float | None = None
    state: State | None = None

    def __post_init__(self) -> None:
        if (self.probability is None) != (self.state is None):
            raise DicomError(
                f"A model's answer must have both probability and state, got one of them for '{self.name}'."
            )
        if self.probability is not None and not 0 <= self.probability <= 1:
            raise DicomError(f"A probability must lie in 0…1, got {self.probability} for '{self.name}'.")
        if self.state is not None and self.state not in get_args(State):
            raise DicomError(f"A state must be one of {', '.join(get_args(State))}, got {self.state!r}.")


def measurement_group(
    finding: ReportedFinding,
    *,
    algorithm: hd.sr.AlgorithmIdentification | None,
    images: Sequence[Dataset],
    place: ImagePlace | None = None,
) -> Group:
    """The group of one finding.

    Args:
        finding: What is said.
        algorithm: Who gave the probability; None if nobody did.
        images: Headers of the instances that were looked at.
        place: The part of the image it is about; None for all of it.
    """
    evaluations = [hd.sr.QualitativeEvaluation(name=concept(PRESENCE), value=concept(_PRESENCES[finding.present]))]
    measurements = []
    if finding.state is not None and finding.probability is not None:
        state = hd.sr.QualitativeEvaluation(name=concept(CONFORMAL), value=concept(_STATES[finding.state]))
        evaluations.append(state)
        measurements.append(
            hd.sr.Measurement(
                name=concept(PROBABILITY), value=finding.probability, unit=codes.UCUM.NoUnits, algorithm_id=algorithm
            )
        )
    said: dict[str, Any] = {
        "tracking_identifier": hd.sr.TrackingIdentifier(
            uid=_tracking_uid(finding, images[0], place), identifier=finding.name
        ),
        "finding_category": concept(finding.category),
        "finding_type": concept(finding.code),
        "qualitative_evaluations": evaluations,
        "measurements": measurements or None,
    }
    if place is not None:
        return place.group(**said)
    sources = [hd.sr.SourceImageForMeasurementGroup.from_source_image(image) for image in images]
    return hd.sr.MeasurementsAndQualitativeEvaluations(source_images=sources, **said)


def read_group(group: Group) -> ReportedFinding:
    """What `measurement_group` wrote.

    Raises:
        DicomError: If a part is missing, or there is another value than is written.
    """
    name = str(group.tracking_identifier or "")
    if not name or group.finding_type is None or group.finding_category is None:
        raise DicomError("A finding of an SR document must have a name and codes, got one without. Export it again.")
    presence = _value(group, PRESENCE)
    present = [answer for answer, code in _PRESENCES.items() if presence is not None and same_concept(presence, code)]
    state = _value(group, CONFORMAL)
    known = [name for name, code in _STATES.items() if same_concept(state, code)]
    if not present or (state is not None and not known):
        raise DicomError(f"Finding '{name[:64]}' of an SR document must be answered with a known code, got another.")
    measurements = probabilities(group)
    return ReportedFinding(
        name=name,
        category=_ours(group.finding_category),
        code=_ours(group.finding_type),
        present=present[0],
        probability=float(measurements[0].value) if measurements else None,
        state=known[0] if known else None,
    )


def measured_groups(
    measurements: Sequence[Measurement],
    *,
    images: Sequence[Dataset],
    segmentations: Mapping[str, ObjectReference] = _NO_SEGMENTATIONS,
) -> list[hd.sr.MeasurementsAndQualitativeEvaluations]:
    """One group for each task's drawing that something was measured on.

    Args:
        measurements: What was measured.
        images: Headers of the instances it was measured on.
        segmentations: Task → the SEG that holds its drawing.
    """
    tasks = dict.fromkeys((one.task, one.model_version) for one in measurements)
    return [
        _measured_group(
            [one for one in measurements if (one.task, one.model_version) == drawn],
            images=images,
            segmentation=segmentations.get(drawn[0]),
        )
        for drawn in tasks
    ]


def _measured_group(
    measurements: Sequence[Measurement], *, images: Sequence[Dataset], segmentation: ObjectReference | None
) -> hd.sr.MeasurementsAndQualitativeEvaluations:
    task, version = measurements[0].task, measurements[0].model_version
    drawn_by = Provenance(algorithm_type="AUTOMATIC" if version else "MANUAL", task=task, model_version=version or None)
    algorithm = algorithm_content(drawn_by)
    sources = [hd.sr.SourceImageForMeasurementGroup.from_source_image(image) for image in images]
    if segmentation is not None:
        sources.append(hd.sr.SourceImageForMeasurementGroup(segmentation.sop_class_uid, segmentation.sop_instance_uid))
    return hd.sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=hd.sr.TrackingIdentifier(
            uid=generate_uid(entropy_srcs=[str(images[0].SOPInstanceUID), _MEASURED_BY, task]),
            identifier=f"{_MEASURED_BY}{task}"[:64],
        ),
        measurements=[
            hd.sr.Measurement(
                name=concept(one.quantity.code),
                value=one.value,
                unit=concept(one.quantity.unit),
                algorithm_id=algorithm,
            )
            for one in measurements
        ],
        source_images=sources,
    )


def is_measured(group: Group) -> bool:
    """Whether a group holds what was measured, and no finding."""
    return str(group.tracking_identifier or "").startswith(_MEASURED_BY)


def read_measured(group: Group) -> list[Measurement]:
    """What `measured_groups` wrote; a quantity of a later version of carina is passed over."""
    found, task = [], str(group.tracking_identifier).removeprefix(_MEASURED_BY)
    for item in group.get_measurements():
        name, algorithm = str(item.name.value), algorithm_in(item)
        if name in QUANTITIES:
            found.append(
                Measurement(
                    name=name,
                    value=float(item.value),
                    task=task,
                    model_version=algorithm.model_version or "",
                )
            )
    return found


def probabilities(group: Group) -> list[hd.sr.Measurement]:
    """The model's answer in a group: one, or none without a draft."""
    return list(group.get_measurements(name=concept(PROBABILITY)))


def _value(group: Group, name: Code) -> Code | None:
    """The value of one of the group's evaluations, if it has it."""
    found = group.get_qualitative_evaluations(name=concept(name))
    return _ours(found[0].value) if found else None


def _ours(code: hd.sr.CodedConcept) -> Code:
    return Code(code.value, code.scheme_designator, code.meaning)


def _tracking_uid(finding: ReportedFinding, image: Dataset, place: ImagePlace | None) -> str:
    """The same for a finding at a place of an image in every version, so that they can be followed (TID 1501)."""
    where = [] if place is None else [json.dumps(place.place)]
    return generate_uid(entropy_srcs=[str(image.SOPInstanceUID), finding.code.scheme, finding.code.value, *where])
