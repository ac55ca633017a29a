"""What a person types: one module per group of commands; nothing heavy is imported before a command needs it."""

from .app import app, main

__all__ = ["app", "main"]
