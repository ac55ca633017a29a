"""Synthetic studies with exact truth."""
