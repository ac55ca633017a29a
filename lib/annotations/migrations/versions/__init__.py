"""One module per change of the layout, `r<number>_<what>.py`; a module that was released never changes."""
