"""The browser's side: which OHIF is served, how it is configured, and carina's panel inside it."""
