"""Findings of an image as DICOM SR documents: the one place other parts import them from."""

from __future__ import annotations

from .sr_content import ReportedFinding, State
from .sr_reader import FindingsDocument, read_findings
from .sr_writer import write_findings

__all__ = [
    "FindingsDocument",
    "ReportedFinding",
    "State",
    "read_findings",
    "write_findings",
]
