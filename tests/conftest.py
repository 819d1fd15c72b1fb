"""Before any test imports gRPC: bus.exchange leaves it TLS 1.3 only, which gRPC takes up at its first import alone.

And the fixtures for every room: an engine is started by the first test that asks for it.
"""

import signal

import bus.exchange  # noqa: F401 - imported for what its import does, see above
from tests.support.postgres import database, postgres_server

__all__ = ["database", "postgres_server"]

# A runner in the background of a script inherits an ignored SIGINT, and so would every process that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
