"""The enrolment listener: TLS 1.3 with a server certificate only, one service, nothing else (protocol.md 1).

It shows its leaf, the issuing CA and the root above it, so that a client that knows the root's digest alone can verify
the listener before it sends its token. Renewed credentials are taken up at the next handshake. Refusals carry their
reason; a token, a key or a CSR stands in no text.
KNOWN: gRPC closes no HTTP/2 flood early. The listener is needed while somebody enrols: bind it where enrolments come
from, or stop it between them.
"""

import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Final, NoReturn

from bus.exchange.tls import TlsMaterial, TlsWatch, verify_tls13_only  # isort: skip - before gRPC

import grpc
from cryptography.hazmat.primitives.serialization import Encoding
from govbus.enrolment.v1 import enrolment_pb2 as pb
from govbus.enrolment.v1 import enrolment_pb2_grpc as rpc

from bus.edge.snapshot_files import BROKER_SNAPSHOT, ENDPOINTS, peek_header, snapshot_name
from bus.engines.postgres_database import DatabaseUnavailable
from bus.exchange.config import TlsFiles
from bus.exchange.meanings import encode_refusal, meaning
from bus.exchange.reasons import Reason
from bus.registry.draft import Draft
from bus.registry.enrolment import Asked, Enrolled, Enroller, EnrolmentRefused, KeyProof
from bus.registry.own_grants import RENEWAL_PURPOSE
from bus.registry.registry import Registry
from native.codec import CodecError
from pki.keys import spki_from_point
from pki.trust import TrustBundle, parse_pem_certificates

__all__ = ["EnrolmentServer", "wait_published"]

STATUS_DETAILS: Final = "grpc-status-details-bin"
_WORKERS: Final = 4
_PUBLISHED_SECONDS: Final = 10.0
_HEAD_BYTES: Final = 4096
_OPTIONS: Final = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 16 * 1024),
    ("grpc.max_metadata_size", 4 * 1024),
    ("grpc.absolute_max_metadata_size", 8 * 1024),
    ("grpc.max_concurrent_streams", 4),
    # It lives in the supervisor's process: who connects and says nothing must not take that one's descriptors.
    ("grpc.max_allowed_incoming_connections", 64),
    ("grpc.server_handshake_timeout_ms", 5_000),
    ("grpc.max_connection_age_ms", 60_000),
    ("grpc.max_connection_idle_ms", 20_000),
]

log = logging.getLogger(__name__)


def wait_published(snapshots: Path, seconds: float = _PUBLISHED_SECONDS) -> Callable[[int], bool]:
    """What an Enroller waits with: until the broker's snapshot in `snapshots` reflects a log position."""

    def wait(position: int) -> bool:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            try:
                with (snapshots / BROKER_SNAPSHOT).open("rb") as file:  # its head: a country's snapshot is long
                    if peek_header(file.read(_HEAD_BYTES)).log_position >= position:
                        return True
            except (OSError, CodecError):
                pass
            time.sleep(0.02)
        return False

    return wait


class EnrolmentServer:
    """Listens between `start` and `stop`."""

    def __init__(
        self, enroller: Enroller, registry: Registry, home: Path, snapshots: Path, policy_key_point: bytes, listen: str
    ) -> None:
        """`home`: the credentials of the subsystem that tokens name as server. `listen`: host:port, port 0 for any."""
        verify_tls13_only()
        self._service = _Service(enroller, registry, snapshots, policy_key_point)
        self._tls = TlsWatch(TlsFiles(home / "tls" / "chain.pem", home / "tls" / "key.pem", home / "trust.pem"))
        self._trust_domain = Draft(registry.state()).founded().trust_domain
        self._listen = listen
        self._server: grpc.Server | None = None
        self.port = 0

    def start(self) -> int:
        """Listen; the port."""
        pool = ThreadPoolExecutor(_WORKERS, thread_name_prefix="enrolment")
        server = grpc.server(pool, options=_OPTIONS, maximum_concurrent_rpcs=4 * _WORKERS)
        rpc.add_EnrolmentServiceServicer_to_server(self._service, server)
        self.port = server.add_secure_port(self._listen, self._credentials())
        server.start()
        self._server = server
        return self.port

    def stop(self) -> None:
        """Finish what is being issued, and listen no more."""
        if self._server is not None:
            self._server.stop(_PUBLISHED_SECONDS).wait()
            self._server = None

    def __enter__(self) -> "EnrolmentServer":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _credentials(self) -> grpc.ServerCredentials:
        served = self._tls.generation

        def newest() -> grpc.ServerCertificateConfiguration | None:
            nonlocal served
            self._tls.refresh()
            if served == self._tls.generation:
                return None
            served = self._tls.generation
            return _configuration(self._tls.material, self._trust_domain)

        initial = _configuration(self._tls.material, self._trust_domain)
        # None means "as before", which gRPC documents and its type stubs do not know.
        return grpc.dynamic_ssl_server_credentials(initial, newest, False)  # type: ignore[arg-type]


