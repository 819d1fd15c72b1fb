"""A process's local socket: whoever connects gets one JSON document and the connection's end.

The supervisor and the ledger's process have one each. It only tells. It lies in a private directory
(bus.engines.run_directory): whoever reaches it is the instance's user.
"""

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, cast

from bus.engines.run_directory import make_run_directory, remove_run_directory
from bus.up.layout import Layout

__all__ = ["Control", "ask", "ask_supervisor"]

_NAME = "control"
_SECONDS = 5.0


class Control:
    """Answers on a thread of its own between `with` and its end."""

    def __init__(self, home: Path, tell: Callable[[], dict[str, Any]]) -> None:
        """`home`: the process's own directory, which it holds alone. `tell` is called once a connection."""
        self._home, self._tell = home, tell
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)

    def __enter__(self) -> Self:
        self._listener.bind(str(make_run_directory(self._home) / _NAME))
        self._listener.listen()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        remove_run_directory(self._home)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with contextlib.suppress(OSError), connection:
                connection.settimeout(_SECONDS)
                connection.sendall(json.dumps(self._tell()).encode())


def ask_supervisor(layout: Layout) -> dict[str, Any] | None:
    """What the supervisor says; None when none answers."""
    return ask(layout.supervisor)


def ask(home: Path) -> dict[str, Any] | None:
    """What the process of this home says; None when none answers."""
    try:
        path = Path(os.fsdecode((home / "run-directory").read_bytes())) / _NAME
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_SECONDS)
            connection.connect(str(path))
            data = b"".join(iter(lambda: connection.recv(65536), b""))
        return cast("dict[str, Any]", json.loads(data))
    except (OSError, ValueError):
        return None
