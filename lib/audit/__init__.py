"""Whether a classification may be trusted: calibration, subgroups, shortcuts, consistency; verdicts in words."""
