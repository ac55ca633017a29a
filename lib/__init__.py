"""carina: AI drafts, kept corrections and better models for radiology annotation."""

from __future__ import annotations

__version__ = "0.1.0"
