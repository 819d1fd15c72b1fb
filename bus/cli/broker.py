"""`govbus broker`: one broker instance in the foreground, whole or without its Envoy."""

import logging
import signal
from pathlib import Path
from typing import Annotated

import typer

from bus.cli.output import error_lines
from bus.edge.broker_file import load_broker_config
from bus.engines.admin import EnvoyAdmin
from bus.engines.broker import Broker
from bus.engines.broker_keeper import BrokerKeeper
from bus.engines.share import Share

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


_Home = Annotated[Path, typer.Argument(help="The broker's directory: broker.yaml, credentials, snapshot.")]
_ShareOf = Annotated[Path, typer.Argument(help="The directory that it shares with its Envoy; not the broker's own.")]


@app.command()
def run(directory: _Home) -> None:
    """Run the broker until SIGINT or SIGTERM, then drain. Prints one line when it is ready, another while it waits."""
    signals = _hold_signals()
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


@app.command()
def keep(directory: _Home, share: _ShareOf) -> None:
    """Do all that a broker does but run Envoy, which another container or unit starts with SHARE/envoy/environment.

    Until SIGINT or SIGTERM; Envoy then serves on, and finds this command again when it is started anew.
    """
    signals = _hold_signals()
    logging.getLogger("bus.engines").setLevel(logging.INFO)
    with error_lines(_MISSING):
        common = Share.at(share)
        broker = Broker(directory, share=common)
        config = broker.config
        with BrokerKeeper(directory), broker:
            typer.echo(f"keeps: {config.identity.path} on {config.listen}, for an Envoy with {common.environment}")
            signal.sigwait(signals)


@app.command()
def drain(directory: _Home, share: _ShareOf) -> None:
    """Let the running calls of an Envoy that `keep` looks after end, then end it; who runs it may start it again."""
    with error_lines(_MISSING):
        try:
            EnvoyAdmin(Share.at(share).socket).end(load_broker_config(directory).drain_seconds)
        except (ConnectionError, FileNotFoundError):
            typer.echo("no Envoy answers there; nothing to end", err=True)


def _hold_signals() -> set[signal.Signals]:
    """Blocked before any thread starts: they wait for sigwait, whoever gets them."""
    logging.basicConfig(format="govbus: %(message)s", level=logging.WARNING)
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    return signals


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
