"""Is this bundle true? Offline, in numbered steps, the first that fails is named. Pure: bytes and a pinned key in.

 1. file                 one canonical bundle with everything it must have
 2. policy snapshot      signed by the pinned policy key, no older than the call
 3. request header       canonical
 4. client key           registered to the header's client, valid at the intent time
 5. client signature     over the request header
 6. gate key             of the header's broker, certified by its registered key, valid at the intent time (and a second
                         one at the outcome time, when the broker was started again in between)
 7. admission            names this request, this signature and this broker, within the request's lifetime
 8. admission signature  by the gate key
 9. receipt              names this request, this admission and this answer, in the order of their times
10. receipt signature    by the gate key
11. response header      canonical, names this request and the header's provider
12. provider key         registered to the provider, valid at the outcome time
13. provider signature   over the response header
14. request body         the frames are those the client committed to
15. response body        the frames are those the provider committed to, and the receipt says were released
16. ledger entries       hash to what the bundle says

What a bundle does not hold is reported as absent, not as failed: a holder may keep bodies to himself, and an
unanswered call has no response. KNOWN: the intent time is the broker's word until checkpoints of the ledger, cosigned
or time-stamped, stand around it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bus.evidence.steps import OUTCOMES, Case, StepFailed
from native.headers import RequestHeader, ResponseHeader

__all__ = ["STEPS", "EvidenceInvalid", "StepResult", "VerifiedEvidence", "verify_bundle"]

STEPS: Final = (
    "file",
    "policy snapshot",
    "request header",
    "client key",
    "client signature",
    "gate key",
    "admission",
    "admission signature",
    "receipt",
    "receipt signature",
    "response header",
    "provider key",
    "provider signature",
    "request body",
    "response body",
    "ledger entries",
)


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step that did not fail. `present` is False when the bundle holds nothing for it."""

    number: int
    name: str
    present: bool
    text: str


@dataclass(frozen=True, slots=True)
class VerifiedEvidence:
    """A bundle all of whose parts hold."""

    steps: tuple[StepResult, ...]
    request: RequestHeader
    intent_time_ms: int
    outcome_time_ms: int | None
    outcome: str | None
    response: ResponseHeader | None
    policy_key: bytes
    pinned: bool
    """False: the policy key was taken from the bundle itself, so the anchor is only as good as the file's origin."""


class EvidenceInvalid(Exception):
    """The first step that fails; `passed` are those before it."""

    def __init__(self, step: int, text: str, passed: tuple[StepResult, ...]) -> None:
        super().__init__(f"step {step} ({STEPS[step - 1]}): {text}")
        self.step = step
        self.name = STEPS[step - 1]
        self.text = text
        self.passed = passed


def verify_bundle(data: bytes, policy_key: bytes | None) -> VerifiedEvidence:
    """Take every step. `policy_key`: the pinned 65-byte point; None takes the bundle's own. Raises EvidenceInvalid."""
    case = Case(policy_key)
    steps: tuple[Callable[[], str | None], ...] = (
        lambda: case.file(data),
        case.policy_snapshot,
        case.request_header,
        case.client_key,
        case.client_signature,
        case.certified_gate_key,
        case.admission_binding,
        case.admission_signature,
        case.receipt_binding,
        case.receipt_signature,
        case.response_header,
        case.provider_key,
        case.provider_signature,
        case.request_body,
        case.response_body,
        case.ledger_entries,
    )
    passed: list[StepResult] = []
    for number, (name, step) in enumerate(zip(STEPS, steps, strict=True), start=1):
        try:
            text = step()
        except StepFailed as error:
            raise EvidenceInvalid(number, str(error), tuple(passed)) from error
        passed.append(StepResult(number, name, text is not None, text or "not in this bundle"))
    receipt = case.receipt
    return VerifiedEvidence(
        steps=tuple(passed),
        request=case.request,
        intent_time_ms=case.intent_time_ms,
        outcome_time_ms=receipt.outcome_time_ms if receipt else None,
        outcome=OUTCOMES.get(receipt.outcome) if receipt else None,
        response=case.response,
        policy_key=case.bundle.policy_key,
        pinned=policy_key is not None,
    )
