"""A report of findings in plain sentences: what an SR document, an answer over REST and `carina infer` say alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from .. import __version__
from ..measurements import Measurement, in_words
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


def report_text(
    findings: Sequence[ReportedFinding], *, provenance: Provenance, measurements: Sequence[Measurement] = ()
) -> str:
    """The report: findings, what the model could not tell, probabilities, measurements, and who says so.

    Args:
        findings: In the order in which they are told.
        provenance: Who says so; no name of a person gets into the text.
        measurements: What tasks' drawings of the image gave.

    Returns:
        Such as "Present: Pneumothorax. Absent: Mass. The model's draft (carina cxr_findings, v3) had as probabilities:
        Pneumothorax 0.91, Mass 0.02. A reader answered after seeing the model's draft."
    """
    sentences = []
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
