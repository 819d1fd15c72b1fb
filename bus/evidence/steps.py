"""The steps of `bus.evidence.verify`, numbered there, one method each, in order; what one establishes the next uses.

A step returns a line about what it found, None where the bundle holds nothing for it, or raises StepFailed in its own
words. Every text may be read by anybody: it names no person and quotes no body.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Final, NoReturn, TypeVar

from bus.edge.snapshot_files import peek_header
from bus.evidence.bundle import Bundle, BundleError, parse_bundle
from bus.evidence.entries import INTENT, OUTCOME, ledger_entry
from bus.exchange.reasons import Reason
from bus.exchange.refusal import ResponseRefused
from bus.exchange.trust import SnapshotView
from bus.exchange.verify_admission import VerifiedGateKey, verify_gate_key
from bus.exchange.verify_batch import SignatureFailure, SignatureRefused, verify_by_owner, verify_by_point
from native.codec import (
    CodecError,
    decode_admission,
    decode_receipt,
    decode_request_header,
    decode_response_header,
    decode_signature,
)
from native.digest import (
    ADMISSION_TYPE,
    RECEIPT_TYPE,
    REQUEST_TYPE,
    RESPONSE_TYPE,
    FrameError,
    FrameHasher,
    body_commitment,
    header_digest,
)
from native.headers import Admission, Receipt, RequestHeader, ResponseHeader
from native.snapshot import BROKER_SCOPE, SnapshotError, verify_snapshot

__all__ = ["OUTCOMES", "Case", "StepFailed", "StepMissing"]

OUTCOMES: Final = {1: "DONE", 2: "FAILED", 3: "CANCELLED", 4: "UNKNOWN"}
DONE: Final = 1
CLOCKS_MS: Final = 30_000
BODY_MS: Final = 30_000

_Header = TypeVar("_Header")


class StepFailed(Exception):
    """A step's own words for what is wrong."""


class StepMissing(StepFailed):
    """Nothing is wrong, but what was asked for is not in the bundle. The steps after it can still be taken."""


