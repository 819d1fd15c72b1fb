"""What `govbus call` prints: answers on stdout, one line for an error on stderr, and who said it in the exit code.

0  the provider answered, and everything verified
1  the provider answered an error: its signature over it was verified
2  it was not asked: wrong usage, the line says what to do
3  the bus refused, or what came cannot be believed; nothing of it is the provider's word
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import typer

from bus.exchange import snapshot_as_of  # isort: skip - before gRPC
from bus.exchange.errors import CallError, ProviderError, RefusedLocally  # isort: skip - before gRPC

from bus.cli.call_caller import Caller, newest, starts_in
from bus.cli.call_json import show_json
from bus.cli.output import NEGATIVE, echo_json, printable
from bus.edge.policy_pem import parse_signing_key_pem
from bus.edge.snapshot_files import peek_header
from bus.evidence.bundle import encode_bundle
from bus.evidence.export import bundle_of_call
from bus.exchange.config import ConfigError, Identity
from bus.exchange.evidence import CallEvidence
from bus.exchange.reasons import Reason
from bus.up.report_parts import iso
from native.codec import decode_receipt, decode_request_header
from native.snapshot import SnapshotError
from pki.errors import ProfileError
from pki.files import write_atomic

__all__ = ["REFUSED", "Outcome", "tell"]

REFUSED: Final = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a call ended. `answers` hold what came even when it ended in an error: then a stream's are provisional."""

    stream: bool
    answers: list[Any]
    error: CallError | None
    evidence: CallEvidence | None
    milliseconds: float
    trace_id: str | None = None
    """Where its spans go somewhere, 32 hex digits."""
    provider: str = ""
    """Whom it was for, by path."""


def tell(outcome: Outcome, caller: Caller, evidence: Path | None, as_json: bool) -> int:
    """Print it, write the evidence, and say the exit code."""
    rests_on = _write_evidence(evidence, outcome, caller) if evidence else None
    if as_json:
        echo_json(_document(outcome, rests_on, caller))
    elif outcome.error is None and not outcome.stream:  # a stream's answers were printed as they came
        typer.echo(show_json(outcome.answers[0]))
    if outcome.trace_id is not None and not as_json:
        typer.echo(_found_by(outcome), err=True)
    if outcome.error is None:
        return 0
    hints = f"{_start(outcome.error, caller)}{_suspended(outcome, caller)}"
    typer.echo(f"govbus: {_line(outcome.error, outcome)}{hints}", err=True)
    return NEGATIVE if isinstance(outcome.error, ProviderError) else REFUSED


def _document(outcome: Outcome, rests_on: dict[str, Any] | None, caller: Caller) -> dict[str, Any]:
    error, evidence = outcome.error, outcome.evidence
    found: dict[str, Any] = {
        "status": error.code().name if error else "OK",
        "milliseconds": round(outcome.milliseconds, 1),
        "error": _error(error, caller) if error else None,
        "call": _call(evidence) if evidence else None,
        "receipt": _receipt(evidence) if evidence and evidence.receipt else None,
        "evidence": rests_on,
        "trace_id": outcome.trace_id,
    }
    if outcome.stream:
        return found | {"answers": outcome.answers, "sealed": error is None or isinstance(error, ProviderError)}
    return found | {"answer": outcome.answers[0] if outcome.answers else None}


def _found_by(outcome: Outcome) -> str:
    """For whoever wants to follow the call."""
    named = _call(outcome.evidence)["request_id"] if outcome.evidence else outcome.error and outcome.error.request_id
    return f"trace {outcome.trace_id}" + (f", govbus explain {named}" if named else "")


def _error(error: CallError, caller: Caller) -> dict[str, Any]:
    found = error.meaning
    return {
        "key_starts": iso(_coming(error, caller)),
        "said_by": _said_by(error),
        "reason": str(error.reason) if error.reason else None,
        "text": error.details(),
        "do": found.remedy if found else None,
        "provider_called": error.provider_called.name.lower(),
        "metadata": dict(error.metadata),
        "request_id": error.request_id or None,
    }


def _said_by(error: CallError) -> str:
    if isinstance(error, ProviderError):
        return "provider"
    return "here" if isinstance(error, RefusedLocally) else "bus"


