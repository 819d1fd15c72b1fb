"""Entry point of the `govbus` command.

Holds the table of commands and nothing else. Each lives in a module of its own, and only the one that was asked for is
imported: a program that asks twice a second should not load a gRPC server to read the registry.
"""

import os
import select
from typing import Final

import typer

from bus.cli.later import LaterGroup, Place

__all__ = ["app", "main"]

# A line is the first that the command says of itself: a test compares them.
_COMMANDS: Final[dict[str, Place]] = {
    "version": ("bus.cli.version:version", "Print the version of the installed distribution."),
    "enrol": (
        "bus.cli.enrol:enrol",
        "Join an instance with a token: keys are made here and stay here. Afterwards config.yaml is ready for use.",
    ),
    "call": (
        "bus.cli.call:call",
        "Call a method with JSON. Exit codes: 1 error of the provider, 2 nothing was asked, 3 the bus refused.",
    ),
    "proxy": (
        "bus.cli.proxy:proxy",
        "Sign for local tools until Ctrl-C: plain gRPC in, the bus out. Metadata says purpose, case and the like.",
    ),
    "history": ("bus.cli.registry_history:history", "List what changed in the registry, who did it and why."),
    "up": (
        "bus.cli.up:up",
        "Start everything: keys, PostgreSQL, registry, publisher, ledger, broker; made once, found by later starts.",
    ),
    "down": (
        "bus.cli.up:down",
        "End everything in order: the broker drains, then the ledger, the publisher, PostgreSQL.",
    ),
    "status": (
        "bus.cli.status:status",
        "Show every part: up, or stale since when, and what happens next. Exit code 1 unless all are up.",
    ),
    "logs": ("bus.cli.logs:logs", "Print the last lines of each part's log."),
    "doctor": (
        "bus.cli.doctor:doctor",
        "Look for the usual misconfigurations and say what to do. Exit code 1 if anything is wrong.",
    ),
    "demo": (
        "bus.cli.demo:demo",
        "Start a small nation, register a birth in it, attack it, prove a call. Exit code 1 if a claim does not hold.",
    ),
    "verify": (
        "bus.cli.verify:verify",
        "Verify one call's evidence offline, step by step, and name the first step that fails.",
    ),
    "explain": (
        "bus.cli.explain:explain",
        "Tell a call's whole life from journal and ledger. Exit code 1: nobody wrote anything down about it.",
    ),
    "snapshot": ("bus.cli.snapshot:app", "Compile the readable policy into signed snapshots, or read one."),
    "instance": ("bus.cli.instance:app", "Publish an instance's policy, renew its certificates."),
    "broker": ("bus.cli.broker:app", "Run a broker instance."),
    "contract": ("bus.cli.contract:app", "Contracts for developers: pull, stub, docs."),
    "evidence": ("bus.cli.evidence:app", "Export one call's evidence."),
    "ledger": ("bus.cli.ledger:app", "The ledger's public key, and an audit of the ledger."),
    "token": ("bus.cli.enrol:app", "Enrolment tokens."),
    "member": ("bus.cli.registry_members:app", "The organisations: add, list, show, rename, suspend, resume."),
    "subsystem": (
        "bus.cli.registry_subsystems:app",
        "Systems of members: add, list, show, limit, suspend, resume, revoke.",
    ),
    "key": ("bus.cli.registry_keys:keys", "Signing keys: list, show, revoke; rotate one's own."),
    "cert": ("bus.cli.registry_keys:certs", "TLS certificates: list, show, revoke; the CAs above."),
    "service": ("bus.cli.registry_services:app", "Contracts and who offers them: add, list, show, offer, withdraw."),
    "grant": ("bus.cli.registry_grants:app", "Who may call whom for what: add, list, show, quota, revoke."),
}


class Govbus(LaterGroup):
    """All of them."""

    places = _COMMANDS


app = typer.Typer(name="govbus", cls=Govbus, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def root() -> None:
    """Signed, permitted, recorded, provable calls between public bodies."""


def main() -> None:
    """Run the command line. A reader that has enough (`| head`) is no failure."""
    os.umask(os.umask(0o077) & 0o077)  # whoever's it is: what we make, its owner may use
    try:
        app()
    except SystemExit as end:
        if end.code == 1 and _reader_gone():  # what Typer makes of a closed pipe
            raise SystemExit(0) from None
        raise


def _reader_gone() -> bool:
    poll = select.poll()
    poll.register(1, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
