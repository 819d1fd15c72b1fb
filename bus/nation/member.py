"""A member's process: it enrols itself with the token on its standard input, then becomes its program.

    python -I -B -m bus.nation.member HOME MODULE ARGUMENTS... < token

Keys are made here, behind the fence, and never leave HOME. Without a token it has enrolled before. What follows is the
adapter's own program, with HOME/config.yaml as its configuration.
"""

import os
import sys
import time
from pathlib import Path

from bus.registry.enrolment_client import AlreadyEnrolled, enrol  # isort: skip - before gRPC, see bus.exchange.tls


from bus.exchange.errors import CallError
from bus.nation.clocks import settle_soon
from pki.enrolment import TokenMalformed

__all__: list[str] = []


def main() -> None:
    """The command line."""
    home, module, *arguments = sys.argv[1:]
    if token := sys.stdin.readline(4096).strip():
        try:
            enrol(token, Path(home), clock_ms=_now_ms, accept_operator_grants=True)
            settle_soon(Path(home))
        except (TokenMalformed, AlreadyEnrolled, CallError) as error:
            sys.exit(f"cannot enrol: {error}")
    command = [sys.executable, "-I", "-B", "-m", module, "--config", str(Path(home) / "config.yaml"), *arguments]
    os.execv(command[0], command)  # noqa: S606 (our own command, from an argument list)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    main()
