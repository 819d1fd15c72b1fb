"""The gate's short-lived key, made at each start of a broker instance and certified by it.

The gate signs admissions and receipts itself, many a second, inside Envoy; the broker's
registered signing key stays with its Signer outside (protocol.md 10). It speaks once per
start: a batch of one over the GateKey header, under `govbus/gatekey/v1`. Header and signature
then travel unchanged as `govbus-gatekey-bin` and `govbus-gatekey-signature-bin`.

The private key is never written to disk. `handover` is what the supervisor passes to Envoy
through an inherited descriptor: three blocks, each a big-endian u16 length and its bytes:
the private key (PKCS#8 DER), the GateKey header, its Signature.

KNOWN: a gate takes a new key only by restarting, so a process must not live longer than
`lifetime`; the supervisor restarts it before.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from native.batch import sign_batch
from native.codec import encode_gate_key
from native.digest import GATEKEY_TYPE
from native.headers import GateKey
from pki._x509 import verify_instant
from pki.identity import SubsystemId
from pki.keys import encode_private_key_der, encode_spki, generate_private_key, verify_signing_key_spki
from pki.profiles import BACKDATE
from pki.signer import Signer

__all__ = ["GATE_KEY_LIFETIME", "CertifiedGateKey", "make_gate_key"]

GATE_KEY_LIFETIME = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class CertifiedGateKey:
    """A fresh gate key, the header that names it and the broker's signature over that."""

    private_key_der: bytes = field(repr=False)
    gate_key: bytes
    """Encoded govbus.exchange.v1.GateKey."""
    signature: bytes
    """Encoded govbus.exchange.v1.Signature over it, by the broker's signing key."""

    @property
    def handover(self) -> bytes:
        """What the gate reads at its start. Secret: an inherited descriptor, never a file."""
        blocks = (self.private_key_der, self.gate_key, self.signature)
        return b"".join(len(block).to_bytes(2, "big") + block for block in blocks)


def make_gate_key(
    broker: SubsystemId, signer: Signer, *, now: datetime, lifetime: timedelta = GATE_KEY_LIFETIME
) -> CertifiedGateKey:
    """Make a gate key for `broker`, certified by its registered signing key for `lifetime`."""
    verify_instant(now)
    if not timedelta() < lifetime <= GATE_KEY_LIFETIME:
        raise ValueError(f"a gate key lives at most {GATE_KEY_LIFETIME.days} days, and more than no time")
    key = generate_private_key()
    header = encode_gate_key(
        GateKey(
            broker=broker.spiffe_id,
            public_key=verify_signing_key_spki(encode_spki(key.public_key())),
            not_before_ms=_milliseconds(now - BACKDATE),
            not_after_ms=_milliseconds(now + lifetime),
        )
    )
    (signature,) = sign_batch(signer, [(GATEKEY_TYPE, header)])
    return CertifiedGateKey(encode_private_key_der(key), header, signature)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000
