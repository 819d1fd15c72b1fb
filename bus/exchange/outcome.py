"""What came back, judged: the verified answer, or the error that says whose word it is (protocol.md 5).

An error with a verified response signature is the provider's (ProviderError); an answer that bears the provider's parts
but does not verify is nobody's (RESPONSE_UNVERIFIED, RECEIPT_INVALID); any other error is the bus's. A receipt in
a refusal is evidence only if it verifies; one that does not is dropped, and the refusal says so.
"""

from dataclasses import dataclass
from hashlib import sha256

import grpc

from bus.exchange import exceptions, metadata
from bus.exchange.errors import CallError, Failure, ProviderError, Refused, RefusedLocally, exception_for
from bus.exchange.evidence import CallEvidence
from bus.exchange.meanings import CODES, meaning, parse_refusal, reason_number
from bus.exchange.reasons import Reason
from bus.exchange.refusal import RequestRefused, ResponseRefused
from bus.exchange.verify_admission import GateKeys, verify_failure_receipt, verify_receipt
from bus.exchange.verify_response import Answer, verify_response
from bus.exchange.view import TrustView
from native.batch import SignatureCache

__all__ = ["Asked", "Judge", "refused_locally"]

# Importing the classes is what registers them under their reasons.
_REGISTERED = exceptions.__all__
_RECEIPT = frozenset({metadata.RECEIPT, metadata.RECEIPT_SIGNATURE, metadata.GATE_KEY, metadata.GATE_KEY_SIGNATURE})


@dataclass(frozen=True, slots=True)
class Asked:
    """The request that an answer must belong to, as it travelled."""

    request_id: bytes
    digest: bytes
    provider: str
    broker: str
    sent_ms: int
    header: bytes
    signature: bytes
    salt: bytes
    message: bytes


def refused_locally(
    reason: Reason,
    *,
    details: dict[str, str] | None = None,
    request_id: bytes = b"",
    evidence: CallEvidence | None = None,
) -> RefusedLocally:
    """This runtime's own refusal."""
    found = meaning(reason)
    failure = Failure(
        reason=reason,
        code=found.code,
        text=found.text,
        metadata=details or {},
        request_id=request_id,
        evidence=evidence,
    )
    error = exception_for(RefusedLocally, reason)(failure)
    assert isinstance(error, RefusedLocally)  # noqa: S101 - exception_for derives from it
    return error


def refused_before_sending(error: RequestRefused) -> RefusedLocally:
    """A request that this client's own checks refuse."""
    return refused_locally(error.reason, details=dict(error.metadata))


