"""`govbus token issue`, the operator's half of enrolment, and `govbus enrol`, the newcomer's.

A token is a password for an hour. It goes to stdout once, and comes in on stdin or from a file, never on a command
line, which every user of the machine can read.
"""

import json
import os
import pwd
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Annotated

import typer

from bus.exchange.errors import CallError  # isort: skip - before gRPC

from bus.cli.output import Unable, echo_json, error_lines
from bus.engines.postgres import find_database
from bus.engines.postgres_database import Database
from bus.engines.postgres_external import ExternalPostgres
from bus.registry.enrolment import issue_token
from bus.registry.enrolment_client import AlreadyEnrolled
from bus.registry.enrolment_client import enrol as enrol_into
from bus.registry.enrolment_tokens import TOKEN_LIFETIME_MS
from bus.registry.fold import Act
from bus.registry.refusal import Refusal
from bus.registry.registry import Registry
from bus.registry.service_run import ENROLMENT_PORT, REGISTRY_PATH
from bus.registry.store import EventStore
from pki.enrolment import TokenMalformed
from pki.files import read_private
from pki.trust import parse_pem_certificates

__all__ = ["app", "enrol"]

_DATABASE = "registry"
_SECRET_BYTES = 32

app = typer.Typer(no_args_is_help=True, help="Enrolment tokens.")


@app.callback()
def root() -> None:
    """Enrolment tokens."""


@app.command()
def issue(
    subsystem: Annotated[str, typer.Argument(help="Who may enrol: <class>/<member>/<subsystem>, registered before.")],
    reason: Annotated[str, typer.Option(help="Why, for the log; no personal data.")],
    state: Annotated[
        Path | None, typer.Option("--state", envvar="GOVBUS_STATE", help="The instance's directory.")
    ] = None,
    operator: Annotated[str | None, typer.Option(help="Account that answers for it. Default: this one.")] = None,
    address: Annotated[
        str | None, typer.Option(help="host:port at which the newcomer reaches the enrolment listener.")
    ] = None,
    server: Annotated[str, typer.Option(help="The subsystem whose certificate the listener shows.")] = REGISTRY_PATH,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let a subsystem enrol within the hour, once. Prints the token: hand it over like a password."""
    with error_lines():
        home = _state(state)
        act = Act(operator or f"os:{pwd.getpwuid(os.geteuid()).pw_name}", reason)
        try:
            with EventStore(_database(home)) as store:
                now_ms = _now_ms()
                token = issue_token(
                    Registry(store, _now_ms),
                    subsystem,
                    act,
                    server=server,
                    address=address or _kept_address(home),
                    root=_root(home),
                    secret=os.urandom(_SECRET_BYTES),
                    now_ms=now_ms,
                )
        except Refusal as refusal:
            raise Unable(str(refusal)) from refusal
        if as_json:
            echo_json({"token": token.text, "subsystem": subsystem, "not_after_ms": now_ms + TOKEN_LIFETIME_MS})
            return
        typer.echo(token.text)
        typer.echo(f"for {subsystem}, one hour, once: govbus enrol DIRECTORY < the-token", err=True)


def enrol(
    directory: Annotated[Path, typer.Argument(help="Where keys and credentials go; made if it is not there.")],
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token. Default: read it from standard input.")
    ] = None,
    accept_operator_grants: Annotated[
        bool, typer.Option("--accept-operator-grants", help="As a provider, honour grants made by the operator.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Join an instance with a token: keys are made here and stay here. Afterwards config.yaml is ready for use."""
    with error_lines():
        text = token_file.read_text("ascii", "replace") if token_file else sys.stdin.readline(4096)
        try:
            credentials = enrol_into(
                text.strip(), directory.absolute(), clock_ms=_now_ms, accept_operator_grants=accept_operator_grants
            )
        except (TokenMalformed, AlreadyEnrolled, CallError) as error:
            raise Unable(str(error)) from error
        config = directory.absolute() / "config.yaml"
        if as_json:
            certificate = credentials.identity.certificate_sha256.hex()
            key = credentials.signer.key_id.hex()
            subsystem = credentials.subsystem.path
            echo_json({"subsystem": subsystem, "config": str(config), "certificate": certificate, "signing_key": key})
            return
        typer.echo(f"{credentials.subsystem.path} is enrolled; its runtime reads {config}")
        typer.echo("the signing key starts within 12 seconds", err=True)


def _state(state: Path | None) -> Path:
    home = (state or Path.home() / ".local" / "state" / "govbus").expanduser().absolute()
    if not (home / "authority").is_dir():
        raise Unable(f"no instance in {home}; name its directory with --state")
    return home


def _database(home: Path) -> Database:
    url = home / "database-url"
    if url.exists():
        return ExternalPostgres(read_private(url).decode(), home).database(_DATABASE)
    return find_database(home, _DATABASE)


def _kept_address(home: Path) -> str:
    try:
        return f"127.0.0.1:{json.loads((home / 'ports.json').read_bytes())[ENROLMENT_PORT]}"
    except (FileNotFoundError, KeyError) as error:
        raise Unable("no enrolment listener has run here; name its host:port with --address") from error


def _root(home: Path) -> bytes:
    """Read without any key: whoever may hand out tokens need not be able to issue certificates."""
    (root_certificate,) = parse_pem_certificates((home / "authority" / "root.pem").read_bytes())[:1]
    return sha256(root_certificate).digest()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
