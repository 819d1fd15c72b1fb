"""What is found wrong before a start leaves anything behind: a directory, an address."""

import os
import shlex
import socket
import stat
import tempfile

from bus.edge.endpoint import Endpoint
from bus.engines.supervisor import EngineError
from bus.up.layout import Layout
from pki.files import FilePermissionError, ensure_private_directory

__all__ = ["verify_listen", "verify_state"]

_TRIED_BYTES = 1 << 20


def verify_state(layout: Layout) -> None:
    """Make the state directory; EngineError where nothing can be written in it, FilePermissionError if it is shared."""
    try:
        for directory in (layout.state, layout.supervisor):
            ensure_private_directory(directory)
        with tempfile.TemporaryFile(dir=layout.supervisor) as tried:
            tried.write(bytes(_TRIED_BYTES))
            tried.flush()
            os.fsync(tried.fileno())
    except FilePermissionError:
        _verify_private(layout)
        raise
    except OSError as error:
        why = "there is a file" if isinstance(error, FileExistsError) else error.strerror
        raise EngineError(
            f"{layout.state} cannot be the instance's directory ({why}); mend that, or name another one with --state"
        ) from error


def _verify_private(layout: Layout) -> None:
    """EngineError for a directory that others can enter and where no keys are yet: nobody could have read any."""
    found = layout.state.lstat()
    if not (stat.S_ISDIR(found.st_mode) and found.st_mode & 0o077 and found.st_uid in (os.geteuid(), 0)):
        return
    if not (layout.state / "instance.json").exists():
        raise EngineError(
            f"{layout.state} is open to others, and keys are to come into it; name a directory with --state that is not"
            f" there yet, or make this one yours alone: chmod 700 {shlex.quote(str(layout.state))}"
        )


def verify_listen(option: str, listen: Endpoint) -> None:
    """EngineError where nobody could listen there just now; `option` is what a person gave it by.

    A name is for those who come, and need not be known here: what is bound then is every address (bus.edge).
    """
    host = listen.host if listen.is_address else "0.0.0.0"  # noqa: S104 (bound for a moment, nobody is served)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, listen.port))
    except OSError as error:
        raise EngineError(
            f"{option}: nobody can listen on {listen} here ({error.strerror}); name an address of this machine and a"
            " free port"
        ) from error
