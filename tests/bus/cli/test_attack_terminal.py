"""What strangers can put into a log or a table must not command the terminal of the operator who reads it."""

from pathlib import Path

from bus.up.layout import Facts, Layout
from pki.files import ensure_private_directory
from tests.bus.cli.conftest import Commands

ESCAPES = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202e"


def test_escape_sequences_in_a_log_are_shown_not_obeyed(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "a state")
    layout.settle(Facts())
    ensure_private_directory(layout.supervisor)
    layout.log.write_text(f"[then][supervisor] broker: warning: {ESCAPES} Bộ\ttab\n", encoding="utf-8")
    said = Commands(layout.state).run("logs", "supervisor").stdout
    assert not any(one in said for one in ESCAPES if not one.isprintable())
    assert "owned" in said
    assert "Bộ\ttab" in said
