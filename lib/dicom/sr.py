"""Findings of an image as DICOM SR documents: the one place other parts import them from."""

from __future__ import annotations

from .report_text import place_text, report_text
from .sr_content import ReportedFinding, State
from .sr_reader import FindingsDocument, read_findings, read_predecessor_document
from .sr_writer import sop_class_of_findings, write_findings

__all__ = [
    "FindingsDocument",
    "ReportedFinding",
    "State",
    "place_text",
    "read_findings",
    "read_predecessor_document",
    "report_text",
    "sop_class_of_findings",
    "write_findings",
]
