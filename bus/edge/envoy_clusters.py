"""The providers as Envoy sees them: one cluster each, HTTP/2 over TLS 1.3, pinned to the provider's exact DNS name and
to its certificates that the policy snapshot lists as live (protocol.md 1): what left the snapshot is not sent to.
A change of these makes the cluster anew: what runs on the former one's connections ends there, what comes goes by it.

An endpoint leaves the balance only for failing to connect: what a provider answers is its own business, signed, and
another instance of it would answer the same. Names are resolved only where the policy gives names.
"""

from bus.edge.endpoint import Endpoint
from bus.edge.envoy_json import Json, address, tls_context, typed
from bus.edge.settings import METADATA_KIB, STREAM_BYTES, EdgeSettings, Upstream

__all__ = ["TRACE_CLUSTER", "clusters", "trace_cluster"]

TRACE_CLUSTER = "trace-collector"
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def clusters(settings: EdgeSettings) -> list[Json]:
    """One cluster for every provider of the policy, in the order given."""
    return [_provider(settings, upstream) for upstream in settings.upstreams]


def _provider(settings: EdgeSettings, upstream: Upstream) -> Json:
    tls = typed(
        "extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        {
            "common_tls_context": tls_context(
                settings.directory, peer_dns_name=upstream.dns_name, peer_certificates=upstream.certificates
            ),
            "sni": upstream.dns_name,
            "allow_renegotiation": False,
            "max_session_keys": 0,
        },
    )
    return {
        **_members(upstream.dns_name, upstream.endpoints),
        # Its statistics' name: a DNS name's dots would be read as levels.
        "alt_stat_name": "/".join(reversed(upstream.dns_name.split(".")[:3])),
        "connect_timeout": "2s",
        "lb_policy": "LEAST_REQUEST",
        "per_connection_buffer_limit_bytes": 256 * 1024,
        "transport_socket": {"name": "tls", "typed_config": tls},
        "typed_extension_protocol_options": {_HTTP_OPTIONS: _http2()},
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": 128,
                    "max_pending_requests": 1024,
                    "max_requests": 4096,
                    "max_retries": 32,
                    "track_remaining": True,
                }
            ]
        },
        "outlier_detection": {
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 3,
            "enforcing_consecutive_local_origin_failure": 100,
            "enforcing_local_origin_success_rate": 0,
            "enforcing_consecutive_5xx": 0,
            "enforcing_consecutive_gateway_failure": 0,
            "enforcing_success_rate": 0,
            "interval": "1s",
            "base_ejection_time": "2s",
            "max_ejection_time": "30s",
            "max_ejection_percent": 50,
        },
    }


def _http2() -> Json:
    """What we accept from a provider: answers within the same limits as requests."""
    return typed(
        "extensions.upstreams.http.v3.HttpProtocolOptions",
        {
            "common_http_protocol_options": {
                "idle_timeout": "300s",
                "max_headers_count": 64,
                "max_response_headers_kb": METADATA_KIB,
            },
            "explicit_http_config": {
                "http2_protocol_options": {
                    "max_concurrent_streams": 512,
                    "initial_stream_window_size": STREAM_BYTES,
                    "initial_connection_window_size": 4 * STREAM_BYTES,
                    "connection_keepalive": {
                        "interval": "30s",
                        "timeout": "5s",
                        "connection_idle_interval": "10s",
                    },
                }
            },
        },
    )


def _members(name: str, endpoints: tuple[Endpoint, ...]) -> Json:
    addresses = [{"endpoint": {"address": address(one.host, one.port)}} for one in endpoints]
    return {
        "name": name,
        "type": "STATIC" if all(one.is_address for one in endpoints) else "STRICT_DNS",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": addresses}]},
    }


def trace_cluster(collector: Endpoint) -> Json:
    """OTLP over gRPC in the clear: where it leads is the user's choice."""
    http2: Json = {"explicit_http_config": {"http2_protocol_options": {}}}
    options = typed("extensions.upstreams.http.v3.HttpProtocolOptions", http2)
    return {
        **_members(TRACE_CLUSTER, (collector,)),
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {_HTTP_OPTIONS: options},
    }
