"""Fixtures for every room. An engine is started by the first test that asks for it.

bus.exchange comes before anything that imports gRPC: it leaves gRPC TLS 1.3 only, which works at the first import alone.
"""

import bus.exchange  # noqa: F401 - for what its import does, see above
from tests.support.postgres import database, postgres_server

__all__ = ["database", "postgres_server"]