class Case:
    """What the steps so far have established. A step returns what it found, None where the bundle holds nothing."""

    bundle: Bundle
    trust: SnapshotView
    judged_by: int
    request: RequestHeader
    gate_key: VerifiedGateKey
    outcome_gate_key: VerifiedGateKey
    admission: Admission | None = None
    receipt: Receipt | None = None
    response: ResponseHeader | None = None

    def __init__(self, pinned: bytes | None) -> None:
        self._pinned = pinned

    @property
    def intent_time_ms(self) -> int:
        """As the admission says, else the receipt; both are checked to agree (9)."""
        stated = self.admission or self.receipt
        return stated.intent_time_ms if stated else 0

    def file(self, data: bytes) -> str:
        try:
            self.bundle = parse_bundle(data)
        except BundleError as error:
            raise StepFailed(str(error)) from error
        return f"{len(data)} bytes, version 1"

    def policy_snapshot(self) -> str:
        bundle = self.bundle
        if self._pinned is not None and self._pinned != bundle.policy_key:
            raise StepFailed("the bundle rests on another policy key than the pinned one")
        try:
            header = peek_header(bundle.snapshot)
            # Age is no question here: what counts is who owned which key when.
            now_ms = header.created_at_ms
            verified = verify_snapshot(bundle.snapshot, bundle.policy_key, header.trust_domain, header.scope, now_ms)
        except (CodecError, SnapshotError, ValueError) as error:
            raise StepFailed(f"the policy snapshot is not the policy key's: {error}") from error
        self.trust = SnapshotView(verified)
        self.admission = self._decoded(decode_admission, bundle.admission, "admission")
        self.receipt = self._decoded(decode_receipt, bundle.receipt, "receipt")
        self.judged_by = max(one.snapshot_version for one in (self.admission, self.receipt) if one is not None)
        if header.version < self.judged_by:
            raise StepFailed(f"version {header.version} is older than version {self.judged_by}, which judged the call")
        later = f", later than version {self.judged_by}, which judged the call" * (header.version > self.judged_by)
        return f"version {header.version} of {header.trust_domain}{later}"

    def request_header(self) -> str:
        found = self._decoded(decode_request_header, self.bundle.request_header, "request header")
        if found is None:
            raise StepFailed("there is none")
        self.request = found
        return f"{found.method}, purpose {found.purpose}, case {found.case_id}"

    def client_key(self) -> str:
        key_id = self._owned_key(self.bundle.request_signature, self.request.client, self.intent_time_ms)
        return f"{key_id.hex()[:16]} of {self.request.client}"

    def client_signature(self) -> str:
        bundle = self.bundle
        self._by_owner(
            REQUEST_TYPE, bundle.request_header, bundle.request_signature, self.request.client, self.intent_time_ms
        )
        return "holds"

    def certified_gate_key(self) -> str:
        bundle, broker = self.bundle, self.request.broker
        self.gate_key = self.outcome_gate_key = self._gate_key(
            bundle.gate_key, bundle.gate_key_signature, self.intent_time_ms
        )
        if bundle.outcome_gate_key:
            self.outcome_gate_key = self._gate_key(
                bundle.outcome_gate_key, bundle.outcome_gate_key_signature, self._answered_ms
            )
        return f"{self.gate_key.public_key.key_id.hex()[:16]} of {broker}"

    def admission_binding(self) -> str | None:
        admission, bundle = self.admission, self.bundle
        if admission is None:
            return None
        if admission.broker != self.request.broker:
            raise StepFailed("it is of another broker than the request was for")
        if admission.request_digest != header_digest(REQUEST_TYPE, bundle.request_header):
            raise StepFailed("it admits another request")
        if admission.request_signature_digest != sha256(bundle.request_signature).digest():
            raise StepFailed("it admits another signature")
        self._verify_times(admission.intent_time_ms, admission.intent_time_ms)
        return f"sequence {admission.sequence} at {admission.intent_time_ms} ms"

    def admission_signature(self) -> str | None:
        if self.admission is None:
            return None
        return self._by_gate(ADMISSION_TYPE, self.bundle.admission, self.bundle.admission_signature, self.gate_key)

    def receipt_binding(self) -> str | None:
        receipt, bundle = self.receipt, self.bundle
        if receipt is None:
            return None
        if receipt.broker != self.request.broker:
            raise StepFailed("it is of another broker than the request was for")
        if receipt.request_digest != header_digest(REQUEST_TYPE, bundle.request_header):
            raise StepFailed("it is for another request")
        if self.admission is not None:
            self._agree(receipt, self.admission)
        self._verify_times(receipt.intent_time_ms, receipt.outcome_time_ms)
        answered = receipt.outcome == DONE
        if answered != bool(bundle.response_header):
            raise StepFailed("it says DONE without an answer in the bundle, or there is an answer to a call not done")
        if answered:
            named = (receipt.response_digest, receipt.response_signature_digest)
            digest = header_digest(RESPONSE_TYPE, bundle.response_header)
            if named != (digest, sha256(bundle.response_signature).digest()):
                raise StepFailed("it is for another answer")
        return f"{OUTCOMES.get(receipt.outcome, 'unspecified')} at {receipt.outcome_time_ms} ms"

    def receipt_signature(self) -> str | None:
        if self.receipt is None:
            return None
        return self._by_gate(RECEIPT_TYPE, self.bundle.receipt, self.bundle.receipt_signature, self.outcome_gate_key)

    def response_header(self) -> str | None:
        self.response = response = self._decoded(decode_response_header, self.bundle.response_header, "response header")
        if response is None:
            return None
        if response.request_digest != header_digest(REQUEST_TYPE, self.bundle.request_header):
            raise StepFailed("it answers another request")
        if response.provider != self.request.provider:
            raise StepFailed("it is of another provider than the request names")
        return f"gRPC status {response.grpc_status}, {response.message_count} message(s)"

    def provider_key(self) -> str | None:
        if self.response is None:
            return None
        key_id = self._owned_key(self.bundle.response_signature, self.request.provider, self._answered_ms)
        return f"{key_id.hex()[:16]} of {self.request.provider}"

    def provider_signature(self) -> str | None:
        if self.response is None:
            return None
        bundle = self.bundle
        self._by_owner(
            RESPONSE_TYPE, bundle.response_header, bundle.response_signature, self.request.provider, self._answered_ms
        )
        return "holds"

    def request_body(self) -> str | None:
        bundle = self.bundle
        if not bundle.request_salt:
            return None
        digest, messages = _frames(bundle.request_frames)
        if body_commitment(bundle.request_salt, digest) != self.request.body_commitment:
            raise StepFailed("these are not the frames that the client committed to")
        return f"{messages} message(s), {len(bundle.request_frames)} bytes"

    def response_body(self) -> str | None:
        bundle, response, receipt = self.bundle, self.response, self.receipt
        if not bundle.response_salt:
            return None
        if response is None:
            raise StepFailed("a body without the header that commits to it")
        digest, messages = _frames(bundle.response_frames)
        if body_commitment(bundle.response_salt, digest) != response.body_commitment:
            raise StepFailed("these are not the frames that the provider committed to")
        if messages != response.message_count:
            raise StepFailed("the provider signed another number of messages")
        texts = ((bundle.grpc_message, response.grpc_message_digest), (bundle.status_details, response.details_digest))
        for value, signed in texts:
            if (sha256(value).digest() if value else b"") != signed:
                raise StepFailed("the status text or details are not those that the provider signed")
        if receipt is not None:
            released = body_commitment(receipt.entry_salt, digest) if messages else b""
            if (receipt.messages_released, receipt.bytes_released) != (messages, len(bundle.response_frames)):
                raise StepFailed("the receipt says that more or less was released")
            if receipt.released_commitment != released:
                raise StepFailed("the receipt says that other frames were released")
        return f"{messages} message(s), {len(bundle.response_frames)} bytes"

    def ledger_entries(self) -> str:
        bundle = self.bundle
        parts = ((INTENT, bundle.admission, bundle.intent_entry), (OUTCOME, bundle.receipt, bundle.outcome_entry))
        held = [(kind, record, entry) for kind, record, entry in parts if record]
        for kind, record, entry in held:
            if ledger_entry(kind, record) != entry:
                raise StepFailed(f"the {'intent' if kind == INTENT else 'outcome'} hashes to another entry")
        return ", ".join(entry.hex()[:16] for _, _, entry in held)

    def grant(self) -> str | None:
        """Absent unless the snapshot is the judging one, and the part of somebody to whom all such grants are told."""
        request, header = self.request, self.trust.header
        if header.version != self.judged_by or header.scope not in (BROKER_SCOPE, request.client, request.provider):
            return None
        asked = (request.grant_id, request.client, request.provider, request.method, request.purpose)
        # A gate asks before it waits for the body, for which a client has 30 s; the intent is dated after that.
        for at_ms in (self.intent_time_ms, self.intent_time_ms - BODY_MS):
            if self.trust.permitting_grant(*asked, at_ms):
                return f"{request.grant_id} permits it by version {header.version}"
        raise StepFailed(f"{request.grant_id} did not permit this call by version {header.version}, which judged it")

    @property
    def _answered_ms(self) -> int:
        return self.receipt.outcome_time_ms if self.receipt else self.intent_time_ms

    def _verify_times(self, intent_ms: int, outcome_ms: int) -> None:
        """No gate could have admitted this request at another time (protocol.md 4, check 4)."""
        request = self.request
        if not request.issued_at_ms - CLOCKS_MS <= intent_ms <= request.not_after_ms + CLOCKS_MS:
            raise StepFailed("the intent time lies outside the request's lifetime")
        if outcome_ms < intent_ms:
            raise StepFailed("the outcome is older than the intent")

    def _agree(self, receipt: Receipt, admission: Admission) -> None:
        stated = (receipt.intent_sequence, receipt.intent_time_ms, receipt.snapshot_version)
        if stated != (admission.sequence, admission.intent_time_ms, admission.snapshot_version):
            raise StepFailed("it tells of another intent than the admission")

    def _decoded(self, decode: Callable[[bytes], _Header], data: bytes, name: str) -> _Header | None:
        try:
            return decode(data) if data else None
        except CodecError as error:
            raise StepFailed(f"the {name} is not canonical: {error}") from error

    def _owned_key(self, signature: bytes, owner: str, at_ms: int) -> bytes:
        """The id of the key that signed, if it is `owner`'s and was valid at `at_ms`."""
        try:
            key_id = decode_signature(signature).key_id
        except CodecError as error:
            raise StepFailed(f"the signature is not canonical: {error}") from error
        key = self.trust.key(key_id)
        if key is None:
            raise StepFailed("the policy knows no such key")
        if key.owner != owner:
            raise StepFailed("the key belongs to another subsystem")
        if not key.not_before_ms <= at_ms <= key.not_after_ms:
            raise StepFailed("the key was not valid at that time")
        return key_id

    def _by_owner(self, type_: str, header: bytes, signature: bytes, owner: str, at_ms: int) -> None:
        decoded = decode_signature(signature)
        try:
            key = self.trust.key(decoded.key_id)
            verify_by_owner(type_, header, decoded, key=key, owner=owner, at_ms=at_ms, cache=None)
        except SignatureRefused as error:
            _refuse(error)

    def _gate_key(self, encoded: bytes, signature: bytes, at_ms: int) -> VerifiedGateKey:
        """A gate key of the header's broker, certified by its registered key, both valid at `at_ms`."""
        key = self.trust.key(self._owned_key(signature, self.request.broker, at_ms))
        try:
            found = verify_gate_key(encoded, signature, key=key, at_ms=at_ms, reason=Reason.RECEIPT_INVALID, cache=None)
        except ResponseRefused as error:
            raise StepFailed("the broker's signing key did not certify this gate key") from error
        if found.broker != self.request.broker or not found.not_before_ms <= at_ms <= found.not_after_ms:
            raise StepFailed("the gate key is of another broker, or was not valid at that time")
        return found

    def _by_gate(self, type_: str, record: bytes, signature: bytes, gate_key: VerifiedGateKey) -> str:
        try:
            decoded = decode_signature(signature)
        except CodecError as error:
            raise StepFailed(f"the signature is not canonical: {error}") from error
        if decoded.key_id != gate_key.public_key.key_id:
            raise StepFailed("signed by another key than the gate key")
        try:
            verify_by_point(type_, record, decoded, gate_key.public_key, None)
        except SignatureRefused as error:
            _refuse(error)
        return f"holds, {decoded.index + 1} of {decoded.size} in its batch"


def _refuse(error: SignatureRefused) -> NoReturn:
    path = error.failure is SignatureFailure.PATH
    raise StepFailed("the batch path does not fit" if path else "the signature does not verify") from error


def _frames(data: bytes) -> tuple[bytes, int]:
    """Digest and number of whole gRPC messages."""
    hasher = FrameHasher()
    try:
        hasher.update(data)
        return hasher.finish(), hasher.messages
    except FrameError as error:
        raise StepFailed(f"not whole gRPC messages: {error}") from error
