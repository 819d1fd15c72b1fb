"""A subsystem's TLS certificate, renewed by itself at two thirds of its life (protocol.md 1), by a signed call.

1. Due means: past two thirds of the certificate in the file, plus a chance share of a hundredth, so that those who
   joined in one hour do not all come back in one minute.
2. A new key is made; RenewalService issues its certificate.
3. What comes back is verified as strictly as at enrolment, under a bundle that still holds a root believed before.
4. Each broker that can be reached is asked through, with the new certificate, until it takes it.
5. Only then the files are swapped, key and chain in one step. Whoever watches them goes over: new connections show the
   new certificate, what runs on old ones ends in peace, since the old certificate stays live to its end.
6. A failure is told and tried again, ever more seldom; the certificate in use stays. One process of a home renews, the
   others see its files.

It runs on a thread and a connection of its own, so that no call waits for it.
KNOWN: a client begins to look with its first call. One that is opened and not used for a day finds its certificate
ended.
"""

import asyncio
import logging
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from govbus.registry.v1 import renewal_pb2 as pb

from bus.exchange.config import ConfigError, Identity, TlsFiles
from bus.exchange.errors import CallError
from bus.exchange.own_calls import CALL_S, alone, confirm, own_channel, own_config
from bus.exchange.reasons import Reason
from bus.exchange.signing import HeaderSigner
from pki.certificates import build_csr
from pki.credentials import store_credentials
from pki.errors import ProfileError, ProfileReason
from pki.files import ensure_private_directory, write_atomic
from pki.identity import SubsystemId, parse_spiffe_id
from pki.keys import encode_private_key, encode_spki, generate_private_key, signing_key_id
from pki.profiles import verify_tls_certificate
from pki.trust import TrustBundle, parse_pem_certificates

__all__ = ["Renewer"]

RENEW: Final = "/govbus.registry.v1.RenewalService/Renew"
_NOT_YET: Final = frozenset({Reason.CERTIFICATE_NOT_LIVE})
_FIRST_RETRY_S: Final = 5.0
_LONGEST_RETRY_S: Final = 900.0

log = logging.getLogger(__name__)


class Renewer:
    """For one identity of one process; `look` is called again and again, from any one thread at a time."""

    def __init__(self, identity: Identity, signer: HeaderSigner) -> None:
        """Does nothing where the configuration has no `renewal`."""
        self._identity, self._signer = identity, signer
        self._share = secrets.randbelow(1000) / 100_000
        self._retry_s = _FIRST_RETRY_S
        self._not_before = 0.0
        self._thread: threading.Thread | None = None

    def look(self) -> bool:
        """Begin a renewal if one is due. Never waits, never raises; False, since no file was read anew."""
        if self._identity.renewal is None or time.monotonic() < self._not_before:
            return False
        if self._thread is not None and self._thread.is_alive():
            return False
        with suppress(OSError, ValueError):  # files that are being replaced are looked at again
            if self._due(datetime.now(UTC)):
                self._thread = threading.Thread(target=self._run, name="govbus-renewal", daemon=True)
                self._thread.start()
        return False

    def _due(self, now: datetime) -> bool:
        certificate = x509.load_pem_x509_certificate(self._identity.tls.certificate.read_bytes())
        start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
        life: timedelta = end - start
        return now >= start + life * (2 / 3 + self._share)

    def _run(self) -> None:
        try:
            with alone(self._home()) as mine:
                if mine and self._due(datetime.now(UTC)):
                    self._renew()
                    log.info("the TLS certificate was renewed")
            self._retry_s = _FIRST_RETRY_S
        except (CallError, ProfileError, ConfigError, OSError, ValueError) as error:
            log.warning("the TLS certificate is not renewed, the one in use stays, tried again: %s", error)
            self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)
        self._not_before = time.monotonic() + self._retry_s

    def _renew(self) -> None:
        identity = self._identity
        subsystem = parse_spiffe_id(identity.spiffe_id)
        key = generate_private_key()
        key_pem = encode_private_key(key)
        request = pb.RenewRequest(csr=build_csr(key, subsystem))
        answer = asyncio.run(_ask(identity, self._signer, request))  # 2
        old = identity.tls.authorities.read_bytes()
        _verify(answer, old, subsystem, encode_spki(key.public_key()), datetime.now(UTC))  # 3
        with _beside(self._home(), key_pem, answer) as tls:
            config = own_config(replace(identity, tls=tls))
            asyncio.run(confirm(config, identity, self._signer, _NOT_YET))  # 4
        store_credentials(self._home(), key_pem, answer.certificate_chain, answer.trust_bundle)  # 5

    def _home(self) -> Path:
        """The directory whose `tls` link holds key and chain (pki.credentials)."""
        tls = self._identity.tls.certificate.parent
        if not tls.is_symlink() or self._identity.tls.key.parent != tls:
            raise ConfigError("renewal needs the files of an enrolled directory: tls/chain.pem and tls/key.pem in one")
        return tls.parent


async def _ask(identity: Identity, signer: HeaderSigner, request: pb.RenewRequest) -> pb.RenewResponse:
    async with own_channel(own_config(identity), identity, signer) as channel:
        renew = channel.unary_unary(RENEW, pb.RenewRequest.SerializeToString, pb.RenewResponse.FromString)
        answer: pb.RenewResponse = await renew(request, timeout=CALL_S)
        return answer


@contextmanager
def _beside(home: Path, key_pem: bytes, answer: pb.RenewResponse) -> Iterator[TlsFiles]:
    """The new material as files that nobody else reads; gone afterwards."""
    directory = ensure_private_directory(home / "renewing")
    found = TlsFiles(directory / "chain.pem", directory / "key.pem", directory / "trust.pem")
    try:
        for path, data in (
            (found.key, key_pem),
            (found.certificate, answer.certificate_chain),
            (found.authorities, answer.trust_bundle),
        ):
            write_atomic(path, data)
        yield found
    finally:
        shutil.rmtree(directory)


def _verify(answer: pb.RenewResponse, old: bytes, subsystem: SubsystemId, spki: bytes, now: datetime) -> None:
    """(3)"""
    bundle = TrustBundle.verify_pem(subsystem.trust_domain, answer.trust_bundle)
    if not set(bundle.roots) & set(TrustBundle.verify_pem(subsystem.trust_domain, old).roots):
        raise ProfileError(ProfileReason.UNKNOWN_ISSUER, "no root of the new bundle was believed before; enrol again")
    leaf = parse_pem_certificates(answer.certificate_chain)[0]
    if verify_tls_certificate(leaf, trust=bundle, now=now, expected=subsystem).key_id != signing_key_id(spki):
        raise ProfileError(ProfileReason.KEY_MISMATCH, "the certificate is for another key; ask the operator")
