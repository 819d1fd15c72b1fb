"""The files one Envoy reads, rendered from EdgeSettings; values in, bytes out, no file is touched here.

    bootstrap.json      admin on a unix socket, overload limits, where the other files are
    listener.json       LDS: the hardened edge            (bus.edge.envoy_listener)
    clusters.json       CDS: one cluster a provider       (bus.edge.envoy_clusters)
    gate.json           ECDS: path, version and digest of the policy snapshot, nothing else
    certificate.json    SDS: the broker's chain and key, by path, watched
    trust.json          SDS: the instance root, by path, watched

Envoy follows each of them by rename, so a change closes no connection. Equal settings render equal bytes: a
supervisor replaces only what changed.
"""

from collections.abc import Mapping

from bus.edge.envoy_clusters import clusters, trace_cluster
from bus.edge.envoy_json import CERTIFICATE_NAME, TRUST_NAME, Json, discovery, encode, file_source, typed
from bus.edge.envoy_listener import GATE_FILTER, edge_listener
from bus.edge.settings import GATE_MODULE, EdgeSettings, GateFilter, TlsFiles

__all__ = ["BOOTSTRAP", "GATE", "render", "render_gate"]

BOOTSTRAP = "bootstrap.json"
GATE = "gate.json"


def render(settings: EdgeSettings) -> Mapping[str, bytes]:
    """Every file by name; `gate.json` only when the settings have a gate."""
    files = {
        BOOTSTRAP: encode(_bootstrap(settings)),
        "listener.json": discovery([typed("config.listener.v3.Listener", edge_listener(settings))]),
        "clusters.json": discovery([typed("config.cluster.v3.Cluster", cluster) for cluster in clusters(settings)]),
        "certificate.json": discovery([_certificate(settings.tls)]),
        "trust.json": discovery([_trust(settings.tls)]),
    }
    if settings.gate is not None:
        files[GATE] = render_gate(settings.gate)
    return files


def render_gate(gate: GateFilter) -> bytes:
    """The ECDS file alone: all that changes when a new snapshot is served."""
    lines = f"snapshot={gate.snapshot}\nversion={gate.version}\ndigest={gate.digest.hex()}\n"
    module = {
        "dynamic_module_config": _module("govbus"),
        "filter_name": "gate",
        "filter_config": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": lines},
    }
    resource = typed(
        "config.core.v3.TypedExtensionConfig",
        {
            "name": GATE_FILTER,
            "typed_config": typed("extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter", module),
        },
    )
    return discovery([resource], version=str(gate.version))


def _module(namespace: str) -> Json:
    # The journal and the replay table belong to the process: the module outlives every filter configuration.
    return {"name": GATE_MODULE, "do_not_close": True, "metrics_namespace": namespace}


def _gate_process() -> Json:
    """The part of the gate that starts with the process and ends its threads before the workers go."""
    extension = {"dynamic_module_config": _module("govbusboot"), "extension_name": "gate"}
    message = "extensions.bootstrap.dynamic_modules.v3.DynamicModuleBootstrapExtension"
    return {"name": "envoy.bootstrap.dynamic_modules", "typed_config": typed(message, extension)}


def _bootstrap(settings: EdgeSettings) -> Json:
    bootstrap: Json = {
        "node": {"id": settings.broker, "cluster": "govbus"},
        "admin": {"address": {"pipe": {"path": str(settings.admin_socket), "mode": 0o600}}},
        "dynamic_resources": {
            "lds_config": file_source(settings.directory / "listener.json"),
            "cds_config": file_source(settings.directory / "clusters.json"),
        },
        "layered_runtime": {"layers": [{"name": "static", "static_layer": _RUNTIME}]},
        "overload_manager": _overload(settings),
    }
    if settings.gate is not None:
        bootstrap["bootstrap_extensions"] = [_gate_process()]
        # One unlabelled counter a reason lives through every swap of policy; its tail becomes a label.
        reason = {"tag_name": "reason", "regex": r"^govbusboot\.refused_by(\.(\w+))$"}
        bootstrap["stats_config"] = {"stats_tags": [reason], "histogram_bucket_settings": [_BUCKETS]}
    if settings.trace_collector is not None:
        bootstrap["static_resources"] = {"clusters": [trace_cluster(settings.trace_collector)]}
    return bootstrap


# Milliseconds; Envoy's own buckets know nothing between 1 and 5, where a call usually is.
_BUCKETS: Json = {
    "match": {"suffix": "_rq_time"},
    "buckets": [1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000],
}

_RUNTIME: Json = {
    # HTTP/2 rapid reset: a connection on which more than half of this many streams died young is closed.
    "overload.premature_reset_total_stream_count": 500,
    "overload.premature_reset_min_stream_lifetime_seconds": 1,
}


def _overload(settings: EdgeSettings) -> Json:
    """Shed load before the kernel does: first give memory back, then the heaviest streams, then every new one."""

    def above(name: str, threshold: float) -> Json:
        heap = {"name": "envoy.resource_monitors.fixed_heap", "threshold": {"value": threshold}}
        return {"name": f"envoy.overload_actions.{name}", "triggers": [heap]}

    scaled = {
        "name": "envoy.overload_actions.reset_high_memory_stream",
        "triggers": [
            {
                "name": "envoy.resource_monitors.fixed_heap",
                "scaled": {"scaling_threshold": 0.85, "saturation_threshold": 0.95},
            }
        ],
    }
    heap = typed(
        "extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig", {"max_heap_size_bytes": settings.heap_bytes}
    )
    connections = typed(
        "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        {"max_active_downstream_connections": settings.max_connections},
    )
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            {"name": "envoy.resource_monitors.fixed_heap", "typed_config": heap},
            {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": connections},
        ],
        "buffer_factory_config": {"minimum_account_to_track_power_of_two": 20},
        "actions": [above("shrink_heap", 0.8), scaled, above("stop_accepting_requests", 0.95)],
    }


def _certificate(tls: TlsFiles) -> Json:
    files = {
        "certificate_chain": {"filename": str(tls.chain)},
        "private_key": {"filename": str(tls.private_key)},
        "watched_directory": {"path": str(tls.watched)},
    }
    return typed("extensions.transport_sockets.tls.v3.Secret", {"name": CERTIFICATE_NAME, "tls_certificate": files})


def _trust(tls: TlsFiles) -> Json:
    context = {
        "trusted_ca": {"filename": str(tls.trust_root)},
        "watched_directory": {"path": str(tls.watched)},
        "max_verify_depth": 1,
    }
    return typed("extensions.transport_sockets.tls.v3.Secret", {"name": TRUST_NAME, "validation_context": context})
