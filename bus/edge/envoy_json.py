"""Small builders shared by the templates: type URLs, discovery files, transport sockets. Envoy 1.40, API v3."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = [
    "CERTIFICATE_NAME",
    "TRUST_NAME",
    "Json",
    "address",
    "discovery",
    "encode",
    "file_source",
    "tls_context",
    "typed",
]

Json = dict[str, object]
CERTIFICATE_NAME = "certificate"
TRUST_NAME = "trust"


def typed(message: str, fields: Mapping[str, object] | None = None) -> Json:
    """An Any: `message` is the name below `envoy.`."""
    return {"@type": f"type.googleapis.com/envoy.{message}", **(fields or {})}


def encode(value: object) -> bytes:
    """JSON with sorted keys: equal settings give equal bytes."""
    return (json.dumps(value, sort_keys=True, indent=1) + "\n").encode("ascii")


def discovery(resources: Sequence[Json], *, version: str = "1") -> bytes:
    """A DiscoveryResponse, the content of any file that Envoy watches. Each resource carries its @type."""
    return encode({"version_info": version, "resources": list(resources)})


def file_source(path: Path) -> Json:
    """A watched file; Envoy re-reads it when it is replaced by rename in its directory."""
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


def address(host: str, port: int) -> Json:
    """A TCP address."""
    return {"socket_address": {"address": host, "port_value": port}}


def tls_context(
    directory: Path, *, peer_dns_name: str | None, peer_certificates: Sequence[bytes] | None = None
) -> Json:
    """Both hops: TLS 1.3 only, h2 only, P-256 certificates, the peer's chain up to the instance root.

    With `peer_dns_name` the peer must hold a certificate for exactly that name, with `peer_certificates` one of these
    (SHA-256 of the DER): an empty list is met by nobody, where Envoy would take it for no list. Without a name any
    certificate of this instance opens a connection; what it may do is judged on every call by the gate (protocol.md 4,
    checks 1 and 3).
    """
    validation: Json = {}
    if peer_dns_name is not None:
        validation["match_typed_subject_alt_names"] = [{"san_type": "DNS", "matcher": {"exact": peer_dns_name}}]
    if peer_certificates is not None:
        validation["verify_certificate_hash"] = [one.hex() for one in sorted(peer_certificates)] or [bytes(32).hex()]
    return {
        "alpn_protocols": ["h2"],
        "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_3",
            "tls_maximum_protocol_version": "TLSv1_3",
            "ecdh_curves": ["X25519", "P-256"],
            "signature_algorithms": ["ecdsa_secp256r1_sha256"],
        },
        "tls_certificate_sds_secret_configs": [
            {"name": CERTIFICATE_NAME, "sds_config": file_source(directory / "certificate.json")}
        ],
        "combined_validation_context": {
            "default_validation_context": validation,
            "validation_context_sds_secret_config": {
                "name": TRUST_NAME,
                "sds_config": file_source(directory / "trust.json"),
            },
        },
    }
