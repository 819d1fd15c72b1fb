"""`govbus broker`: one broker instance in the foreground."""

import logging
import signal
from pathlib import Path
from typing import Annotated

import typer

from bus.cli.output import error_lines
from bus.engines.broker import Broker
from bus.engines.broker_keeper import BrokerKeeper

__all__ = ["app"]

_MISSING = (
    "name the directory of a broker, with its broker.yaml and all beside it: <state>/brokers/<name>; a whole instance:"
    " govbus up"
)

_LOOK_SECONDS = 0.5

app = typer.Typer(no_args_is_help=True, help="Run a broker instance.")


@app.callback()
def root() -> None:
    """Run a broker instance."""


@app.command()
def run(
    directory: Annotated[Path, typer.Argument(help="The broker's directory: broker.yaml, credentials, snapshot.")],
) -> None:
    """Run the broker until SIGINT or SIGTERM, then drain. Prints one line when it is ready, another while it waits."""
    logging.basicConfig(format="govbus: %(message)s", level=logging.WARNING)
    # Blocked before any thread starts: the signals wait for sigwait below, whoever gets them.
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    with error_lines(_MISSING):
        broker = Broker(directory)
        config = broker.config
        with BrokerKeeper(directory):  # before the broker: it brings the policy and the key that a start may wait for
            if not _wait_key(broker, signals):
                return
            with broker:
                typer.echo(
                    f"ready: {config.identity.path} on {config.listen}, policy version {broker.snapshot_version}"
                )
                signal.sigwait(signals)


def _wait_key(broker: Broker, signals: set[signal.Signals]) -> bool:
    """Until its signing key is in force; False when it was ended meanwhile."""
    told = ""
    while obstacle := broker.obstacle():
        if obstacle != told:
            typer.echo(f"govbus: {broker.config.identity.path} {obstacle}", err=True)
            told = obstacle
        if signal.sigtimedwait(signals, _LOOK_SECONDS) is not None:
            return False
    return True
