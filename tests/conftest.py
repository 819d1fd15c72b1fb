"""Before any test imports gRPC: bus.exchange leaves it TLS 1.3 only, which gRPC takes up at its first import alone.

And the fixtures for every room: an engine is started by the first test that asks for it. And how workers share the run.
"""

import signal

import bus.exchange  # noqa: F401 - imported for what its import does, see above
from tests.support.postgres import database, postgres_server
from tests.support.told import pytest_terminal_summary, tell
from tests.support.workers import pytest_collection_modifyitems, pytest_configure, pytest_xdist_make_scheduler

__all__ = [
    "database",
    "postgres_server",
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_terminal_summary",
    "pytest_xdist_make_scheduler",
    "tell",
]

# A runner in the background of a script inherits an ignored SIGINT, and so would every process that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)
