"""The commands that anybody has, run as anybody runs them."""

import subprocess
import sys

from bus.demo.report import DemoError

__all__ = ["govbus"]

_SECONDS = 120


def govbus(*arguments: str) -> bytes:
    """Run `govbus ARGUMENTS`; what it printed. DemoError, with what it said, when it could not be done."""
    command = [sys.executable, "-c", "from bus.cli import main; main()", *arguments]
    ran = subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
    if ran.returncode and not ran.stdout:
        lines = ran.stderr.decode("utf-8", "replace").strip().splitlines()
        raise DemoError(lines[-1].removeprefix("govbus: ") if lines else f"govbus {arguments[0]} said nothing")
    return ran.stdout
