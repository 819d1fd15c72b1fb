"""One call with everything that proves it: real keys, the real journal writer, no network.

Client, provider and broker each do their part with their own key from a small nation's directories; the journal gives
admission and receipt as the gate would.
"""

import os
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Literal

from bus.edge.instance import Instance
from bus.evidence.bundle import Bundle
from bus.evidence.entries import INTENT, OUTCOME, ledger_entry
from native._fast import JournalWriter
from native.batch import sign_batch
from native.codec import encode_request_header, encode_response_header
from native.digest import REQUEST_TYPE, RESPONSE_TYPE, FrameHasher, body_commitment, frame, header_digest
from native.headers import RequestHeader, ResponseHeader
from pki.gatekey import CertifiedGateKey, make_gate_key
from pki.signer import FileSigner, Signer
from tests.support.nation import BROKER, CALLER, METHOD, PROVIDER, PURPOSE

__all__ = ["RecordedCall", "bundle_of", "digest_of", "record_call", "signer_of"]


@dataclass
class RecordedCall:
    """What each party holds afterwards."""

    instance: Instance
    journal: Path
    header: RequestHeader
    gate_key: CertifiedGateKey
    request: bytes
    request_signature: bytes
    request_salt: bytes
    request_frames: bytes
    admission: bytes
    admission_signature: bytes
    response: bytes
    response_signature: bytes
    response_salt: bytes
    response_frames: bytes
    receipt: bytes
    receipt_signature: bytes


def signer_of(instance: Instance, path: str) -> FileSigner:
    """The registered signing key of a subsystem or broker."""
    home = instance.broker_home(path) if path == BROKER else instance.home(path)
    return FileSigner.load(home / "signing-key.pem")


def digest_of(frames: bytes) -> tuple[bytes, int]:
    """Digest and number of the messages in `frames`."""
    hasher = FrameHasher()
    hasher.update(frames)
    return hasher.finish(), hasher.messages


def sign(signer: Signer, type_: str, header: bytes, *, among: int = 1) -> bytes:
    """A Signature over `header`, the last of a batch of `among`."""
    others = [(type_, os.urandom(8)) for _ in range(among - 1)]
    return sign_batch(signer, [*others, (type_, header)])[-1]


def record_call(
    instance: Instance, *, among: int = 5, ends: Literal["answered", "failed", "killed"] = "answered"
) -> RecordedCall:
    """Make one call happen on paper: signed, admitted, answered (or not), receipted, journaled.

    `killed`: the broker is gone before the outcome; whoever opens the journal next writes that nobody knows.
    """
    now_ms = time.time_ns() // 1_000_000
    salts = os.urandom(32), os.urandom(32)
    request_frames = frame(b"who lives here?")
    response_frames = frame(b"nobody") + frame(b"anymore")
    header = RequestHeader(
        request_id=os.urandom(16),
        client=instance.subsystem_id(CALLER).spiffe_id,
        provider=instance.subsystem_id(PROVIDER).spiffe_id,
        broker=instance.subsystem_id(BROKER).spiffe_id,
        method=METHOD,
        body_commitment=body_commitment(salts[0], digest_of(request_frames)[0]),
        issued_at_ms=now_ms,
        not_after_ms=now_ms + 10_000,
        purpose=PURPOSE,
        case_id="case-a1",
        grant_id="grant-1",
    )
    request = encode_request_header(header)
    request_signature = sign(signer_of(instance, CALLER), REQUEST_TYPE, request, among=among)
    gate_key = make_gate_key(instance.subsystem_id(BROKER), signer_of(instance, BROKER), now=datetime.now(UTC))
    journal = instance.broker_home(BROKER) / "journal"
    journal.mkdir(mode=0o700, exist_ok=True)
    writer = JournalWriter(str(journal), header.broker, gate_key.private_key_der, gate_key.gate_key, gate_key.signature)
    try:
        intent = writer.submit_intent(request, request_signature).wait()
        response, response_signature, outcome = b"", b"", (0, 0, b"", b"")
        if ends == "answered":
            digest, messages = digest_of(response_frames)
            response = encode_response_header(
                ResponseHeader(
                    request_digest=header_digest(REQUEST_TYPE, request),
                    provider=header.provider,
                    body_commitment=body_commitment(salts[1], digest),
                    message_count=messages,
                    grpc_message_digest=sha256(b"fine").digest(),
                    time_ms=now_ms,
                )
            )
            response_signature = sign(signer_of(instance, PROVIDER), RESPONSE_TYPE, response, among=among)
            pending = writer.submit_outcome(
                request,
                intent[0],
                intent[1],
                response_header=response,
                signature=response_signature,
                messages=messages,
                released=digest,
                released_bytes=len(response_frames),
            )
            outcome = pending.wait()
        elif ends == "failed":
            outcome = writer.submit_outcome(request, intent[0], intent[1], outcome=2, reason=110).wait()
    finally:
        writer.close()
    return RecordedCall(
        instance=instance,
        journal=journal,
        header=header,
        gate_key=gate_key,
        request=request,
        request_signature=request_signature,
        request_salt=salts[0],
        request_frames=request_frames,
        admission=intent[2],
        admission_signature=intent[3],
        response=response,
        response_signature=response_signature,
        response_salt=salts[1] if response else b"",
        response_frames=response_frames if response else b"",
        receipt=outcome[2],
        receipt_signature=outcome[3],
    )


def bundle_of(call: RecordedCall) -> Bundle:
    """The whole bundle, bodies included, on the client's part of the policy."""
    return Bundle(
        policy_key=call.instance.policy_key_point,
        snapshot=(call.instance.home(CALLER) / "snapshot.bin").read_bytes(),
        request_header=call.request,
        request_signature=call.request_signature,
        admission=call.admission,
        admission_signature=call.admission_signature,
        response_header=call.response,
        response_signature=call.response_signature,
        receipt=call.receipt,
        receipt_signature=call.receipt_signature,
        gate_key=call.gate_key.gate_key,
        gate_key_signature=call.gate_key.signature,
        intent_entry=ledger_entry(INTENT, call.admission),
        outcome_entry=ledger_entry(OUTCOME, call.receipt),
        request_salt=call.request_salt,
        request_frames=call.request_frames,
        response_salt=call.response_salt,
        response_frames=call.response_frames,
        grpc_message=b"fine" if call.response else b"",
    )
