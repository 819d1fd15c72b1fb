"""Before any test imports gRPC: bus.exchange leaves it TLS 1.3 only, which gRPC takes up at its first import alone."""

import bus.exchange  # noqa: F401 - imported for what its import does, see above