class _Service(rpc.EnrolmentServiceServicer):
    def __init__(self, enroller: Enroller, registry: Registry, snapshots: Path, policy_key_point: bytes) -> None:
        self._enroller, self._registry, self._snapshots = enroller, registry, snapshots
        self._policy_key_spki = spki_from_point(policy_key_point)

    def Enrol(self, request: pb.EnrolRequest, context: grpc.ServicerContext) -> pb.EnrolResponse:
        """govbus.enrolment.v1."""
        asked = Asked(
            secret_hash=sha256(request.token_secret).digest(),
            csr=request.csr,
            proof=KeyProof(
                spki=request.signing_key_spki,
                not_before_ms=request.signing_key_not_before_ms,
                not_after_ms=request.signing_key_not_after_ms,
                possession=request.possession,
            ),
        )
        try:
            enrolled = self._enroller.enrol(asked)
        except EnrolmentRefused as refused:
            _refuse(context, refused.reason)
        except DatabaseUnavailable:
            _refuse(context, Reason.REGISTRY_UNAVAILABLE)
        log.info("%s enrolled at log position %d", enrolled.subsystem.path, enrolled.issued.log_position)
        return self._answer(enrolled)

    def _answer(self, enrolled: Enrolled) -> pb.EnrolResponse:
        state, subsystem = self._registry.state(), enrolled.subsystem
        broker = state.subsystems[subsystem.path].is_broker
        snapshot = self._snapshots / (BROKER_SNAPSHOT if broker else snapshot_name(subsystem.spiffe_id))
        listen = state.subsystems[subsystem.path].endpoints
        endpoints = self._snapshots / ENDPOINTS
        return pb.EnrolResponse(
            certificate_chain=enrolled.issued.certificate.chain_pem,
            trust_bundle=self._enroller.trust_pem(),
            policy_key_spki=self._policy_key_spki,
            signing_key_starts_ms=enrolled.key_starts_ms,
            snapshot=snapshot.read_bytes() if snapshot.exists() else b"",
            brokers=[
                pb.Broker(identity=one.identity.spiffe_id, address=str(one.endpoints[0]))
                for one in state.subsystems.values()
                if one.is_broker and one.endpoints and one.revoked_ms is None
            ],
            listen=str(listen[0]) if listen else "",
            renewal_provider=enrolled.renewal_provider,
            renewal_purpose=RENEWAL_PURPOSE if enrolled.renewal_provider else "",
            endpoints=endpoints.read_bytes() if broker and endpoints.exists() else b"",
        )


def _refuse(context: grpc.ServicerContext, reason: Reason) -> NoReturn:
    found = meaning(reason)
    context.set_trailing_metadata(((STATUS_DETAILS, encode_refusal(reason, {})),))
    context.abort(found.code, found.text)
    raise AssertionError("abort raises")


def _configuration(material: TlsMaterial, trust_domain: str) -> grpc.ServerCertificateConfiguration:
    """Key and leaf, issuing CA, root."""
    chain = parse_pem_certificates(material.chain)
    roots = b""
    for issuer in TrustBundle.verify_pem(trust_domain, material.authorities).issuers:
        if issuer.certificate.public_bytes(Encoding.DER) in chain:
            roots = issuer.root.public_bytes(Encoding.PEM)
    return grpc.ssl_server_certificate_configuration([(material.key, material.chain + roots)], None)