def _line(error: CallError, outcome: Outcome) -> str:
    who = {"provider": "the provider answered", "bus": "the bus refused", "here": "refused here"}[_said_by(error)]
    text = error.details() if error.reason is None else ""
    said = f"{error.code().name}{': ' * bool(text)}{text}" if error.reason is None else str(error)
    provisional = " What was printed is provisional." if outcome.stream and outcome.answers else ""
    named = f" Request {error.request_id}." if error.request_id else ""
    stop = "" if said.endswith((".", "!", "?")) else "."
    return f"{who}: {show_json(said)[1:-1]}{stop}{provisional}{named}"


def _start(error: CallError, caller: Caller) -> str:
    """When the caller's key starts, if that is what the refusal is about."""
    starts_ms = _coming(error, caller)
    if starts_ms is None:
        return ""
    return f" This home's key starts at {iso(starts_ms)}, in {starts_in(starts_ms)} s."


def _suspended(outcome: Outcome, caller: Caller) -> str:
    """That the provider is suspended, where the caller's own policy says so; the gate tells nobody (protocol.md 5)."""
    error = outcome.error
    if error is None or error.reason is not Reason.NO_GRANT:
        return ""
    if any(
        one.provider == outcome.provider and not one.provider_active for one in newest(caller, quiet=True).permitted()
    ):
        return f" {outcome.provider} is suspended, by this home's policy; ask the operator."
    return ""


def _coming(error: CallError, caller: Caller) -> int | None:
    if error.reason not in (Reason.KEY_NOT_VALID, Reason.KEY_UNKNOWN):
        return None
    return caller.key_starts_ms()


def _call(evidence: CallEvidence) -> dict[str, str]:
    header = decode_request_header(evidence.request_header)
    return {
        "request_id": header.request_id.hex(),
        "client": header.client,
        "provider": header.provider,
        "broker": header.broker,
        "method": header.method,
        "purpose": header.purpose,
        "case_id": header.case_id,
        "grant": header.grant_id,
    }


def _receipt(evidence: CallEvidence) -> dict[str, int]:
    receipt = decode_receipt(evidence.receipt)
    return {
        "intent_sequence": receipt.intent_sequence,
        "outcome_sequence": receipt.outcome_sequence,
        "intent_time_ms": receipt.intent_time_ms,
        "outcome_time_ms": receipt.outcome_time_ms,
        "snapshot_version": receipt.snapshot_version,
    }


def _write_evidence(path: Path, outcome: Outcome, caller: Caller) -> dict[str, Any] | None:
    """Write the bundle; what it rests on. None where there is nothing to prove: the gate recorded no intent."""
    evidence = outcome.evidence
    if evidence is None or not evidence.receipt:
        typer.echo(f"govbus: {path} is not written: no intent was recorded, so there is no receipt", err=True)
        return None
    identity = caller.config.identity
    judged = decode_receipt(evidence.receipt).snapshot_version
    snapshot = _snapshot(identity, judged)
    policy_key = parse_signing_key_pem(identity.policy_key.read_bytes())[1]
    write_atomic(path, encode_bundle(bundle_of_call(evidence, snapshot=snapshot, policy_key=policy_key)))
    version = peek_header(snapshot).version
    typer.echo(f"govbus: {_written(path, version, judged, _call(evidence)['request_id'])}", err=True)
    return {"file": str(path), "snapshot_version": version, "judged_by_version": judged}


def _written(path: Path, version: int, judged: int, request_id: str) -> str:
    """What the file is good for; where its policy is not the judging one, who completes it."""
    if version == judged:
        return f"wrote {path}; check it with: govbus verify {path}"
    lacks = "it does not verify" if version < judged else "that it was permitted is not proven"
    return (
        f"wrote {path}, which rests on policy version {version} while version {judged} judged the call: {lacks}; where"
        f" the broker runs: govbus evidence export {request_id} --with {path}"
    )


def _snapshot(identity: Identity, judged: int) -> bytes:
    """The home's, or where that is older than what judged the call, one that the registry makes for this.

    Made while the brokers' newest version is still the judging one it bears that version, and proves the permission.
    """
    snapshot = identity.snapshot.read_bytes()
    if peek_header(snapshot).version >= judged:
        return snapshot
    try:
        return asyncio.run(snapshot_as_of(identity, judged))
    except (CallError, ConfigError, SnapshotError, ProfileError, OSError, ValueError) as error:
        typer.echo(printable(f"govbus: no policy of version {judged} came ({error})"), err=True)
        return snapshot
