"""Segmentations as DICOM SEG objects: the one place other parts import them from."""

from __future__ import annotations

from .provenance import AlgorithmType, ObjectReference, Provenance
from .seg_reader import SegResult, read_seg
from .seg_writer import SegmentationType, write_seg

__all__ = [
    "AlgorithmType",
    "ObjectReference",
    "Provenance",
    "SegResult",
    "SegmentationType",
    "read_seg",
    "write_seg",
]
