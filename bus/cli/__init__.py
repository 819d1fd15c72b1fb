"""The `govbus` command: every sub-command parses its arguments here and does its work in the room that owns it."""

from bus.cli.main import main

__all__ = ["main"]
