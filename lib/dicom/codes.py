"""Labels and DICOM's coded concepts: writing them, and recognising a segment by its name and codes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code as DicomCode

from ..labels import Code, Label
from ..structures import STRUCTURES, Structure

Coded = TypeVar("Coded", Label, Structure)


def concept(code: Code) -> CodedConcept:
    """A code as highdicom writes it."""
    return CodedConcept(value=code.value, scheme_designator=code.scheme, meaning=code.meaning)


def first_code(dataset: Dataset, keyword: str) -> Code | None:
    """The first item of a code sequence (PS3.3 8.8); None when it is absent, empty or has no value."""
    items = dataset.get(keyword)
    if not items:
        return None
    item = items[0]
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue")
    if not value:
        return None
    return Code(str(value), str(item.get("CodingSchemeDesignator", "")), str(item.get("CodeMeaning", "")))


def same_concept(first: Code | None, second: Code | None) -> bool:
    """Whether two codes mean the same; SNOMED RT codes of older objects equal their SNOMED CT successors."""
    if first is None or second is None:
        return first is second
    return bool(DicomCode(first.value, first.scheme, "") == DicomCode(second.value, second.scheme, ""))


def region_of(label: Label) -> tuple[Code | None, Code | None]:
    """Anatomic region and its laterality, for labels of the catalogue that are not their own region."""
    structure = STRUCTURES.get(label.name)
    if structure is None or not same_concept(structure.type, label.type):
        return None, None
    return structure.region, structure.region_modifier


def recognise(segment: Dataset, candidates: Mapping[str, Coded]) -> Coded | None:
    """Which label a segment is.

    The segment's label decides when it is a candidate's name and the codes do not contradict it; otherwise type and
    modifier decide, if they fit exactly one candidate.

    Args:
        segment: An item of SegmentSequence.
        candidates: Name → label or structure.

    Returns:
        The candidate, or None when none fits or several do.
    """
    type_code = first_code(segment, "SegmentedPropertyTypeCodeSequence")
    modifier = _modifier(segment)
    named = candidates.get(str(segment.get("SegmentLabel", "")).strip())
    if named is not None and same_concept(type_code, named.type) and same_concept(modifier, named.modifier):
        return named
    if type_code is None:
        return None
    fitting = [candidate for candidate in candidates.values() if same_concept(type_code, candidate.type)]
    exact = [candidate for candidate in fitting if same_concept(modifier, candidate.modifier)]
    narrowed = exact if len(exact) == 1 else _in_region(segment, exact)
    return narrowed[0] if len(narrowed) == 1 else None


def _modifier(segment: Dataset) -> Code | None:
    types = segment.get("SegmentedPropertyTypeCodeSequence")
    return first_code(types[0], "SegmentedPropertyTypeModifierCodeSequence") if types else None


def _in_region(segment: Dataset, candidates: Iterable[Coded]) -> list[Coded]:
    """Candidates whose anatomic region is the segment's."""
    region = first_code(segment, "AnatomicRegionSequence")
    side = None
    if region is not None:
        side = first_code(segment.AnatomicRegionSequence[0], "AnatomicRegionModifierSequence")
    return [
        candidate
        for candidate in candidates
        if (known := STRUCTURES.get(candidate.name)) is not None
        and same_concept(region, known.region)
        and same_concept(side, known.region_modifier)
    ]
