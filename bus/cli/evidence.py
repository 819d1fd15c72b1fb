"""`govbus evidence`: everything that proves one call, out of a broker's journal, into one file."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from bus.cli.output import Unable, error_lines
from bus.cli.snapshot import read_policy_key
from bus.evidence.bundle import encode_bundle
from bus.evidence.export import Body, NotInJournal, export_call, parse_request_id
from bus.ledger.checkpoint import LedgerInconsistent
from bus.ledger.reader import EntryUnknown, LedgerReader
from bus.ledger.tree import TreeDamaged
from native.codec import decode_admission
from native.journal import JournalDamaged
from pki.files import write_atomic

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="Export one call's evidence.")


@app.callback()
def root() -> None:
    """Export one call's evidence."""


@app.command()
def export(
    request_id: Annotated[str, typer.Argument(help="The request's id, as hex or UUID.")],
    journal: Annotated[Path, typer.Option(help="The broker's journal directory.")],
    out: Annotated[Path, typer.Option(help="The bundle to write.")],
    snapshot: Annotated[
        Path | None,
        typer.Option(
            help="The snapshot that judged the call, or a later one. Default: what the broker kept of that version in"
            " envoy/snapshots beside the journal, else snapshot.bin."
        ),
    ] = None,
    policy_key: Annotated[Path | None, typer.Option(help="Policy key, PEM. Default: beside the journal.")] = None,
    request_body: Annotated[Path | None, typer.Option(help="The request's salt (32 bytes), then its frames.")] = None,
    response_body: Annotated[Path | None, typer.Option(help="The answer's salt (32 bytes), then its frames.")] = None,
    ledger: Annotated[Path | None, typer.Option(help="The ledger's directory, to prove the call's entries in.")] = None,
) -> None:
    """Write the evidence of one call. Bodies are the holders': the journal has none."""
    with error_lines():
        try:
            bundle = export_call(
                parse_request_id(request_id),
                journal,
                snapshot=(snapshot or journal.parent / "snapshot.bin").read_bytes(),
                policy_key=read_policy_key(policy_key or journal.parent / "policy-key.pem"),
                request_body=_body(request_body),
                response_body=_body(response_body),
                ledger=LedgerReader.open(ledger) if ledger else None,
            )
        except (NotInJournal, JournalDamaged, EntryUnknown, TreeDamaged, LedgerInconsistent, ValueError) as error:
            raise Unable(str(error)) from error
        if snapshot is None:
            version = decode_admission(bundle.admission).snapshot_version
            for kept in (journal.parent / "envoy" / "snapshots").glob(f"{version:012d}-*.bin"):
                bundle = replace(bundle, snapshot=kept.read_bytes())
        write_atomic(out, encode_bundle(bundle))
        typer.echo(f"wrote {out}; check it with: govbus verify {out}")


def _body(path: Path | None) -> Body | None:
    if path is None:
        return None
    data = path.read_bytes()
    if len(data) < 32:
        raise Unable(f"{path} is too short: 32 bytes of salt, then the gRPC frames")
    return Body(data[:32], data[32:])
