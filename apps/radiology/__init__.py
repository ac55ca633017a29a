"""The radiology app."""
