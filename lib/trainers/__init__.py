"""How models learn and how they are measured; one module per kind of task."""
