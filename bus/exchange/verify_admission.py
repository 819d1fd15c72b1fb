"""Did a broker admit this request, and how did the call end? Admissions, receipts and the gate key behind them.

A gate key is short-lived and certified by the broker's registered signing key (protocol.md 10); what it signs counts
for that broker only, inside the key's validity. Pure: bytes, keys and times in, the verified statement or
ResponseRefused out, whose `step` names what failed first. The reason is the caller's word for it: ADMISSION_INVALID at
a provider, RECEIPT_INVALID at a client.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from bus.exchange import metadata
from bus.exchange.reasons import Reason
from bus.exchange.refusal import ResponseRefused
from bus.exchange.verify_batch import SignatureRefused, verify_by_owner, verify_by_point
from bus.exchange.verify_response import Answer, VerifiedResponse
from bus.exchange.view import KeyRecord, TrustView
from native.batch import SignatureCache
from native.codec import CodecError, decode_admission, decode_gate_key, decode_receipt, decode_signature
from native.digest import ADMISSION_TYPE, GATEKEY_TYPE, RECEIPT_TYPE, body_commitment
from native.ecdsa import PublicKey
from native.headers import Admission, Receipt

__all__ = [
    "GateKeys",
    "VerifiedGateKey",
    "parse_receipt",
    "verify_admission",
    "verify_failure_receipt",
    "verify_gate_key",
    "verify_receipt",
]


OUTCOME_DONE: Final = 1  # govbus.exchange.v1.Outcome
OUTCOME_FAILED: Final = 2
# Either clock may be 30 s off.
CLOCKS_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class VerifiedGateKey:
    """A gate's key, certified by a registered key of `broker`."""

    broker: str
    public_key: PublicKey
    not_before_ms: int
    not_after_ms: int


def verify_gate_key(
    encoded: bytes,
    signature: bytes,
    *,
    key: KeyRecord | None,
    at_ms: int,
    reason: Reason,
    cache: SignatureCache | None,
) -> VerifiedGateKey:
    """The gate key in `encoded`, certified by `key`, the registered key that `signature` names, valid at `at_ms`."""
    try:
        found, signed = decode_gate_key(encoded), decode_signature(signature)
        public_key = PublicKey.from_point(found.public_key)
        verify_by_owner(
            GATEKEY_TYPE,
            encoded,
            signed,
            key=key,
            owner=found.broker,
            at_ms=at_ms,
            cache=cache,
        )
    except (CodecError, SignatureRefused, ValueError) as error:
        raise ResponseRefused(reason, "gate key") from error
    return VerifiedGateKey(found.broker, public_key, found.not_before_ms, found.not_after_ms)


class GateKeys:
    """Gate keys seen and verified, so that the same bytes cost nothing the second time.

    The certifying key is asked for again on every use: revoking it ends the gate key at once. Bounded: a broker makes
    one gate key at each start, so a full table only means old ones, and it starts anew.
    """

    MAX = 256

    def __init__(self, reason: Reason, cache: SignatureCache | None) -> None:
        self._reason = reason
        self._cache = cache
        self._known: dict[tuple[bytes, bytes], tuple[bytes, VerifiedGateKey]] = {}

    def verify(self, found: Mapping[str, bytes], trust: TrustView, at_ms: int) -> VerifiedGateKey:
        """The gate key among the metadata `found`, certified by a key that is valid at `at_ms`."""
        encoded, signature = found.get(metadata.GATE_KEY, b""), found.get(metadata.GATE_KEY_SIGNATURE, b"")
        known = self._known.get((encoded, signature))
        if known is None:
            try:
                certifier = decode_signature(signature).key_id
            except CodecError as error:
                raise ResponseRefused(self._reason, "gate key") from error
            gate_key = verify_gate_key(
                encoded, signature, key=trust.key(certifier), at_ms=at_ms, reason=self._reason, cache=self._cache
            )
            if len(self._known) >= self.MAX:
                self._known.clear()
            self._known[encoded, signature] = (certifier, gate_key)
        else:
            certifier, gate_key = known
        now = trust.key(certifier)
        if now is None or now.owner != gate_key.broker or not now.not_before_ms <= at_ms <= now.not_after_ms:
            raise ResponseRefused(self._reason, "gate key")
        return gate_key


def verify_admission(
    encoded: bytes,
    signature: bytes,
    gate_key: VerifiedGateKey,
    *,
    broker: str,
    request_digest: bytes,
    request_signature_digest: bytes,
    cache: SignatureCache | None,
) -> Admission:
    """The admission of exactly this request and signature by `broker`, signed inside the gate key's validity."""
    try:
        admission = decode_admission(encoded)
    except CodecError as error:
        raise ResponseRefused(Reason.ADMISSION_INVALID, "admission encoding") from error
    if not admission.broker == gate_key.broker == broker:
        raise ResponseRefused(Reason.ADMISSION_INVALID, "admission broker")
    if (admission.request_digest, admission.request_signature_digest) != (request_digest, request_signature_digest):
        raise ResponseRefused(Reason.ADMISSION_INVALID, "admission of another request")
    _verify_by_gate(ADMISSION_TYPE, encoded, signature, gate_key, admission.intent_time_ms, cache, _ADMISSION)
    return admission


