"""Tasks, one `TASK = TaskSpec(...)` per file."""
