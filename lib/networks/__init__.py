"""Network architectures, one per file; `factory` finds and builds them by name."""
