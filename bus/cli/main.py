"""Entry point of the `govbus` command.

Holds the table of commands and nothing else. Each lives in a module of its own, and only the one that was asked for is
imported: a program that asks twice a second should not load a gRPC server to read the registry.
"""

import os
import select
import sys
from functools import cache
from importlib import import_module
from importlib.metadata import version as distribution_version
from typing import Final

import typer

__all__ = ["application", "main"]

_GROUPS: Final = {
    "snapshot": ("bus.cli.snapshot", "app"),
    "instance": ("bus.cli.instance", "app"),
    "broker": ("bus.cli.broker", "app"),
    "contract": ("bus.cli.contract", "app"),
    "evidence": ("bus.cli.evidence", "app"),
    "ledger": ("bus.cli.ledger", "app"),
    "token": ("bus.cli.enrol", "app"),
    "member": ("bus.cli.registry_members", "app"),
    "subsystem": ("bus.cli.registry_subsystems", "app"),
    "key": ("bus.cli.registry_keys", "keys"),
    "cert": ("bus.cli.registry_keys", "certs"),
    "service": ("bus.cli.registry_services", "app"),
    "grant": ("bus.cli.registry_grants", "app"),
}
_COMMANDS: Final = {
    "enrol": "bus.cli.enrol",
    "call": "bus.cli.call",
    "proxy": "bus.cli.proxy",
    "history": "bus.cli.registry_history",
    "up": "bus.cli.up",
    "down": "bus.cli.up",
    "status": "bus.cli.status",
    "logs": "bus.cli.logs",
    "doctor": "bus.cli.doctor",
    "demo": "bus.cli.demo",
    "verify": "bus.cli.verify",
    "explain": "bus.cli.explain",
}


def version() -> None:
    """Print the version of the installed distribution."""
    typer.echo(distribution_version("govbus"))


def root() -> None:
    """Signed, permitted, recorded, provable calls between public bodies."""


@cache
def application(only: str | None = None) -> typer.Typer:
    """The whole command line, or as much of it as one command needs."""
    made = typer.Typer(name="govbus", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    made.callback()(root)
    made.command()(version)
    for name, (module, attribute) in _GROUPS.items():
        if only in (None, name):
            made.add_typer(getattr(import_module(module), attribute), name=name)
    for name, module in _COMMANDS.items():
        if only in (None, name):
            made.command(name)(getattr(import_module(module), name))
    return made


def __getattr__(name: str) -> typer.Typer:
    """`app`: the whole command line, made when somebody asks for it."""
    if name != "app":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return application()


def main() -> None:
    """Run the command line. A reader that has enough (`| head`) is no failure."""
    os.umask(os.umask(0o077) & 0o077)  # whoever's it is: what we make, its owner may use
    asked = sys.argv[1] if len(sys.argv) > 1 else None
    known = asked in _GROUPS or asked in _COMMANDS or asked == "version"
    try:
        application(asked if known else None)()
    except SystemExit as end:
        if end.code == 1 and _reader_gone():  # what Typer makes of a closed pipe
            raise SystemExit(0) from None
        raise


def _reader_gone() -> bool:
    poll = select.poll()
    poll.register(1, 0)
    return any(event & select.POLLERR for _, event in poll.poll(0))
