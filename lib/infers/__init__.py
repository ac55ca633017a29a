"""Inference: one module per kind of task, and the sliding window they share."""
