"""The edge: one TLS 1.3 listener with client certificates required, HTTP/2 only, and the gate before the router.

Every limit stands here with its reason. Envoy adds nothing to a call that the signed header does not know: no
x-envoy-*, no x-forwarded-*, no request id; paths are passed byte for byte (protocol.md 4, check 3). The only route is
the cluster that the gate names.
"""

from bus.edge.endpoint import Endpoint
from bus.edge.envoy_clusters import TRACE_CLUSTER
from bus.edge.envoy_json import Json, address, file_source, tls_context, typed
from bus.edge.envoy_replies import local_replies
from bus.edge.settings import CLUSTER_HEADER, METADATA_KIB, STREAM_BYTES, EdgeSettings

__all__ = ["GATE_FILTER", "edge_listener"]

GATE_FILTER = "govbus.gate"
_GATE_TYPE = "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter"


def edge_listener(settings: EdgeSettings) -> Json:
    """The Listener."""
    connection_manager = typed(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager", _http(settings)
    )
    return {
        "name": "edge",
        "address": address(_bound(settings.listen), settings.listen.port),
        # Bytes written but not yet taken by the peer; the gate's body cap is the stream window below.
        "per_connection_buffer_limit_bytes": 256 * 1024,
        "tcp_backlog_size": 1024,
        "enable_reuse_port": True,
        "filter_chains": [
            {
                "transport_socket_connect_timeout": "5s",
                "transport_socket": {"name": "tls", "typed_config": _downstream_tls(settings)},
                "filters": [{"name": "http", "typed_config": connection_manager}],
            }
        ],
    }


def _bound(listen: Endpoint) -> str:
    """What Envoy binds: the address itself; every address of the machine for a name, which is for those who come."""
    if listen.is_address:
        return listen.host
    return "127.0.0.1" if listen.host == "localhost" else "0.0.0.0"  # noqa: S104 (mutual TLS, and the gate)


def _downstream_tls(settings: EdgeSettings) -> Json:
    return typed(
        "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        {
            "common_tls_context": tls_context(settings.directory, peer_dns_name=None),
            "require_client_certificate": True,
            # A resumed session proves possession of a ticket, not of the key.
            "disable_stateless_session_resumption": True,
            "disable_stateful_session_resumption": True,
        },
    )


