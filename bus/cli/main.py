"""Entry point of the `govbus` command.

Holds the Typer application and nothing else: a sub-command lives in its own module and is added below.
"""

import select
from importlib.metadata import version as distribution_version

import typer

from bus.cli import (
    broker,
    contract,
    evidence,
    instance,
    ledger,
    registry_grants,
    registry_keys,
    registry_members,
    registry_services,
    registry_subsystems,
    snapshot,
)
from bus.cli import enrol as enrolment
from bus.cli.call import call
from bus.cli.demo import demo
from bus.cli.doctor import doctor
from bus.cli.explain import explain
from bus.cli.logs import logs
from bus.cli.proxy import proxy
from bus.cli.registry_history import history
from bus.cli.status import status
from bus.cli.up import down, up
from bus.cli.verify import verify

app = typer.Typer(name="govbus", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(snapshot.app, name="snapshot")
app.add_typer(instance.app, name="instance")
app.add_typer(broker.app, name="broker")
app.add_typer(contract.app, name="contract")
app.add_typer(evidence.app, name="evidence")
app.add_typer(ledger.app, name="ledger")
app.add_typer(enrolment.app, name="token")
app.command()(enrolment.enrol)
app.add_typer(registry_members.app, name="member")
app.add_typer(registry_subsystems.app, name="subsystem")
app.add_typer(registry_keys.keys, name="key")
app.add_typer(registry_keys.certs, name="cert")
app.add_typer(registry_services.app, name="service")
app.add_typer(registry_grants.app, name="grant")
app.command()(call)
app.command()(proxy)
app.command()(history)
app.command()(up)
app.command()(down)
app.command()(status)
app.command()(logs)
app.command()(doctor)
app.command()(demo)
app.command()(verify)
app.command()(explain)


@app.callback()
def root() -> None:
    """Signed, permitted, recorded, provable calls between public bodies."""


@app.command()
def version() -> None:
    """Print the version of the installed distribution."""
    typer.echo(distribution_version("govbus"))


def main() -> None:
    """Run the command line. A reader that has enough (`| head`) is no failure."""
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
