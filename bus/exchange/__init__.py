"""The wire layer that both sides of a call use: `connect` for a client, `serve` for a provider.

Import this before anything that imports gRPC: it is what leaves TLS 1.3 alone switched on (see `tls`).
"""

from bus.exchange import tls  # isort: skip - first, since it prepares the environment that gRPC reads at its import

from bus.exchange import exceptions
from bus.exchange.client import connect, connect_blocking
from bus.exchange.config import (
    BrokerAddress,
    ClientConfig,
    ConfigError,
    GrantChoice,
    Identity,
    ProviderConfig,
    TlsFiles,
    load_client_config,
    load_provider_config,
)
from bus.exchange.context import IncomingCall, call_context, govbus_call
from bus.exchange.errors import CallError, ProviderError, Refused, RefusedLocally
from bus.exchange.evidence import CallEvidence
from bus.exchange.fetch import snapshot_as_of
from bus.exchange.otlp import export_telemetry
from bus.exchange.provider import Server, serve
from bus.exchange.reasons import Reason
from bus.exchange.texts import fixed_text

__all__ = [
    "BrokerAddress",
    "CallError",
    "CallEvidence",
    "ClientConfig",
    "ConfigError",
    "GrantChoice",
    "Identity",
    "IncomingCall",
    "ProviderConfig",
    "ProviderError",
    "Reason",
    "Refused",
    "RefusedLocally",
    "Server",
    "TlsFiles",
    "call_context",
    "connect",
    "connect_blocking",
    "exceptions",
    "export_telemetry",
    "fixed_text",
    "govbus_call",
    "load_client_config",
    "load_provider_config",
    "serve",
    "snapshot_as_of",
    "tls",
]