@dataclass(frozen=True, slots=True)
class Judge:
    """Verifies answers with what this client remembers of signatures and gate keys."""

    gate_keys: GateKeys
    cache: SignatureCache

    def verify_answer(
        self, asked: Asked, answer: Answer, found: dict[str, bytes], trust: TrustView, now_ms: int
    ) -> None:
        """ResponseRefused unless the answer, an error included, and its receipt are what they must be."""
        response = verify_response(
            found,
            answer,
            request_digest=asked.digest,
            provider=asked.provider,
            trust=trust,
            at_ms=now_ms,
            cache=self.cache,
        )
        verify_receipt(
            found.get(metadata.RECEIPT, b""),
            found.get(metadata.RECEIPT_SIGNATURE, b""),
            self.gate_keys.verify(found, trust, now_ms),
            broker=asked.broker,
            request_digest=asked.digest,
            response=response,
            answer=answer,
            sent_ms=asked.sent_ms,
            now_ms=now_ms,
            cache=self.cache,
        )

    def judge_error(
        self, asked: Asked, answer: Answer, found: dict[str, bytes], trust: TrustView, now_ms: int
    ) -> CallError:
        """The exception for a call that ended with another status than OK."""
        code = CODES.get(answer.grpc_status, grpc.StatusCode.UNKNOWN)
        refusal = parse_refusal(answer.status_details)
        if metadata.RESPONSE in found:
            try:
                self.verify_answer(asked, answer, found, trust, now_ms)
            except ResponseRefused as error:
                return unverified(error, asked, answer, found, trust.version)
            evidence = evidence_of(asked, answer, found, trust.version)
            reason, details = refusal or (None, {})
            text = meaning(reason).text if reason else answer.grpc_message.decode("ascii", "replace")
            failure = Failure(reason, code, text, details, answer.status_details, asked.request_id, evidence)
            return exception_for(ProviderError, reason)(failure)
        dropped = self._wrong_with_receipt(asked, found, refusal[0] if refusal else None, trust, now_ms)
        if dropped:
            found = {key: value for key, value in found.items() if key not in _RECEIPT}
        evidence = evidence_of(asked, answer, found, trust.version)
        if refusal is None:
            unreadable = code is not grpc.StatusCode.DEADLINE_EXCEEDED
            reason, details = (Reason.REFUSAL_UNREADABLE if unreadable else Reason.DEADLINE), {}
        else:
            reason, details = refusal
        declared = meaning(reason)
        failure = Failure(
            reason, declared.code, declared.text, details, answer.status_details, asked.request_id, evidence, dropped
        )
        return exception_for(Refused, reason)(failure)

    def _wrong_with_receipt(
        self, asked: Asked, found: dict[str, bytes], reason: Reason | None, trust: TrustView, now_ms: int
    ) -> str:
        """What is wrong with the receipt in a refusal; empty when it holds, or there is none, as before the intent."""
        if metadata.RECEIPT not in found:
            return ""
        try:
            verify_failure_receipt(
                found[metadata.RECEIPT],
                found.get(metadata.RECEIPT_SIGNATURE, b""),
                self.gate_keys.verify(found, trust, now_ms),
                broker=asked.broker,
                request_digest=asked.digest,
                reason=reason_number(reason) if reason else None,
                sent_ms=asked.sent_ms,
                now_ms=now_ms,
                cache=self.cache,
            )
        except ResponseRefused as error:
            return error.step
        return ""


def unverified(
    error: ResponseRefused, asked: Asked, answer: Answer, found: dict[str, bytes], snapshot_version: int
) -> RefusedLocally:
    """An answer that must not be used, with what arrived kept as the proof of it."""
    reason = error.reason if error.reason is Reason.RECEIPT_INVALID else Reason.RESPONSE_UNVERIFIED
    evidence = evidence_of(asked, answer, found, snapshot_version)
    refused = refused_locally(reason, details={"step": error.step}, request_id=asked.request_id, evidence=evidence)
    refused.__cause__ = error
    return refused


def evidence_of(
    asked: Asked,
    answer: Answer,
    found: dict[str, bytes],
    snapshot_version: int,
    messages: tuple[bytes, ...] = (),
) -> CallEvidence:
    """Everything that travelled; `messages` are the answer's, from whoever holds them."""
    return CallEvidence(
        request_header=asked.header,
        request_signature=asked.signature,
        request_salt=asked.salt,
        request_messages=(asked.message,),
        response_header=found.get(metadata.RESPONSE, b""),
        response_signature=found.get(metadata.RESPONSE_SIGNATURE, b""),
        response_salt=found.get(metadata.RESPONSE_SALT, b""),
        response_messages=messages,
        grpc_status=answer.grpc_status,
        grpc_message=answer.grpc_message,
        status_details=answer.status_details,
        receipt=found.get(metadata.RECEIPT, b""),
        receipt_signature=found.get(metadata.RECEIPT_SIGNATURE, b""),
        gate_key=found.get(metadata.GATE_KEY, b""),
        gate_key_signature=found.get(metadata.GATE_KEY_SIGNATURE, b""),
        snapshot_version=snapshot_version,
    )


def digest_of_signature(signature: bytes) -> bytes:
    """As admissions and receipts name a signature."""
    return sha256(signature).digest()
