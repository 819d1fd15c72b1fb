"""The commands that anybody has, run as anybody runs them."""

import subprocess
import sys

from bus.demo.report import DemoError

__all__ = ["govbus", "refusal_of"]

_SECONDS = 60


def govbus(*arguments: str) -> "subprocess.CompletedProcess[bytes]":
    """Run `govbus ARGUMENTS`; DemoError, with what it said, when it could not be done."""
    ran = _run(arguments)
    if ran.returncode and not ran.stdout:
        raise DemoError(_last_line(ran) or f"govbus {arguments[0]} said nothing")
    return ran


def refusal_of(*arguments: str) -> str:
    """What `govbus ARGUMENTS` says when it cannot be done; empty when it was done."""
    ran = _run(arguments)
    return _last_line(ran) if ran.returncode == 2 else ""


def _run(arguments: tuple[str, ...]) -> "subprocess.CompletedProcess[bytes]":
    command = [sys.executable, "-c", "from bus.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)


def _last_line(ran: "subprocess.CompletedProcess[bytes]") -> str:
    lines = ran.stderr.decode("utf-8", "replace").strip().splitlines()
    return lines[-1].removeprefix("govbus: ") if lines else ""
