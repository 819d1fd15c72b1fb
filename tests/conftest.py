"""Before any test imports gRPC: bus.exchange leaves it TLS 1.3 only, which gRPC takes up at its first import alone.

And the fixtures for every room: an engine is started by the first test that asks for it.
"""

import bus.exchange  # noqa: F401 - imported for what its import does, see above
from tests.support.postgres import database, postgres_server

__all__ = ["database", "postgres_server"]
