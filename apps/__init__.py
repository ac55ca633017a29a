"""MONAI Label apps: wiring only."""
