"""Findings of an image as DICOM SR documents: the one place other parts import them from."""

from __future__ import annotations

from .report_text import report_text
from .sr_content import ReportedFinding, State
from .sr_reader import FindingsDocument, read_findings, read_predecessor_document
from .sr_writer import write_findings

__all__ = [
    "FindingsDocument",
    "ReportedFinding",
    "State",
    "read_findings",
    "read_predecessor_document",
    "report_text",
    "write_findings",
]
