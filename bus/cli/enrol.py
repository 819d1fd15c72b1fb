"""`govbus token issue`, the operator's half of enrolment, and `govbus enrol`, the newcomer's.

A token is a password for an hour. It goes to stdout once, and comes in on stdin or from a file, never on a command
line, which every user of the machine can read.
"""

import getpass
import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated

import typer
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from bus.exchange import ConfigError  # isort: skip - before gRPC
from bus.exchange.errors import CallError  # isort: skip - before gRPC

from bus.cli.call_caller import caller_at, starts_in
from bus.cli.near import did_you_mean
from bus.cli.output import Unable, echo_json, error_lines
from bus.cli.registry_open import Operator, Reason, now_ms, open_registry
from bus.cli.up import JsonOption, StateOption, layout_of
from bus.registry.enrolment import issue_token
from bus.registry.enrolment_client import AlreadyEnrolled
from bus.registry.enrolment_client import enrol as enrol_into
from bus.registry.enrolment_tokens import TOKEN_LIFETIME_MS
from bus.registry.fold import Act
from bus.registry.refusal import Refusal
from bus.registry.service_run import ENROLMENT_PORT
from bus.registry.state import RegistryState
from bus.up.layout import Layout
from bus.up.report_parts import iso
from native.snapshot import SnapshotError
from pki.enrolment import TokenMalformed
from pki.trust import TrustBundle

__all__ = ["app", "enrol"]

_SECRET_BYTES = 32
_KEY_SECONDS = 12
"""After so many every new key has started."""

app = typer.Typer(no_args_is_help=True, help="Enrolment tokens.")


@app.callback()
def root() -> None:
    """Enrolment tokens."""


@app.command()
def issue(
    subsystem: Annotated[str, typer.Argument(help="Who may enrol: <class>/<member>/<subsystem>, registered before.")],
    reason: Reason,
    operator: Operator = None,
    address: Annotated[
        str | None,
        typer.Option(help="host:port at which the newcomer reaches the enrolment listener. Default: loopback."),
    ] = None,
    again: Annotated[
        bool,
        typer.Option(
            "--again",
            help="Also where it is enrolled already. Its former signing keys and certificates stay as they are:"
            " revoke those that were lost.",
        ),
    ] = False,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a subsystem enrol within the hour, once. Prints the token: hand it over like a password."""
    with error_lines():
        layout = layout_of(state)
        act = Act(operator or f"local:{getpass.getuser()}", reason)
        server = f"{layout.expect().broker.rpartition('/')[0]}/registry"
        try:
            with open_registry(layout) as registry:
                _known(subsystem, registry.state())
                issued_ms = now_ms()
                token = issue_token(
                    registry,
                    subsystem,
                    act,
                    server=server,
                    address=address or _kept_address(layout.state),
                    root=_root(layout.state, server),
                    secret=os.urandom(_SECRET_BYTES),
                    now_ms=issued_ms,
                    again=again,
                )
        except Refusal as refusal:
            raise Unable(str(refusal)) from refusal
        if as_json:
            echo_json({"token": token.text, "subsystem": subsystem, "not_after_ms": issued_ms + TOKEN_LIFETIME_MS})
            return
        typer.echo(token.text)
        typer.echo(f"for {subsystem}, one hour, once: govbus enrol DIRECTORY < the-token", err=True)


def _known(subsystem: str, now: RegistryState) -> None:
    if subsystem not in now.subsystems:
        said = did_you_mean(subsystem, now.subsystems) or f"; add it first: govbus subsystem add {subsystem}"
        raise Unable(f"there is no subsystem {subsystem}{said}")


def enrol(
    directory: Annotated[Path, typer.Argument(help="Where keys and credentials go; made if it is not there.")],
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token. Default: read it from standard input.")
    ] = None,
    accept_operator_grants: Annotated[
        bool, typer.Option("--accept-operator-grants", help="As a provider, honour grants made by the operator.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="End when the signing key starts: from then on it can call and answer.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Join an instance with a token: keys are made here and stay here. Afterwards config.yaml is ready for use."""
    with error_lines("name the file into which `govbus token issue` printed the token, or give that on stdin"):
        text = token_file.read_text("ascii", "replace") if token_file else sys.stdin.readline(4096)
        try:
            credentials = enrol_into(
                text.strip(),
                directory.absolute(),
                clock_ms=now_ms,
                accept_operator_grants=accept_operator_grants,
                say=lambda text: typer.echo(f"govbus: {text}", err=True),
            )
        except (TokenMalformed, AlreadyEnrolled, CallError) as error:
            raise Unable(str(error)) from error
        config = directory.absolute() / "config.yaml"
        if as_json:
            certificate = credentials.identity.certificate_sha256.hex()
            key = credentials.signer.key_id.hex()
            subsystem = credentials.subsystem.path
            echo_json({"subsystem": subsystem, "config": str(config), "certificate": certificate, "signing_key": key})
        else:
            typer.echo(f"{credentials.subsystem.path} is enrolled; its runtime reads {config}")
        sys.stdout.flush()
        _first_call(config, wait=wait, quiet=as_json)


def _first_call(config: Path, *, wait: bool, quiet: bool) -> None:
    """Say from when on it can call, and wait for it. Before that its calls are refused: KEY_NOT_VALID."""
    try:
        starts_ms = caller_at(config.parent).key_starts_ms()
    except (Unable, ConfigError, SnapshotError, OSError):  # what was enrolled stands; its use will say what is wrong
        starts_ms = None
    seconds = _KEY_SECONDS if starts_ms is None else starts_in(starts_ms)
    if not quiet:
        start = f"within {seconds} s" if starts_ms is None else f"at {iso(starts_ms)}, in {seconds} s"
        until = "waiting for that" if wait else "until then calls are refused"
        typer.echo(f"the signing key starts {start}; {until}", err=True)
    if wait:
        time.sleep(seconds)


def _kept_address(home: Path) -> str:
    try:
        return f"127.0.0.1:{json.loads((home / 'ports.json').read_bytes())[ENROLMENT_PORT]}"
    except (FileNotFoundError, KeyError) as error:
        raise Unable("no enrolment listener has run here; name its host:port with --address") from error


def _root(home: Path, server: str) -> bytes:
    """The root above what the listener shows now. Without any key: who hands out tokens need not issue certificates."""
    shown = home / "subsystems" / server.replace("/", ".")
    bundle = TrustBundle.verify_pem(Layout(home).expect().trust_domain, (shown / "trust.pem").read_bytes())
    leaf = x509.load_pem_x509_certificate((shown / "tls" / "chain.pem").read_bytes())
    return bundle.issuer_of(leaf).root.fingerprint(SHA256())
