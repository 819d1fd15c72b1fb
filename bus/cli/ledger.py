"""`govbus ledger`: the key that its checkpoints are signed with, for offline verifiers, and an audit."""

from typing import Annotated

import typer

from bus.cli.output import NEGATIVE, Unable, echo_json, error_lines
from bus.cli.progress import Progress
from bus.cli.up import JsonOption, StateOption, layout_of
from bus.ledger.checkpoint import CheckpointInvalid
from bus.ledger.reader import LedgerReader
from bus.ledger.storage import TileFiles
from bus.ledger.tree import TreeDamaged, TreeReader, audited
from bus.up.layout import Layout

__all__ = ["app"]

app = typer.Typer(no_args_is_help=True, help="The ledger's public key, and an audit of the ledger.")

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


@app.callback()
def root() -> None:
    """The ledger's public key, and an audit of the ledger."""


@app.command()
def key(state: StateOption = None, as_json: JsonOption = False) -> None:
    """Print the public key that verifies checkpoints: one line, for `govbus verify --ledger-key`.

    Hand it over on a way that people trust (a letter, a website of the operator's): it is what evidence rests on.
    """
    with error_lines():
        reader = _reader(layout_of(state))
    text = reader.verifier.text
    if as_json:
        echo_json({"key": text, "name": reader.verifier.name, "key_id": reader.verifier.key_id.hex()})
        return
    typer.echo(text)


@app.command()
def audit(state: StateOption = None, quiet: Quiet = False, as_json: JsonOption = False) -> None:
    """Read the whole ledger and hold every entry to the newest checkpoint. Exit code 1 if it does not hold."""
    with error_lines():
        layout = layout_of(state)
        try:
            newest = _reader(layout).checkpoint()
        except CheckpointInvalid as error:
            raise Unable(f"the ledger's checkpoint is not one of its key's: {error}; restore a copy") from error
    files, count, fault = TileFiles(layout.ledger), 0, ""
    try:
        with Progress(quiet=quiet or as_json, patient=True) as say:
            say(f"reading {newest.size:,} entries")
            for entries in audited(newest.size, files.tile):
                count += len(entries)
                say.update(f"{count:,} of {newest.size:,} entries hold")
        if TreeReader(newest.size, files.tile).root() != newest.root:
            fault = "the tiles hash to another root than the checkpoint's"
    except TreeDamaged as error:
        fault = str(error)
    if as_json:
        echo_json({"entries": newest.size, "holds": not fault, "fault": fault or None})
    elif fault:
        typer.echo(f"govbus: the ledger does not hold: {fault}", err=True)
    else:
        typer.echo(f"{count} entries hold, to their checkpoint's root {newest.root.hex()[:16]}")
    if fault:
        raise typer.Exit(NEGATIVE)


def _reader(layout: Layout) -> LedgerReader:
    layout.expect()
    try:
        return LedgerReader.open(layout.ledger)
    except FileNotFoundError as error:
        raise Unable(f"no ledger has begun in {layout.ledger}; start the instance: govbus up") from error
    except ValueError as error:
        raise Unable(str(error)) from error
