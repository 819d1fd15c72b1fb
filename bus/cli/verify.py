"""`govbus verify`: is this evidence bundle true? Offline.

0  it holds
1  it does not: the first step that fails is named
2  it could not be read
3  it is incomplete: all that is in it holds, but not in it is the proof of the ledger whose key is pinned
"""

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bus.cli.output import NEGATIVE, Unable, echo_json, error_lines, print_table, printable, terminal_width
from bus.cli.progress import Progress
from bus.cli.snapshot import read_policy_key
from bus.cli.table import folded
from bus.evidence.bundle import MAX_BYTES
from bus.evidence.verify import (
    STEPS,
    EvidenceIncomplete,
    EvidenceInvalid,
    StepResult,
    VerifiedEvidence,
    verify_bundle,
)
from bus.ledger.keys import load_verifier
from bus.ledger.note import NoteVerifier
from pki.keys import signing_key_id, spki_from_point

__all__ = ["INCOMPLETE", "verify"]

INCOMPLETE: Final = 3


def verify(
    file: Annotated[Path, typer.Argument(help="An evidence bundle.")],
    policy_key: Annotated[
        Path | None,
        typer.Option(help="PEM of the policy key that you trust. Default: the bundle's own, with a warning."),
    ] = None,
    ledger_key: Annotated[
        Path | None,
        typer.Option(help="The ledger's public key that you trust. Default: the bundle's own, with a warning."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Verify one call's evidence offline, step by step, and name the first step that fails.

    Whoever made a bundle chose the keys in it: --policy-key and --ledger-key pin those that you have from the operator.
    Exit codes: 0 it holds, 1 it does not, 2 it could not be read, 3 it is incomplete: nothing in it is contradicted,
    but the proof of the ledger that --ledger-key pins is not in it.
    """
    with error_lines("name a file that `govbus evidence export` or `govbus call --evidence` wrote"):
        with file.open("rb") as given:  # by anybody, and of any length
            data = given.read(MAX_BYTES + 1)
        pinned = read_policy_key(policy_key) if policy_key else None
        ledger = read_ledger_key(ledger_key) if ledger_key else None
    try:
        with Progress(quiet=as_json, patient=True) as say:
            say(f"verifying {len(data) / 1e6:.0f} MB")
            found = verify_bundle(data, pinned, ledger_key=ledger)
    except EvidenceIncomplete as error:
        _tell_incomplete(file, error, as_json)
        raise typer.Exit(INCOMPLETE) from error
    except EvidenceInvalid as error:
        _tell_failure(file, error, as_json)
        raise typer.Exit(NEGATIVE) from error
    _tell_success(file, found, as_json)


def read_ledger_key(path: Path) -> NoteVerifier:
    """A ledger's public key; Unable for anything else."""
    try:
        return load_verifier(path)
    except ValueError as error:
        raise Unable(str(error)) from error


def _tell_failure(file: Path, error: EvidenceInvalid, as_json: bool) -> None:
    if as_json:
        failed = {"number": error.step, "name": error.name, "text": error.text}
        echo_json(
            {
                "verified": False,
                "incomplete": False,
                "failed": failed,
                "passed": [asdict(step) for step in error.passed],
            }
        )
        return
    rows = [*_rows(error.passed), (str(error.step), error.name, "FAILED", error.text)]
    rows += [(str(number), STEPS[number - 1], "-", "not reached") for number in range(error.step + 1, len(STEPS) + 1)]
    print_table(("step", "what", "", ""), rows)
    typer.echo(printable(f"govbus: {file} does not hold: {error}"), err=True)


def _tell_incomplete(file: Path, error: EvidenceIncomplete, as_json: bool) -> None:
    """Told apart from a broken one; whoever forges a call leaves the ledger's proof out, so it is no yes either."""
    if as_json:
        missing = [{"number": one.number, "name": one.name} for one in error.missing]
        echo_json({"verified": False, "incomplete": True, "missing": missing} | _facts(error.found))
        return
    _show(file, error.found)
    steps = ", ".join(f"{one.number} {one.name}" for one in error.missing)
    typer.echo(
        printable(
            f"govbus: {file} is incomplete, not contradicted: what is in it holds, the proof of the ledger whose key is"
            f" pinned is not in it ({steps}); where the broker runs: govbus evidence export"
            f" {error.found.request.request_id.hex()} --with {file}"
        ),
        err=True,
    )


def _facts(found: VerifiedEvidence) -> dict[str, Any]:
    return {
        "policy_key_id": signing_key_id(spki_from_point(found.policy_key)).hex(),
        "policy_key_pinned": found.pinned,
        "snapshot_version": found.snapshot_version,
        "judged_by_version": found.judged_by,
        "ledger_key": found.ledger.text if found.ledger else None,
        "ledger_key_pinned": found.ledger_pinned,
        "not_proven": _not_proven(found),
        "steps": [asdict(step) for step in found.steps],
        "call": _call(found),
    }


def _call(found: VerifiedEvidence) -> dict[str, str]:
    request = found.request
    return {
        "client": request.client,
        "provider": request.provider,
        "broker": request.broker,
        "method": request.method,
        "purpose": request.purpose,
        "case": request.case_id,
        "grant": request.grant_id,
        "official": request.official or "-",
        "request_id": request.request_id.hex(),
        "intent": _time(found.intent_time_ms),
        "outcome": f"{found.outcome} {_time(found.outcome_time_ms)}" if found.outcome_time_ms else "not in this bundle",
    }


def _tell_success(file: Path, found: VerifiedEvidence, as_json: bool) -> None:
    if as_json:
        echo_json({"verified": True, "incomplete": False} | _facts(found))
        return
    _show(file, found)
    blank = "\n" * bool(_not_proven(found))
    typer.echo(blank + ("verified" if _pinned(found) else "verified, by the bundle's own keys"))


def _show(file: Path, found: VerifiedEvidence) -> None:
    print_table(("step", "what", "", ""), _rows(found.steps))
    print_table(("", ""), [(name.replace("_", " "), value) for name, value in _call(found).items()], title="\nThe call")
    missing = _not_proven(found)
    if missing:
        typer.echo(
            "\n".join(["\nNot proven by this:", *(folded(f"- {one}", terminal_width(), "  ") for one in missing)])
        )
    if not _pinned(found):
        typer.echo(
            "govbus: these keys came in the bundle, chosen by whoever made it; pin the operator's: --policy-key,"
            " --ledger-key",
            err=True,
        )
    if found.snapshot_version != found.judged_by:
        request_id = found.request.request_id.hex()
        typer.echo(
            f"govbus: the bundle rests on version {found.snapshot_version}, the call was judged by version"
            f" {found.judged_by}: that it was permitted is not proven, and keys count as registered later; where the"
            f" broker runs: govbus evidence export {request_id} --with {file}, or with --snapshot of that version",
            err=True,
        )


def _pinned(found: VerifiedEvidence) -> bool:
    return found.pinned and (found.ledger is None or found.ledger_pinned)


def _not_proven(found: VerifiedEvidence) -> list[str]:
    """What a reader might believe to be proven and is not, and what would prove it."""
    absent = {step.name for step in found.steps if not step.present}
    missing = []
    if not found.pinned:
        key_id = signing_key_id(spki_from_point(found.policy_key)).hex()
        missing.append(f"that the policy is the operator's; pin his key: --policy-key FILE, id {key_id[:16]}...")
    if found.ledger is None:
        missing.append("that the ledger has the call: no proof is in this bundle; `govbus evidence export` adds it")
    elif not found.ledger_pinned:
        begins = f"{found.ledger.name}+{found.ledger.key_id.hex()}"
        missing.append(f"that the ledger is the operator's; pin his key: --ledger-key FILE, which begins {begins}")
    bodies = [name for name in ("request body", "response body") if name in absent]
    if bodies:
        missing.append(f"what was said ({', '.join(bodies)}): client and provider keep bodies and may add them")
    if not found.outcome_time_ms:
        missing.append("how the call ended: its outcome is not in this bundle")
    return missing


def _rows(steps: tuple[StepResult, ...]) -> list[tuple[str, str, str, str]]:
    return [(str(step.number), step.name, "ok" if step.present else "absent", step.text) for step in steps]


def _time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")
