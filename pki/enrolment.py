"""Enrolment's own bytes: the token that an operator hands over, and the proof that a signing key is its sender's.

A token is `govbus1.` and base64url of canonical JSON: where to go, whom to meet there, for whom, and two values of 32
bytes. `root` is the SHA-256 of the instance's root certificate: the client pins it before it sends anything. `secret`
alone is shown to the instance, which keeps its SHA-256. A token is a password for an hour: it is never logged.

The proof is a signature by the key itself over PAE("govbus/possession/v1", subsystem, SPKI, validity), each text and
key with its length before it (u16), both bounds as i64 milliseconds, all big-endian (protocol.md 1, 2). Its type keeps
it from being taken for a header, and no header for it.

verify_instance takes what a listener showed, unverified: leaf, issuing CAs and root, and gives the trust bundle:
1. exactly one self-issued certificate, with the pinned SHA-256
2. a bundle of the CA profile under it
3. the leaf of the expected server's identity, valid now
"""

import base64
import binascii
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Final

from cryptography import x509

from native.digest import pae
from native.ecdsa import PublicKey
from native.errors import KeyInvalid, SignatureInvalid
from pki._x509 import PARSE_ERRORS
from pki.errors import ProfileError, ProfileReason
from pki.identity import IdentityError, SubsystemId, parse_spiffe_id
from pki.keys import verify_signing_key_spki
from pki.profiles import verify_tls_certificate
from pki.signer import Signer
from pki.trust import TrustBundle

__all__ = [
    "POSSESSION_TYPE",
    "Token",
    "TokenMalformed",
    "parse_token",
    "prove_possession",
    "verify_instance",
    "verify_possession",
]

POSSESSION_TYPE: Final = "govbus/possession/v1"
_PREFIX: Final = "govbus1."
_LONGEST: Final = 2_000
_ADDRESS: Final = 300
_SECRET_BYTES: Final = 32


class TokenMalformed(ValueError):
    """A text that is no enrolment token."""


@dataclass(frozen=True, slots=True)
class Token:
    """What an enrolment token says."""

    subsystem: SubsystemId
    """Who may enrol with it."""
    server: SubsystemId
    """Whose certificate the listener must show."""
    address: str
    """host:port of the enrolment listener."""
    root: bytes
    """SHA-256 of the root certificate's DER."""
    secret: bytes = field(repr=False)

    @property
    def secret_hash(self) -> bytes:
        """What the instance keeps."""
        return sha256(self.secret).digest()

    @property
    def text(self) -> str:
        """What the operator hands over."""
        content = {
            "address": self.address,
            "root": self.root.hex(),
            "secret": self.secret.hex(),
            "server": self.server.spiffe_id,
            "subsystem": self.subsystem.spiffe_id,
        }
        data = json.dumps(content, sort_keys=True, separators=(",", ":")).encode("ascii")
        return _PREFIX + base64.urlsafe_b64encode(data).decode("ascii").rstrip("=")


def parse_token(text: str) -> Token:
    """The token in `text`, exactly as Token.text writes it; TokenMalformed otherwise, quoting nothing of it."""
    try:
        if len(text) > _LONGEST or not text.startswith(_PREFIX):
            raise ValueError("prefix")
        body = text.removeprefix(_PREFIX)
        found = json.loads(base64.b64decode(body + "=" * (-len(body) % 4), altchars=b"-_", validate=True))
        token = Token(
            subsystem=parse_spiffe_id(found["subsystem"]),
            server=parse_spiffe_id(found["server"]),
            address=found["address"],
            root=bytes.fromhex(found["root"]),
            secret=bytes.fromhex(found["secret"]),
        )
        host, _, port = token.address.rpartition(":")
        if token.text != text or len(token.address) > _ADDRESS or not host:
            raise ValueError("spelling")
        if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
            raise ValueError("port")
        if len(token.root) != sha256().digest_size or len(token.secret) != _SECRET_BYTES:
            raise ValueError("length")
        if token.server.trust_domain != token.subsystem.trust_domain:
            raise ValueError("domain")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error, IdentityError):
        raise TokenMalformed(
            "this is no enrolment token: copy the whole line that begins with govbus1., or ask the operator for one"
        ) from None
    return token


def prove_possession(
    signer: Signer, subsystem: SubsystemId, spki: bytes, not_before_ms: int, not_after_ms: int
) -> bytes:
    """The 64-byte signature by which `signer` proves that the key of `spki` is its own."""
    return signer.sign(_possession(subsystem, spki, not_before_ms, not_after_ms))


def verify_possession(
    signature: bytes, subsystem: SubsystemId, spki: bytes, not_before_ms: int, not_after_ms: int
) -> bytes:
    """The key's 65-byte point; ProfileError for a key that is none of ours, or PROOF_OF_POSSESSION."""
    point = verify_signing_key_spki(spki)
    try:
        message = _possession(subsystem, spki, not_before_ms, not_after_ms)
        PublicKey.from_point(point).verify(message, signature)
    except (SignatureInvalid, KeyInvalid, ValueError, struct.error) as error:
        raise ProfileError(
            ProfileReason.PROOF_OF_POSSESSION, "sign subsystem, key and validity with the key that is to be registered"
        ) from error
    return point


def verify_instance(chain: Sequence[bytes], token: Token, *, now: datetime) -> TrustBundle:
    """The trust bundle of the instance whose root `token` pins, out of a listener's unverified DER `chain`.

    ProfileError: UNKNOWN_ISSUER for any other root or none, and whatever the profiles say of the rest.
    """
    if not chain:
        raise ProfileError(ProfileReason.MALFORMED, "the listener showed no certificate")
    leaf, *others = chain
    roots = [der for der in others if sha256(der).digest() == token.root]  # 1
    if len(roots) != 1:
        raise ProfileError(ProfileReason.UNKNOWN_ISSUER, "the listener does not belong to the root that the token pins")
    issuers = [der for der in others if der != roots[0]]
    if any(_self_issued(der) for der in issuers):
        raise ProfileError(ProfileReason.UNKNOWN_ISSUER, "the listener shows a second root")
    bundle = TrustBundle.verify(token.server.trust_domain, roots=roots, issuers=issuers)  # 2
    verify_tls_certificate(leaf, trust=bundle, now=now, expected=token.server)  # 3
    return bundle


def _self_issued(der: bytes) -> bool:
    try:
        certificate = x509.load_der_x509_certificate(der)
        return certificate.issuer == certificate.subject
    except PARSE_ERRORS as error:
        raise ProfileError(ProfileReason.MALFORMED, "not one DER certificate") from error


def _possession(subsystem: SubsystemId, spki: bytes, not_before_ms: int, not_after_ms: int) -> bytes:
    name = subsystem.spiffe_id.encode("ascii")
    body = b"".join(
        (
            struct.pack(">H", len(name)),
            name,
            struct.pack(">H", len(spki)),
            spki,
            struct.pack(">qq", not_before_ms, not_after_ms),
        )
    )
    return pae(POSSESSION_TYPE, body)
