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
import fcntl
import logging
import os
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

from bus.exchange.config import ClientConfig, ConfigError, Identity, Renewal, TlsFiles
from bus.exchange.errors import CallError
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
CONFIRM: Final = "/govbus.registry.v1.RenewalService/Confirm"
_CASE: Final = "certificate-renewal"
_CALL_S: Final = 30.0
_TAKEN_UP_S: Final = 20.0
_ASK_AGAIN_S: Final = 0.2
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
            with _alone(self._home()) as alone:
                if alone and self._due(datetime.now(UTC)):
                    self._renew()
                    log.info("the TLS certificate was renewed")
            self._retry_s = _FIRST_RETRY_S
        except (CallError, ProfileError, ConfigError, OSError, ValueError) as error:
            log.warning("the TLS certificate is not renewed: %s; the one in use stays, tried again", error)
            self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)
        self._not_before = time.monotonic() + self._retry_s

    def _renew(self) -> None:
        identity, renewal = self._identity, self._identity.renewal
        assert renewal is not None  # noqa: S101 (look asked)
        subsystem = parse_spiffe_id(identity.spiffe_id)
        key = generate_private_key()
        key_pem = encode_private_key(key)
        request = pb.RenewRequest(csr=build_csr(key, subsystem))
        answer = asyncio.run(_ask(_config(identity, renewal), self._signer, renewal, request))  # 2
        old = identity.tls.authorities.read_bytes()
        _verify(answer, old, subsystem, encode_spki(key.public_key()), datetime.now(UTC))  # 3
        with _beside(self._home(), key_pem, answer) as tls:
            asyncio.run(_confirm(_config(replace(identity, tls=tls), renewal), self._signer, renewal))  # 4
        store_credentials(self._home(), key_pem, answer.certificate_chain, answer.trust_bundle)  # 5

    def _home(self) -> Path:
        """The directory whose `tls` link holds key and chain (pki.credentials)."""
        tls = self._identity.tls.certificate.parent
        if not tls.is_symlink() or self._identity.tls.key.parent != tls:
            raise ConfigError("renewal needs the files of an enrolled directory: tls/chain.pem and tls/key.pem in one")
        return tls.parent


@contextmanager
def _alone(home: Path) -> Iterator[bool]:
    """True inside if no other process renews this home."""
    file = os.open(home / "renewal.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(file)


async def _ask(
    config: ClientConfig, signer: HeaderSigner, renewal: Renewal, request: pb.RenewRequest
) -> pb.RenewResponse:
    from bus.exchange.channel import Channel  # channel -> runtime -> renewal

    async with Channel(config, signer) as channel:
        renew = channel.using(provider=renewal.provider).unary_unary(
            RENEW, pb.RenewRequest.SerializeToString, pb.RenewResponse.FromString
        )
        answer: pb.RenewResponse = await renew(request, timeout=_CALL_S)
        return answer


async def _confirm(config: ClientConfig, signer: HeaderSigner, renewal: Renewal) -> None:
    from bus.exchange.channel import Channel  # as above

    for broker in config.brokers:
        end = time.monotonic() + _TAKEN_UP_S
        async with Channel(replace(config, brokers=(broker,)), signer) as channel:
            confirm = channel.using(provider=renewal.provider).unary_unary(
                CONFIRM, pb.ConfirmRequest.SerializeToString, pb.ConfirmResponse.FromString
            )
            while True:
                try:
                    await confirm(pb.ConfirmRequest(), timeout=_CALL_S)
                except CallError as error:
                    if error.reason is Reason.BROKER_UNREACHABLE:
                        break  # what is down takes up the newest policy when it starts
                    if error.reason is not Reason.CERTIFICATE_NOT_LIVE or time.monotonic() > end:
                        raise
                    await asyncio.sleep(_ASK_AGAIN_S)
                else:
                    break


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


def _config(identity: Identity, renewal: Renewal) -> ClientConfig:
    """Of a channel that does not renew itself."""
    return ClientConfig(replace(identity, renewal=None), renewal.brokers, purpose=renewal.purpose, case_id=_CASE)
