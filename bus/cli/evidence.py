"""`govbus evidence`: everything that proves one call, out of a broker's journal, into one file.

Of a running instance, or one that rests, the journal, the keys and the ledger are found by themselves; a journal that
lies elsewhere is named, and then a ledger too, if one has it.
"""

import shlex
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bus.cli.output import Unable, echo_json, error_lines
from bus.cli.places import Places, RequestId, recorded_places, wanted_request
from bus.cli.progress import Progress
from bus.cli.snapshot import read_policy_key
from bus.cli.up import JsonOption, StateOption, layout_of
from bus.evidence.bundle import MAX_BYTES, Bundle, BundleError, encode_bundle, parse_bundle
from bus.evidence.export import Body, NotInJournal, OtherCall, completed, export_call, prove_in_ledger
from bus.ledger.checkpoint import LedgerInconsistent
from bus.ledger.reader import EntryUnknown, LedgerReader
from bus.ledger.storage import KEY_FILE
from bus.ledger.tree import TreeDamaged
from native.codec import CodecError, decode_admission
from native.journal import JournalDamaged
from pki.files import write_atomic

__all__ = ["app"]

_MERGE_SECONDS = 10.0
_LOOK_SECONDS = 0.2

app = typer.Typer(no_args_is_help=True, help="Export one call's evidence.")


@app.callback()
def root() -> None:
    """Export one call's evidence."""


@app.command()
def export(
    request_id: RequestId,
    out: Annotated[Path | None, typer.Option(help="The bundle to write. Default: <id>.evidence, here.")] = None,
    state: StateOption = None,
    journal: Annotated[
        Path | None, typer.Option(help="A broker's journal directory. Default: those of the instance.")
    ] = None,
    snapshot: Annotated[
        Path | None,
        typer.Option(
            help="The snapshot that judged the call, or a later one. Default: what the broker kept of that version in"
            " envoy/snapshots beside the journal, else snapshot.bin."
        ),
    ] = None,
    policy_key: Annotated[Path | None, typer.Option(help="Policy key, PEM. Default: beside the journal.")] = None,
    holder: Annotated[
        Path | None,
        typer.Option("--with", help="What `govbus call --evidence` wrote of this call: its bodies go in, too."),
    ] = None,
    request_body: Annotated[
        Path | None, typer.Option(help="As the portal keeps it: the request's salt (32 bytes), then its gRPC frames.")
    ] = None,
    response_body: Annotated[Path | None, typer.Option(help="The same of the answer.")] = None,
    ledger: Annotated[
        Path | None, typer.Option(help="The ledger's directory. Default: the instance's; with --journal none.")
    ] = None,
    without_ledger: Annotated[
        bool, typer.Option("--without-ledger", help="Export without proof that the call stands in the ledger.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write the evidence of one call. Bodies are the holders': the journal has none."""
    with error_lines():
        if without_ledger and ledger is not None:
            raise Unable("give --ledger or --without-ledger, not both")
        if holder is not None and (request_body is not None or response_body is not None):
            raise Unable("give --with, or the bodies one by one, not both")
        places = recorded_places(layout_of(state), journal, ledger)
        try:
            wanted = wanted_request(request_id, places)
            bodies = _body(request_body), _body(response_body)
            held = _held(holder) if holder is not None else None
            with Progress(quiet=as_json, patient=True) as say:
                say("looking for the call in the journals")
                bundle = _found(wanted, places, snapshot, policy_key, bodies)
                if held is not None:
                    bundle = _joined(bundle, held, holder)
                if places.ledger is not None and not without_ledger:
                    say("waiting for the ledger to integrate the call")
                    bundle = _proved(bundle, LedgerReader.open(places.ledger))
        except (NotInJournal, JournalDamaged, TreeDamaged, LedgerInconsistent, ValueError) as error:
            raise Unable(str(error)) from error
        target = out or Path(f"{wanted.hex()}.evidence")
        if not target.absolute().parent.is_dir():
            raise Unable(f"there is no directory {target.parent}; make it, or name another file with --out")
        write_atomic(target, encode_bundle(bundle))
        if as_json:
            echo_json({"file": str(target), "request_id": wanted.hex(), "in_ledger": bool(bundle.ledger_key)})
            return
        home = places.journals[0].parent if journal is not None else layout_of(state).state
        pins = ["--policy-key", str(policy_key or home / "policy-key.pem")]
        if bundle.ledger_key and places.ledger is not None:
            pins += ["--ledger-key", str(places.ledger / KEY_FILE)]
        _tell(target, pins)


def _tell(target: Path, pins: list[str]) -> None:
    typer.echo(f"wrote {target}: one call's proof, to be checked anywhere, without this instance:")
    typer.echo(f"  {shlex.join(['govbus', 'verify', str(target), *pins])}")
    typer.echo("Whoever checks it elsewhere gets the file, and the keys once, on a way that he trusts.")


def _found(
    request_id: bytes,
    places: Places,
    snapshot: Path | None,
    policy_key: Path | None,
    bodies: tuple[Body | None, Body | None],
) -> Bundle:
    """The call in the first journal that has it; NotInJournal."""
    for journal in places.journals:
        home = journal.parent
        try:
            bundle = export_call(
                request_id,
                journal,
                snapshot=(snapshot or home / "snapshot.bin").read_bytes(),
                policy_key=read_policy_key(policy_key or home / "policy-key.pem"),
                request_body=bodies[0],
                response_body=bodies[1],
            )
        except NotInJournal:
            if journal == places.journals[-1]:
                raise
            continue
        if snapshot is None and bundle.admission:
            version = decode_admission(bundle.admission).snapshot_version
            for kept in (home / "envoy" / "snapshots").glob(f"{version:012d}-*.bin"):
                bundle = replace(bundle, snapshot=kept.read_bytes())
        return bundle
    raise NotInJournal("no broker has run here; name a journal with --journal")


def _proved(bundle: Bundle, ledger: LedgerReader) -> Bundle:
    """With its proofs; a call of this moment is waited for. Unable when the ledger does not have it in time."""
    began = time.monotonic()
    while True:
        try:
            return prove_in_ledger(bundle, ledger)
        except EntryUnknown as error:
            waited = time.monotonic() - began
            if waited > _MERGE_SECONDS:
                raise Unable(
                    f"the ledger does not have this call after {waited:.0f} s; why: govbus status, govbus logs ledger;"
                    " to export without its proof: --without-ledger"
                ) from error
            time.sleep(_LOOK_SECONDS)


def _held(path: Path) -> Bundle:
    """The holder's bundle; Unable for anything else."""
    with path.open("rb") as given:
        data = given.read(MAX_BYTES + 1)
    try:
        return parse_bundle(data)
    except BundleError as error:
        raise Unable(f"{path}: {error}") from error


def _joined(bundle: Bundle, held: Bundle, path: Path | None) -> Bundle:
    try:
        return completed(bundle, held)
    except (OtherCall, CodecError) as error:
        raise Unable(f"{path}: {error}; name the bundle that `govbus call --evidence` wrote of this one") from error


def _body(path: Path | None) -> Body | None:
    if path is None:
        return None
    data = path.read_bytes()
    if len(data) < 32:
        raise Unable(f"{path} is too short: 32 bytes of salt, then the gRPC frames")
    return Body(data[:32], data[32:])
