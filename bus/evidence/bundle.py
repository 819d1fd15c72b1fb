"""The evidence bundle as a value, and its one file form (protos/govbus/evidence/v1/bundle.proto).

Parsing refuses every file that it would not write itself: no unknown field, no second spelling, so that no byte of a
file is outside what verification covers. It judges form only; trust is `bus.evidence.verify`'s.
"""

from dataclasses import dataclass, fields
from typing import Final

from google.protobuf.message import DecodeError
from govbus.evidence.v1 import bundle_pb2

from bus.ledger.proof import MAX_PROOF_BYTES

__all__ = ["MAX_BYTES", "Bundle", "BundleError", "encode_bundle", "parse_bundle"]

VERSION: Final = 1
MAX_BYTES: Final = 256 << 20
_SALT: Final = 32
_LIMITS: Final = {
    "policy_key": 65,
    "request_header": 2048,
    "request_signature": 512,
    "admission": 512,
    "admission_signature": 512,
    "response_header": 2048,
    "response_signature": 512,
    "receipt": 768,
    "receipt_signature": 512,
    "gate_key": 512,
    "gate_key_signature": 512,
    "outcome_gate_key": 512,
    "outcome_gate_key_signature": 512,
    "intent_entry": 32,
    "outcome_entry": 32,
    "ledger_key": 512,
    "intent_proof": MAX_PROOF_BYTES,
    "outcome_proof": MAX_PROOF_BYTES,
}
_TOGETHER: Final = (
    ("admission", "admission_signature", "intent_entry"),
    ("receipt", "receipt_signature", "outcome_entry"),
    ("response_header", "response_signature"),
    ("outcome_gate_key", "outcome_gate_key_signature"),
)
_REQUIRED: Final = ("policy_key", "snapshot", "request_header", "request_signature", "gate_key", "gate_key_signature")


class BundleError(ValueError):
    """The file is not a bundle; the text says in what."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Bundle:
    """One call; every field as in the contract."""

    policy_key: bytes
    snapshot: bytes
    request_header: bytes
    request_signature: bytes
    admission: bytes = b""
    admission_signature: bytes = b""
    response_header: bytes = b""
    response_signature: bytes = b""
    receipt: bytes = b""
    receipt_signature: bytes = b""
    gate_key: bytes
    gate_key_signature: bytes
    intent_entry: bytes = b""
    outcome_entry: bytes = b""
    request_salt: bytes = b""
    request_frames: bytes = b""
    response_salt: bytes = b""
    response_frames: bytes = b""
    grpc_message: bytes = b""
    status_details: bytes = b""
    outcome_gate_key: bytes = b""
    outcome_gate_key_signature: bytes = b""
    ledger_key: bytes = b""
    intent_proof: bytes = b""
    outcome_proof: bytes = b""

    def __repr__(self) -> str:  # bodies and salts never reach a log
        return f"Bundle({len(self.request_header)} bytes of request header)"


_FIELDS: Final = tuple(field.name for field in fields(Bundle))


def encode_bundle(bundle: Bundle) -> bytes:
    """The file; BundleError when parts are missing or too long."""
    _verify_parts(bundle)
    message = bundle_pb2.Bundle(version=VERSION)
    for name in _FIELDS:
        setattr(message, name, getattr(bundle, name))
    return message.SerializeToString(deterministic=True)


def parse_bundle(data: bytes) -> Bundle:
    """Read a file; BundleError unless it is exactly what encode_bundle writes."""
    if not data:
        raise BundleError("empty; ask for the file again")
    if len(data) > MAX_BYTES:
        raise BundleError("longer than any evidence bundle")
    try:
        message = bundle_pb2.Bundle.FromString(data)
    except DecodeError as error:
        raise BundleError("not an evidence bundle, or cut short; ask for the file again") from error
    if message.version != VERSION:
        raise BundleError("another version of the format; verify it with the release that wrote it")
    bundle = Bundle(**{name: getattr(message, name) for name in _FIELDS})
    if encode_bundle(bundle) != data:
        raise BundleError("not in its one canonical form; the file was changed after it was written")
    return bundle


def _verify_parts(bundle: Bundle) -> None:
    for name in _REQUIRED:
        if not getattr(bundle, name):
            raise BundleError(f"{name} is missing")
    for name, limit in _LIMITS.items():
        if len(getattr(bundle, name)) > limit:
            raise BundleError(f"{name} is longer than {limit} bytes")
    for names in _TOGETHER:
        if len({bool(getattr(bundle, name)) for name in names}) > 1:
            raise BundleError(f"{' and '.join(names)} come together or not at all")
    if bundle.outcome_gate_key and not (bundle.admission and bundle.receipt):
        raise BundleError("a second gate key is for a receipt beside an admission")
    _verify_ledger_parts(bundle)
    if not bundle.admission and not bundle.receipt:
        raise BundleError("neither admission nor receipt: nothing says when the call was made")
    for salt, parts in (
        (bundle.request_salt, bundle.request_frames),
        (bundle.response_salt, bundle.response_frames + bundle.grpc_message + bundle.status_details),
    ):
        if len(salt) not in (0, _SALT) or (parts and not salt):
            raise BundleError("a body comes with its 32-byte salt")


def _verify_ledger_parts(bundle: Bundle) -> None:
    if bool(bundle.ledger_key) != bool(bundle.intent_proof or bundle.outcome_proof):
        raise BundleError("the ledger's key and its proofs come together or not at all")
    if (bundle.intent_proof and not bundle.intent_entry) or (bundle.outcome_proof and not bundle.outcome_entry):
        raise BundleError("a proof of the ledger comes with the entry that it proves")
