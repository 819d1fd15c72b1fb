"""What is found wrong before a first start leaves anything behind: an address that nobody can listen on here."""

import socket

from bus.edge.endpoint import Endpoint
from bus.engines.supervisor import EngineError

__all__ = ["verify_listen"]


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
