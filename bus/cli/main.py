"""Entry point of the `govbus` command.

Holds the table of commands and nothing else. Each lives in a module of its own, and only the one that was asked for is
imported: a program that asks twice a second should not load a gRPC server to read the registry.
"""

import errno
import io
import os
import select
import sys
from collections.abc import Mapping
from typing import ClassVar, Final

import typer

from bus.cli.later import LaterGroup, Place
from bus.cli.usage import TopicGroup

__all__ = ["app", "main"]

# A line is the first that the command says of itself: a test compares them.
_TOPICS: Final[dict[str, dict[str, Place]]] = {
    "A country on this machine": {
        "demo": (
            "bus.cli.demo:demo",
            "Start a small nation, register a birth in it, attack it, prove a call. Exit code 1 unless all holds.",
        ),
        "up": (
            "bus.cli.up:up",
            "Start everything: keys, PostgreSQL, registry, publisher, ledger, broker; made once, found again later.",
        ),
        "birth": (
            "bus.cli.birth:birth",
            "Register a birth at the citizens' portal of a running nation, and show what it took.",
        ),
        "status": (
            "bus.cli.status:status",
            "Show every part: up, or stale since when, and what happens next. Exit code 1 unless all are up.",
        ),
        "logs": (
            "bus.cli.logs:logs",
            "Print the last lines of each part's log.",
        ),
        "doctor": (
            "bus.cli.doctor:doctor",
            "Look for the usual misconfigurations and say what to do. Exit code 1 if anything is wrong.",
        ),
        "down": (
            "bus.cli.up:down",
            "End everything in order: the broker drains, then the ledger, the publisher, PostgreSQL.",
        ),
    },
    "Calls and their proofs": {
        "call": (
            "bus.cli.call:call",
            "Call a method with JSON. Exit codes: 1 error of the provider, 2 nothing was asked, 3 the bus refused.",
        ),
        "proxy": (
            "bus.cli.proxy:proxy",
            "Sign for local tools until Ctrl-C: plain gRPC in, the bus out. Metadata says purpose, case and the like.",
        ),
        "explain": (
            "bus.cli.explain:explain",
            "Tell a call's whole life from journal, ledger and trace. Exit code 1: nothing was written down about it.",
        ),
        "evidence": (
            "bus.cli.evidence:app",
            "Export one call's evidence.",
        ),
        "verify": (
            "bus.cli.verify:verify",
            "Verify one call's evidence offline, step by step, and name the first step that fails.",
        ),
        "ledger": (
            "bus.cli.ledger:app",
            "The ledger's public key, and an audit of the ledger.",
        ),
    },
    "Joining": {
        "token": (
            "bus.cli.enrol:app",
            "Enrolment tokens.",
        ),
        "enrol": (
            "bus.cli.enrol:enrol",
            "Join an instance with a token: keys are made here and stay here. Afterwards config.yaml is ready for use.",
        ),
        "contract": (
            "bus.cli.contract:app",
            "Contracts for developers: pull, stub, docs, check.",
        ),
    },
    "The registry, for its operator": {
        "member": (
            "bus.cli.registry_members:app",
            "The organisations: add, list, show, rename, suspend, resume.",
        ),
        "subsystem": (
            "bus.cli.registry_subsystems:app",
            "Systems of members: add, list, show, limit, suspend, resume, revoke.",
        ),
        "service": (
            "bus.cli.registry_services:app",
            "Contracts and who offers them: add, list, show, offer, withdraw.",
        ),
        "grant": (
            "bus.cli.registry_grants:app",
            "Who may call whom for what: add, list, show, quota, revoke.",
        ),
        "key": (
            "bus.cli.registry_keys:keys",
            "Signing keys: list, show, revoke; rotate one's own.",
        ),
        "cert": (
            "bus.cli.registry_keys:certs",
            "TLS certificates: list, show, revoke; the CAs above.",
        ),
        "history": (
            "bus.cli.registry_history:history",
            "List what changed in the registry, who did it and why.",
        ),
    },
    "Single parts": {
        "instance": (
            "bus.cli.instance:app",
            "Publish an instance's policy, renew its certificates.",
        ),
        "broker": (
            "bus.cli.broker:app",
            "Run a broker instance.",
        ),
        "snapshot": (
            "bus.cli.snapshot:app",
            "Compile the readable policy into signed snapshots, or read one.",
        ),
        "version": (
            "bus.cli.version:version",
            "Print the version of the installed distribution.",
        ),
    },
}


class Govbus(LaterGroup, TopicGroup):
    """All of them."""

    places: ClassVar[Mapping[str, Place]] = {
        name: place for commands in _TOPICS.values() for name, place in commands.items()
    }
    topics: ClassVar[Mapping[str, tuple[str, ...]]] = {topic: tuple(commands) for topic, commands in _TOPICS.items()}


app = typer.Typer(
    name="govbus", cls=Govbus, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None
)


@app.callback()
def root() -> None:
    """Signed, permitted, recorded, provable calls between public bodies.

    New here? `govbus up --nation` starts a small country and says what to try. More: `govbus COMMAND --help`.
    """


def main() -> None:
    """Run the command line. A reader that has enough (`| head`) is no failure; a full disk is one, in one line."""
    os.umask(os.umask(0o077) & 0o077)  # whoever's it is: what we make, its owner may use
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names on a terminal that has no such letters
    try:
        app()
    except SystemExit as end:
        if end.code == 1 and _reader_gone():  # what Typer makes of a closed pipe
            raise SystemExit(0) from None
        raise
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        sys.stderr.write("govbus: no space left where this is written; what is there is not whole: make room, repeat\n")
        raise SystemExit(2) from None


def _open_standard_streams() -> None:
    """Those that we were started without lead nowhere: a socket or a key must not take their numbers."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    sys.stdin = sys.stdin or os.fdopen(0, closefd=False)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _reader_gone() -> bool:
    poll = select.poll()
    poll.register(1, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