def _http(settings: EdgeSettings) -> Json:
    http: Json = {
        "stat_prefix": "edge",
        "codec_type": "HTTP2",
        "http2_protocol_options": _HTTP2,
        "common_http_protocol_options": {
            "idle_timeout": "300s",
            "max_headers_count": 64,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        "max_request_headers_kb": METADATA_KIB,
        # From the first byte of the headers to their last; from the headers to the end of the body, which is one
        # message; and silence on an open stream.
        "request_headers_timeout": "5s",
        "request_timeout": "30s",
        "stream_idle_timeout": "300s",
        "drain_timeout": f"{settings.drain_seconds}s",
        "delayed_close_timeout": "1s",
        "normalize_path": False,
        "merge_slashes": False,
        "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
        "strip_trailing_host_dot": False,
        # Nobody is internal: not loopback, not a private network.
        "use_remote_address": True,
        "skip_xff_append": True,
        "internal_address_config": {"cidr_ranges": [_NOWHERE]},
        "forward_client_cert_details": "SANITIZE",
        # Envoy's tracer samples by it; it is removed before it travels.
        "generate_request_id": settings.trace_collector is not None,
        "server_name": "govbus",
        "server_header_transformation": "OVERWRITE",
        "local_reply_config": local_replies(),
        "route_config": _ROUTES,
        "http_filters": _filters(settings),
    }
    if settings.trace_collector is not None:
        http["tracing"] = _tracing()
    return http


# An empty list would mean Envoy's default, which trusts loopback and private networks. RFC 5737: never assigned.
_NOWHERE: Json = {"address_prefix": "192.0.2.255", "prefix_len": 32}

_HTTP2: Json = {
    "max_concurrent_streams": 128,
    # The window is also the largest body a stream may have buffered.
    "initial_stream_window_size": STREAM_BYTES,
    "initial_connection_window_size": 4 * STREAM_BYTES,
    # Floods: frames that make us answer, frames that carry nothing, frames that only move windows.
    "max_outbound_frames": 10_000,
    "max_outbound_control_frames": 1_000,
    "max_consecutive_inbound_frames_with_empty_payload": 1,
    "max_inbound_priority_frames_per_stream": 10,
    "max_inbound_window_update_frames_per_data_frame_sent": 10,
    "allow_connect": False,
    "allow_metadata": False,
    "connection_keepalive": {"interval": "30s", "timeout": "10s"},
}

_ROUTES: Json = {
    "name": "edge",
    "virtual_hosts": [
        {
            "name": "bus",
            "domains": ["*"],
            "routes": [
                {
                    "match": {"prefix": "/", "grpc": {}},
                    "route": {
                        "cluster_header": CLUSTER_HEADER,
                        "timeout": "0s",
                        # The client's own deadline, whatever it is; one hour for whoever states none.
                        "max_stream_duration": {"max_stream_duration": "3600s", "grpc_timeout_header_max": "0s"},
                        # Only what certainly never reached the provider is sent again (protocol.md 6).
                        "retry_policy": {
                            "retry_on": "connect-failure,refused-stream",
                            "num_retries": 2,
                            "retry_host_predicate": [
                                {
                                    "name": "envoy.retry_host_predicates.previous_hosts",
                                    "typed_config": typed(
                                        "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                                    ),
                                }
                            ],
                            "host_selection_retry_max_attempts": 3,
                        },
                    },
                }
            ],
            "request_headers_to_remove": [
                CLUSTER_HEADER,
                "x-forwarded-for",
                "x-forwarded-proto",
                "x-forwarded-host",
                "x-request-id",
                "x-envoy-internal",
                "x-envoy-external-address",
                "x-envoy-attempt-count",
                "x-envoy-expected-rq-timeout-ms",
            ],
            "response_headers_to_remove": ["x-envoy-upstream-service-time", "x-envoy-overloaded"],
        }
    ],
}


def _filters(settings: EdgeSettings) -> list[Json]:
    router = typed("extensions.filters.http.router.v3.Router", {"suppress_envoy_headers": True})
    filters: list[Json] = [{"name": "router", "typed_config": router}]
    if settings.gate is not None:
        # No default configuration: until the gate has a snapshot the listener does not open.
        source: Json = {**file_source(settings.directory / "gate.json"), "initial_fetch_timeout": "0s"}
        filters.insert(
            0, {"name": GATE_FILTER, "config_discovery": {"config_source": source, "type_urls": [_GATE_TYPE]}}
        )
    return filters


def _tracing() -> Json:
    collector = {"envoy_grpc": {"cluster_name": TRACE_CLUSTER}, "timeout": "1s"}
    # Who has begun a trace decides whether it is recorded; a call that comes without one begins it here. Said by a
    # sampler, since Envoy's own decision needs a route, and the gate makes that later.
    samplers = "extensions.tracers.opentelemetry.samplers.v3"
    always = {"name": "always", "typed_config": typed(f"{samplers}.AlwaysOnSamplerConfig")}
    sampler = typed(f"{samplers}.ParentBasedSamplerConfig", {"wrapped_sampler": always})
    told = {"grpc_service": collector, "service_name": "govbus-broker"}
    tracer = typed(
        "config.trace.v3.OpenTelemetryConfig", told | {"sampler": {"name": "parent-based", "typed_config": sampler}}
    )
    return {
        "provider": {"name": "envoy.tracers.opentelemetry", "typed_config": tracer},
        "max_path_tag_length": 200,
        "spawn_upstream_span": False,
    }
