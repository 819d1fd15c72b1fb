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
17. ledger checkpoint    signed by the ledger's pinned key
18. intent in ledger     the intent's entry stands in the checkpoint's tree
19. outcome in ledger    and the outcome's
20. grant                the bundled snapshot permits client, provider, method and purpose, if it is the judging one

A later snapshot than the one that judged the call proves keys as it lists them: step 2 says so, and step 20 is absent,
since grants come and go. The judging one is wanted in court; a broker keeps its last ones in envoy/snapshots.
What a bundle does not hold is reported as absent, not as failed: a holder may keep bodies to himself, and an
unanswered call has no response. Who pins the ledger's key asks for its proof: a bundle without it is incomplete,
neither true nor contradicted, which is told when every other step was taken. KNOWN: the intent time is the broker's
word until checkpoints of the ledger, cosigned or time-stamped, stand around it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from bus.evidence.ledger_steps import LedgerCase
from bus.evidence.steps import OUTCOMES, Case, StepFailed, StepMissing
from bus.ledger.note import NoteVerifier
from native.headers import RequestHeader, ResponseHeader

__all__ = [
    "LEDGER_STEPS",
    "STEPS",
    "EvidenceIncomplete",
    "EvidenceInvalid",
    "StepResult",
    "VerifiedEvidence",
    "verify_bundle",
]

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
    "ledger checkpoint",
    "intent in ledger",
    "outcome in ledger",
    "grant",
)
LEDGER_STEPS: Final = STEPS[16:19]
"""Absent when the bundle was exported without a ledger."""


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
    snapshot_version: int
    judged_by: int
    """The version that judged the call. With a later one bundled, neither permission nor the keys of then are shown."""
    pinned: bool
    """False: the policy key was taken from the bundle itself, so the anchor is only as good as the file's origin."""
    ledger: NoteVerifier | None
    """Whose checkpoint it is; None when the bundle holds no proof of a ledger."""
    ledger_pinned: bool
    """As `pinned`, for the ledger's key."""


class EvidenceInvalid(Exception):
    """The first step that fails; `passed` are those before it."""

    def __init__(self, step: int, text: str, passed: tuple[StepResult, ...]) -> None:
        super().__init__(f"step {step} ({STEPS[step - 1]}): {text}")
        self.step = step
        self.name = STEPS[step - 1]
        self.text = text
        self.passed = passed


class EvidenceIncomplete(EvidenceInvalid):
    """Everything that is in it holds, and the proof that was asked for is not: for that it must not count as true."""

    def __init__(self, found: VerifiedEvidence, missing: tuple[StepResult, ...]) -> None:
        super().__init__(missing[0].number, missing[0].text, found.steps)
        self.found = found
        self.missing = missing


def verify_bundle(data: bytes, policy_key: bytes | None, *, ledger_key: NoteVerifier | None = None) -> VerifiedEvidence:
    """Take every step. `policy_key`: the pinned 65-byte point, `ledger_key`: the ledger's pinned key; None takes the
    bundle's own. Raises EvidenceInvalid; EvidenceIncomplete where only the pinned ledger's proof is not there."""
    case, ledger = Case(policy_key), LedgerCase(ledger_key)
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
        lambda: ledger.checkpoint(case.bundle),
        lambda: ledger.intent(case.bundle),
        lambda: ledger.outcome(case.bundle),
        case.grant,
    )
    passed: list[StepResult] = []
    missing: list[StepResult] = []
    for number, (name, step) in enumerate(zip(STEPS, steps, strict=True), start=1):
        try:
            text = step()
        except StepMissing as absent:
            missing.append(StepResult(number, name, False, str(absent)))
            passed.append(missing[-1])
            continue
        except StepFailed as error:
            raise EvidenceInvalid(number, str(error), tuple(passed)) from error
        passed.append(StepResult(number, name, text is not None, text or "not in this bundle"))
    found = _found(case, ledger, tuple(passed), pinned=policy_key is not None, ledger_pinned=ledger_key is not None)
    if missing:
        raise EvidenceIncomplete(found, tuple(missing))
    return found


def _found(
    case: Case, ledger: LedgerCase, steps: tuple[StepResult, ...], *, pinned: bool, ledger_pinned: bool
) -> VerifiedEvidence:
    receipt = case.receipt
    return VerifiedEvidence(
        steps=steps,
        request=case.request,
        intent_time_ms=case.intent_time_ms,
        outcome_time_ms=receipt.outcome_time_ms if receipt else None,
        outcome=OUTCOMES.get(receipt.outcome) if receipt else None,
        response=case.response,
        policy_key=case.bundle.policy_key,
        snapshot_version=case.trust.version,
        judged_by=case.judged_by,
        pinned=pinned,
        ledger=ledger.verifier,
        ledger_pinned=ledger.verifier is not None and ledger_pinned,
    )
