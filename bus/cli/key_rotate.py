"""`govbus key rotate`: another signing key for an enrolled home, now, instead of at two thirds of the key's life.

It takes the steps that a runtime takes by itself (bus.exchange.rotation), and may run beside one: whoever comes first
takes the next step. Ctrl-C loses nothing.
"""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from bus.exchange import CallError, ConfigError, Identity, load_client_config  # isort: skip - before gRPC

from bus.cli.output import Unable, echo_json, error_lines
from bus.cli.registry_open import now_ms
from bus.cli.up import JsonOption
from bus.exchange.fetch import SnapshotFetcher
from bus.exchange.rotation import KeyRotator
from bus.exchange.signing_key import SigningKeyFile
from bus.exchange.trust import SnapshotFile

__all__ = ["rotate"]

_LOOK_SECONDS = 1.0


class _Announced(Exception):
    """Only time is missing, and nobody waits for it here."""


def rotate(
    directory: Annotated[Path, typer.Argument(help="Where the subsystem was enrolled: config.yaml and keys.")],
    wait: Annotated[
        bool, typer.Option("--wait/--no-wait", help="Wait until the new key is in use, about 50 s.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Make another signing key, announce it, and use it once it is in force everywhere; calls go on all along."""
    with error_lines():
        home = directory.absolute()
        try:
            former, coming, used = _rotate(home, wait)
        except ConfigError as error:
            raise Unable(f"{home / 'config.yaml'}: {error}") from error
        except CallError as error:
            raise Unable(f"not rotated: {error}; the key in use stays, give the command again") from error
        if as_json:
            echo_json({"former": former.hex(), "signing_key": coming.hex(), "in_use": used})
        elif used:
            typer.echo(f"signs by {coming.hex()} now; {former.hex()[:16]} counts for the rest of an hour")
        else:
            typer.echo(f"{coming.hex()} is announced; a running runtime, or this command again, goes over to it")


def _rotate(home: Path, wait: bool) -> tuple[bytes, bytes, bool]:
    """The former key, the new one, and whether that is in use."""
    identity = load_client_config(home / "config.yaml").identity
    if identity.renewal is None:
        raise Unable(f"{home} was not enrolled by token; whoever made it replaces its keys")
    key, snapshot = SigningKeyFile(identity.signing_key), SnapshotFile.of(identity)
    snapshot.load()
    former = key.key_id
    _await_start(snapshot, former)
    rotator, told = KeyRotator(identity, key, snapshot), ""
    coming = rotator.begin().key_id

    def pause(what: str) -> None:
        nonlocal told
        if not wait:
            raise _Announced
        if what != told:
            told = what
            typer.echo(f"waiting for {what}; Ctrl-C loses nothing", err=True)
        time.sleep(_LOOK_SECONDS)
        _refresh(identity, key, snapshot)

    try:
        rotator.finish(pause)
    except _Announced:
        return former, coming, False
    return former, coming, True


def _await_start(snapshot: SnapshotFile, key_id: bytes) -> None:
    """What a key signs that is not in force yet is refused."""
    record = snapshot.current.key(key_id)
    if record is None:
        raise Unable("its policy does not know the signing key of this home; it was revoked, or is over: enrol again")
    left = (record.not_before_ms - now_ms()) / 1000
    if left > 0:
        typer.echo(f"the signing key of this home starts in {left:.0f} s; waiting", err=True)
        time.sleep(left + _LOOK_SECONDS)


def _refresh(identity: Identity, key: SigningKeyFile, snapshot: SnapshotFile) -> None:
    snapshot.watch()
    if identity.renewal is not None and identity.renewal.snapshot:
        asyncio.run(SnapshotFetcher(identity, key, snapshot).once())
