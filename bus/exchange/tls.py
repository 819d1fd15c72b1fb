"""Mutual TLS 1.3 through gRPC, and certificates that are replaced while connections stand.

gRPC has no minimum TLS version. Naming only a cipher suite that TLS 1.2 could use with a pre-shared key leaves none for
1.2, so 1.3 alone remains; gRPC reads that choice from the environment once, when it is first imported. This module
therefore sets it before importing gRPC, and `verify_tls13_only` refuses to serve where something imported gRPC earlier.

A client dials an address and checks the DNS name that follows from the broker's SPIFFE ID (protocol.md 1).
KNOWN: gRPC shows a client nothing of the server's certificate, so a broker whose certificate left the snapshot is
noticed by its receipts, not by its handshake; certificates live 24 h.
"""

import os
import sys
import time
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from ssl import PEM_cert_to_DER_cert
from typing import Final

VARIABLE: Final = "GRPC_SSL_CIPHER_SUITES"
TLS13_ONLY: Final = "ECDHE-PSK-AES128-CBC-SHA"

_EARLY: Final = "grpc._cython.cygrpc" in sys.modules and os.environ.get(VARIABLE) != TLS13_ONLY
if not _EARLY:
    os.environ[VARIABLE] = TLS13_ONLY

import grpc  # noqa: E402 - the environment must be set before this import, see above
from cryptography import x509  # noqa: E402 - follows the above
from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: E402 - follows the above

from bus.exchange.config import TlsFiles  # noqa: E402 - follows the above
from pki.identity import parse_spiffe_id  # noqa: E402 - follows the above

__all__ = ["TlsError", "TlsMaterial", "TlsWatch", "certificate_digest", "verify_tls13_only"]


class TlsError(ValueError):
    """TLS cannot be set up as demanded; the text says what to do."""


@dataclass(frozen=True, slots=True)
class TlsMaterial:
    """PEM bytes that belong together."""

    key: bytes
    chain: bytes
    authorities: bytes

    def __repr__(self) -> str:  # the default would print the private key
        return "TlsMaterial(...)"

    def client_credentials(self) -> grpc.ChannelCredentials:
        """For a channel that shows this certificate."""
        return grpc.ssl_channel_credentials(self.authorities, self.key, self.chain)


class TlsWatch:
    """The newest material of three files that are replaced by rename."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._stamp = self._look()
        self.material = _read(files)
        self.generation = 1

    def refresh(self) -> bool:
        """Read the files again if any was replaced; True if there is new material. Keeps the old if they do not fit."""
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return False
            material = _read(self._files)
        except (OSError, TlsError):
            return False
        self._stamp = stamp
        self.material = material
        self.generation += 1
        return True

    def server_credentials(self) -> grpc.ServerCredentials:
        """Demands a client certificate; each handshake uses the newest material."""
        served = self.generation

        def newest() -> grpc.ServerCertificateConfiguration | None:
            nonlocal served
            self.refresh()
            if served == self.generation:
                return None
            served = self.generation
            return _server_configuration(self.material)

        initial = _server_configuration(self.material)
        # None means "as before", which gRPC documents and its type stubs do not know.
        return grpc.dynamic_ssl_server_credentials(initial, newest, True)  # type: ignore[arg-type]

    def _look(self) -> tuple[tuple[int, int, int], ...]:
        found = (path.stat() for path in (self._files.certificate, self._files.key, self._files.authorities))
        return tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in found)


def verify_tls13_only() -> None:
    """Raise TlsError where gRPC was imported before this module and so still accepts TLS 1.2."""
    if _EARLY:
        raise TlsError(
            "gRPC was imported before bus.exchange and would accept TLS 1.2: import bus.exchange first,"
            f" or start the process with {VARIABLE}={TLS13_ONLY}"
        )


@lru_cache(maxsize=1024)
def certificate_digest(pem: bytes) -> bytes:
    """SHA-256 of the certificate's DER, as snapshots list it."""
    return sha256(PEM_cert_to_DER_cert(pem.decode("ascii"))).digest()


def broker_dns_name(spiffe_id: str) -> str:
    """The one name that this broker's certificate must bear."""
    return parse_spiffe_id(spiffe_id).dns_name


def _server_configuration(material: TlsMaterial) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(material.key, material.chain)], material.authorities)


def _read(files: TlsFiles) -> TlsMaterial:
    """Key and chain of one generation: a rename may fall between two reads, so they are compared."""
    for _ in range(5):
        material = TlsMaterial(
            key=_bytes(files.key), chain=_bytes(files.certificate), authorities=_bytes(files.authorities)
        )
        try:
            certificate = x509.load_pem_x509_certificate(material.chain)
            key = load_pem_private_key(material.key, password=None)
        except ValueError as error:
            raise TlsError(f"{files.certificate} or {files.key} is not PEM; renew the certificate") from error
        if certificate.public_key() == key.public_key():
            return material
        time.sleep(0.01)
    raise TlsError(f"{files.certificate} is not the certificate of {files.key}; renew both together")


def _bytes(path: Path) -> bytes:
    return path.read_bytes()
