"""Retrospective active learning: what a strategy would have been worth, on images whose labels are known already."""