def parse_receipt(encoded: bytes) -> Receipt:
    """The unverified receipt; ResponseRefused when it is not canonical."""
    try:
        return decode_receipt(encoded)
    except CodecError as error:
        raise ResponseRefused(Reason.RECEIPT_INVALID, "receipt encoding") from error


def verify_receipt(
    encoded: bytes,
    signature: bytes,
    gate_key: VerifiedGateKey,
    *,
    broker: str,
    request_digest: bytes,
    response: VerifiedResponse,
    answer: Answer,
    sent_ms: int,
    now_ms: int,
    cache: SignatureCache | None,
) -> Receipt:
    """The receipt for exactly this request and answer, all of which was released to whoever verifies, just now."""
    receipt = parse_receipt(encoded)
    if not receipt.broker == gate_key.broker == broker:
        raise ResponseRefused(Reason.RECEIPT_INVALID, "receipt broker")
    if receipt.request_digest != request_digest:
        raise ResponseRefused(Reason.RECEIPT_INVALID, "receipt of another request")
    if receipt.outcome != OUTCOME_DONE or receipt.reason != 0:
        raise ResponseRefused(Reason.RECEIPT_INVALID, "receipt outcome")
    named = (receipt.response_digest, receipt.response_signature_digest)
    if named != (response.digest, sha256(response.signature_bytes).digest()):
        raise ResponseRefused(Reason.RECEIPT_INVALID, "receipt of another answer")
    released = (receipt.messages_released, receipt.bytes_released, receipt.released_commitment)
    if released != (answer.message_count, answer.size, released_commitment(receipt.entry_salt, answer)):
        raise ResponseRefused(Reason.RECEIPT_INVALID, "receipt of other messages")
    _verify_times(receipt, sent_ms, now_ms)
    _verify_by_gate(RECEIPT_TYPE, encoded, signature, gate_key, receipt.outcome_time_ms, cache, _RECEIPT)
    return receipt


def verify_failure_receipt(
    encoded: bytes,
    signature: bytes,
    gate_key: VerifiedGateKey,
    *,
    broker: str,
    request_digest: bytes,
    reason: int | None,
    sent_ms: int,
    now_ms: int,
    cache: SignatureCache | None,
) -> Receipt:
    """The receipt that this request just failed, for `reason` (its number; None when the refusal could not be read)."""
    receipt = parse_receipt(encoded)
    if not receipt.broker == gate_key.broker == broker:
        raise ResponseRefused(Reason.RECEIPT_INVALID, "receipt broker")
    if receipt.request_digest != request_digest:
        raise ResponseRefused(Reason.RECEIPT_INVALID, "receipt of another request")
    if receipt.outcome != OUTCOME_FAILED or (reason is not None and receipt.reason != reason):
        raise ResponseRefused(Reason.RECEIPT_INVALID, "receipt outcome")
    _verify_times(receipt, sent_ms, now_ms)
    _verify_by_gate(RECEIPT_TYPE, encoded, signature, gate_key, receipt.outcome_time_ms, cache, _RECEIPT)
    return receipt


def _verify_times(receipt: Receipt, sent_ms: int, now_ms: int) -> None:
    """A court judges keys at the times stated here: a receipt dated elsewhere would prove nothing there."""
    if not sent_ms - CLOCKS_MS <= receipt.intent_time_ms <= receipt.outcome_time_ms <= now_ms + CLOCKS_MS:
        raise ResponseRefused(Reason.RECEIPT_INVALID, "receipt times")


def released_commitment(entry_salt: bytes, answer: Answer) -> bytes:
    """What a receipt says of the frames released; empty when there were none."""
    return body_commitment(entry_salt, answer.frames_digest) if answer.message_count else b""


_ADMISSION = Reason.ADMISSION_INVALID
_RECEIPT = Reason.RECEIPT_INVALID


def _verify_by_gate(
    type_: str,
    encoded: bytes,
    signature: bytes,
    gate_key: VerifiedGateKey,
    at_ms: int,
    cache: SignatureCache | None,
    reason: Reason,
) -> None:
    if not gate_key.not_before_ms <= at_ms <= gate_key.not_after_ms:
        raise ResponseRefused(reason, "gate key validity")
    try:
        signed = decode_signature(signature)
        if signed.key_id != gate_key.public_key.key_id:
            raise ResponseRefused(reason, "signature by another gate key")
        verify_by_point(type_, encoded, signed, gate_key.public_key, cache)
    except (CodecError, SignatureRefused) as error:
        raise ResponseRefused(reason, "gate signature") from error
