"""How a call ended, in one word and one sentence, and what its people do next; out of what was recorded of it.

    SERVED        the provider's answer, verified, went to the client
    ERROR         so did the provider's own error
    TIMED OUT     its time was over before the answer was complete
    FAILED        the bus withheld or never got an answer, and says why
    LEFT          the client went before its answer, with time to spare
    UNKNOWN       the broker ended meanwhile
    OPEN          admitted, and no end is recorded yet
    REFUSED       the provider never saw it

Of an id that came again the first admission counts: what was refused afterwards is a copy.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from govbus.errors.v1 import reasons_pb2

from bus.evidence.steps import OUTCOMES
from bus.exchange.meanings import CODES, Called, meaning
from bus.exchange.reasons import Reason
from native.codec import decode_response_header
from native.headers import RequestHeader
from native.journal_records import Intent, Outcome, RefusedRequest
from pki.identity import parse_spiffe_id

__all__ = ["Ending", "Recorded", "ending_of", "path_of", "reason_of"]

_AGAIN: Final = "ask again only with the same idempotency key: then nothing is done twice"
_CALLED: Final = {
    Called.NO: "the provider was not called",
    Called.MAYBE: "the provider may have acted",
    Called.YES: "the provider was called",
}
_JUST_MS: Final = 100
"""A client that leaves at its deadline is seen to leave about then: the clocks are two, and so is the way."""


@dataclass(frozen=True, slots=True)
class Ending:
    """One word, one sentence, what to do next."""

    word: str
    text: str
    then: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """The records that say how it ended: one admission and its outcome, or the first refusal."""

    intent: Intent | None
    outcome: Outcome | None
    refused: RefusedRequest | None

    @classmethod
    def of(cls, records: Iterable[Intent | Outcome | RefusedRequest]) -> "Recorded | None":
        """Out of everything that was found; None where nothing was."""
        several = list(records)
        intent = next((one for one in several if isinstance(one, Intent)), None)
        outcome = next((one for one in several if isinstance(one, Outcome)), None)
        refused = next((one for one in several if isinstance(one, RefusedRequest)), None)
        return cls(intent, outcome, refused) if several else None

    @property
    def request(self) -> RequestHeader:
        """What was asked."""
        found = self.intent or self.refused
        assert found is not None  # noqa: S101 (an outcome is found by its intent)
        return found.request


def ending_of(recorded: Recorded) -> Ending:
    """Of a call that something is recorded of."""
    if recorded.intent is None:
        assert recorded.refused is not None  # noqa: S101 (there is one of the two)
        return _refused(recorded.refused)
    if recorded.outcome is None:
        text = f"{path_of(recorded.intent.admission.broker)} admitted it, and no end is recorded yet"
        return Ending("OPEN", text, ("it runs, or its broker is down and says UNKNOWN when it starts: govbus status",))
    return _settled(recorded.request, recorded.outcome)


def _refused(found: RefusedRequest) -> Ending:
    reason = reason_of(found.refusal.reason)
    told = meaning(reason)
    text = f"{path_of(found.refusal.broker)} refused it, {reason}; the provider never saw it"
    return Ending("REFUSED", text, (f"{path_of(found.request.client)}: {told.remedy}",))


def _settled(request: RequestHeader, found: Outcome) -> Ending:
    receipt = found.receipt
    name, client, provider = OUTCOMES[receipt.outcome], path_of(request.client), path_of(request.provider)
    after = f"{receipt.outcome_time_ms - receipt.intent_time_ms:,} ms after it was admitted"
    if name == "DONE":
        status = decode_response_header(found.response_bytes).grpc_status
        if status == 0:
            return Ending("SERVED", f"{provider} answered; {client} was sent it with a receipt, {after}")
        text = f"{provider} answered {CODES[status].name}, signed: its own error, none of the bus; {after}"
        return Ending("ERROR", text, (f"ask {provider}, naming this id; the text of an error is not recorded",))
    late = receipt.outcome_time_ms >= request.not_after_ms - _JUST_MS
    if name == "FAILED" and receipt.reason:
        return _failed(reason_of(receipt.reason), provider, after)
    if name == "CANCELLED" and late:
        allowed = f"{request.not_after_ms - request.issued_at_ms:,} ms"
        text = f"the {allowed} that {client} allowed were over before {provider}'s answer came; it may have acted"
        return Ending("TIMED OUT", text, ("allow more time", _AGAIN))
    if name == "CANCELLED":
        return Ending("LEFT", f"{client} gave up, {after}, before the answer; {provider} may have acted", (_AGAIN,))
    text = f"the broker ended while the call was open; whether {provider} acted, only {provider} knows"
    return Ending("UNKNOWN", text, (f"ask {provider}, naming this id", _AGAIN))


def _failed(reason: Reason, provider: str, after: str) -> Ending:
    told = meaning(reason)
    word = "TIMED OUT" if reason is Reason.DEADLINE else "FAILED"
    text = f"{reason}, {after}: {told.text} {_CALLED[told.called]}".replace("the provider", provider)
    return Ending(word, text, (told.remedy,))


def reason_of(number: int) -> Reason:
    """By its number in records."""
    return Reason(reasons_pb2.Reason.DESCRIPTOR.values_by_number[number].name.removeprefix("REASON_"))


def path_of(spiffe_id: str) -> str:
    """`gov/mps/population`."""
    return parse_spiffe_id(spiffe_id).path
