"""`govbus up` and `govbus down`: start the whole instance in one state directory, end it in order."""

import contextlib
import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from bus.cli.output import Unable, echo_json, error_lines
from bus.cli.progress import Progress
from bus.edge.endpoint import Endpoint, EndpointError, parse_endpoint
from bus.nation.settled import DEFAULT_PEOPLE, FEWEST_PEOPLE, MOST_PEOPLE
from bus.up.background import Started
from bus.up.first_try import FirstTry
from bus.up.layout import BROKER, TRUST_DOMAIN, Facts, Layout, default_state
from bus.up.options import Options
from bus.up.preflight import verify_state
from bus.up.process import AlreadyRunning, end_supervisor, guardian_pid, supervisor_pid
from bus.up.wipe import is_wipeable
from bus.up.wipe import wipe as wipe_instance

__all__ = ["JsonOption", "StateOption", "down", "layout_of", "naming", "up"]

_INTERRUPTED = 130
_STOPPING = "govbus: stopping everything in order, some seconds"
_LASTING = "first start: "
"""So begins a step that is to stay on the screen: it cannot be changed later."""
_NEXT = (
    "birth",
    "explain last",
    "call vn.administrative.v1.AdministrativeUnitService/ResolveUnit"
    """ '{"code": {"codeListVersion": "gso-2025-06", "code": "00001"}}' --as gov/moj/portal --purpose civil.birth""",
    "status",
)
"""What is to be seen in a nation, in this order: each works as it stands."""
_END_SECONDS = 60.0
_GOES_ON = "the instance goes on ending by itself; see govbus status{named}, wait for it: govbus down{named}"

StateOption = Annotated[
    Path | None,
    typer.Option("--state", help="The instance's directory. Default: $GOVBUS_STATE, else ~/.local/state/govbus."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]


def layout_of(state: Path | None) -> Layout:
    """The layout that an option names."""
    return Layout((state or default_state()).expanduser().absolute())


def naming(option: str, path: Path | None) -> str:
    """What a printed command must say again to mean the same place: empty where nothing was said."""
    return "" if path is None else f" {option} {shlex.quote(str(path))}"


def up(
    context: typer.Context,
    state: StateOption = None,
    database_url: Annotated[
        str | None,
        typer.Option(
            envvar="GOVBUS_DATABASE_URL",
            show_envvar=True,
            help="Use this PostgreSQL instead of starting one; asked for once, then remembered. With a password in it,"
            " give it as @FILE, as - (a line on standard input), or by the variable.",
        ),
    ] = None,
    trust_domain: Annotated[
        str | None, typer.Option(help=f"First start only: the instance's name. Default: {TRUST_DOMAIN}.")
    ] = None,
    listen: Annotated[
        str | None, typer.Option(help="First start only: host:port of the broker. Default: a free loopback port, kept.")
    ] = None,
    enrol_listen: Annotated[
        str | None,
        typer.Option(
            help="host:port where newcomers enrol, for this start; they are told by the token (token issue --address)."
            " Default: a free loopback port, kept."
        ),
    ] = None,
    clock_was_ahead: Annotated[
        bool,
        typer.Option(
            "--clock-was-ahead",
            help="Record from now on though the registry's last event lies in the future: the clock was wrong then.",
        ),
    ] = False,
    otlp: Annotated[
        str | None,
        typer.Option(
            help="host:port of a collector (Jaeger, for one) for this start's spans, by OTLP over gRPC in the clear."
            " Default: $OTEL_EXPORTER_OTLP_ENDPOINT, if any."
        ),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            help="host:port where Prometheus finds this start's metrics, http://host:port/metrics, in the clear: a"
            " loopback address, or one that only your monitoring reaches. Default: none."
        ),
    ] = None,
    envoy_share: Annotated[
        Path | None,
        typer.Option(
            help="Run no Envoy for the first broker: another container or unit does, with the environment that it finds"
            " in this directory, which both see (docs/operations.md). For this start. Default: a child of its own."
        ),
    ] = None,
    nation: Annotated[
        bool,
        typer.Option(
            "--nation",
            help="With members beside it: ministries and a province as processes of their own, with synthetic people."
            " Later starts remember it.",
        ),
    ] = False,
    people: Annotated[
        int | None,
        typer.Option(
            min=FEWEST_PEOPLE, max=MOST_PEOPLE, help=f"With --nation, first time only. Default: {DEFAULT_PEOPLE}."
        ),
    ] = None,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay here until Ctrl-C, then end in order.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Start everything: keys, PostgreSQL, registry, publisher, ledger, broker; made once, found again later."""
    began = time.monotonic()
    with error_lines():
        layout = layout_of(state)
        url = database_url and _address(database_url, _on_command_line(context, "database_url"))
        options = replace(
            _options(url, trust_domain, listen, clock_was_ahead),
            collector=_collector(otlp),
            metrics=_metrics_address(metrics),
            envoy_share=envoy_share and envoy_share.absolute(),
            enrolment=_listen_address("--enrol-listen", enrol_listen),
            nation=nation,
            people=people,
            stays=True,
        )
        with FirstTry(layout) as first:
            verify_state(layout)
        if supervisor_pid(layout) is not None or guardian_pid(layout) is not None:
            raise AlreadyRunning(layout)
        started = Started(layout, options, tethered=foreground)
        if foreground:
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        with Progress(quiet=as_json) as progress, closing(started.follow(lambda: progress.note(_STOPPING))) as steps:
            told = _Teller(as_json, progress, naming("--state", state), began)
            try:
                for what in steps:
                    told(what)
            except KeyboardInterrupt:
                progress.end()
                first.clear()
                typer.echo("govbus: stopped; nothing runs any more", err=True)
                raise typer.Exit(_INTERRUPTED) from None
        if told.failure:
            first.clear()
            raise Unable(told.failure)
        if foreground:
            started.become_guardian()


def down(
    state: StateOption = None,
    wipe: Annotated[
        bool, typer.Option("--wipe", help="Delete the instance afterwards: keys, registry, journals.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --wipe: do not ask.")] = False,
    as_json: JsonOption = False,
) -> None:
    """End everything in order: the broker drains, then the ledger, the publisher, PostgreSQL."""
    with error_lines():
        layout = layout_of(state)
        gone = wipe and not os.path.lexists(layout.state)
        if wipe and not gone:
            if not is_wipeable(layout):
                raise _nothing_to_end(layout)  # never delete what is no instance
            if not yes and not _confirmed(layout):
                raise Unable("nothing was done; answer y, or give --yes")
        elif not gone and layout.facts() is None:
            raise _nothing_to_end(layout)
        with Progress(quiet=as_json, patient=True) as say:
            say("ending everything in order: brokers drain, then ledger, publisher, PostgreSQL")
            with _interrupted(_GOES_ON.format(named=naming("--state", state)) + "; nothing is deleted" * wipe):
                ended = not gone and end_supervisor(layout, _END_SECONDS)
            say("deleting")
            with _interrupted("a part of it is deleted; give the command again"):
                wiped = wipe_instance(layout) if wipe and not gone else None
        if as_json:
            removed = None if wiped is None else asdict(wiped)
            echo_json({"state": str(layout.state), "was_running": ended, "wiped": wipe, "removed": removed})
            return
        typer.echo("ended in order" if ended else "nothing was running")
        if wiped is not None:
            size = f"{wiped.files} files, {wiped.bytes / (1 << 20):.0f} MiB"
            typer.echo(f"deleted {layout.state}: keys, registry, journals, evidence; {size}")
        elif wipe:
            typer.echo(f"there is nothing at {layout.state}")


def _nothing_to_end(layout: Layout) -> Unable:
    return Unable(f"no instance in {layout.state}, so there is nothing to end; name its directory with --state")


@contextlib.contextmanager
def _interrupted(what: str) -> Iterator[None]:
    """Ctrl-C ends the command with the status of one, and a line about what is not undone by it."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo(f"govbus: interrupted; {what}", err=True)
        raise typer.Exit(_INTERRUPTED) from None


class _Teller:
    """Shows what a start tells."""

    def __init__(self, as_json: bool, progress: Progress, named: str, began: float) -> None:
        """`began`: when the command did, monotonic; what its person waits is more than what the supervisor counts."""
        self._as_json, self._progress, self._named, self._began = as_json, progress, named, began
        self.failure = ""

    def __call__(self, what: dict[str, Any]) -> None:
        if "failed" in what:
            self.failure = what["failed"]
        elif "ready" in what:
            self._progress.end()
            with contextlib.suppress(BrokenPipeError):  # nobody reads any more, and the start goes on
                self._ready(what["ready"] | {"seconds": round(time.monotonic() - self._began, 2)})
        elif what["step"].startswith(_LASTING) and not self._as_json:
            self._progress.note(f"  {what['step']}")
        else:
            self._progress(what["step"])

    def _ready(self, facts: dict[str, Any]) -> None:
        if self._as_json:
            echo_json(facts)
            sys.stdout.flush()
            return
        typer.echo(
            f"ready after {facts['seconds']:.1f} s: {facts['broker']} of {facts['trust_domain']} on {facts['address']},"
            f" policy version {facts['policy_version']}, process {facts['pid']}"
        )
        if facts["nation"]:
            self._nation(facts["nation"])
        if facts["waiting"]:
            typer.echo(
                f"govbus: without the registry, by the last policy: {facts['waiting']}; see govbus status", err=True
            )
        sys.stdout.flush()

    def _nation(self, facts: dict[str, Any]) -> None:
        waiting: dict[str, str] = facts["waiting"]
        serving = facts["members"] - len(waiting)
        typer.echo(f"nation: {serving} of {facts['members']} members serve, {facts['people']:,} people")
        for path, why in waiting.items():
            typer.echo(f"govbus: {path} does not serve, {why}; see govbus logs {path}", err=True)
        if not waiting:
            program = "govbus" if shutil.which("govbus") else shlex.quote(sys.argv[0])
            typer.echo("\n".join(["try next:", *(f"  {program} {one}{self._named}" for one in _NEXT)]))


def _options(database_url: str | None, trust_domain: str | None, listen: str | None, clock_was_ahead: bool) -> Options:
    address = _listen_address("--listen", listen)
    return Options(Facts(trust_domain, BROKER) if trust_domain else None, address, database_url, clock_was_ahead)


def _metrics_address(given: str | None) -> Endpoint | None:
    try:
        return parse_endpoint(given) if given else None
    except EndpointError as error:
        raise Unable(f"--metrics: {error}") from error


def _listen_address(option: str, given: str | None) -> Endpoint | None:
    try:
        return parse_endpoint(given) if given else None
    except EndpointError as error:
        raise Unable(f"{option}: {error}") from error


def _collector(otlp: str | None) -> Endpoint | None:
    """What --otlp says, or OpenTelemetry's own variable, which is a URL."""
    named = os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
    if otlp is None and not named:
        return None
    scheme, _, rest = named.rpartition("://")
    if otlp is None and scheme != "http":
        raise Unable(f"OTEL_EXPORTER_OTLP_ENDPOINT is {named!r}; write http://host:port, or unset it")
    try:
        return parse_endpoint(otlp.removeprefix("http://").rstrip("/") if otlp else rest.rstrip("/"))
    except EndpointError as error:
        raise Unable(f"{'--otlp' if otlp else 'OTEL_EXPORTER_OTLP_ENDPOINT'}: {error}") from error


def _on_command_line(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _address(given: str, open_to_all: bool) -> str:
    """The address that is given itself, in a file, or on standard input; a warning for what others can read."""
    if given == "-" or given.startswith("@"):
        found = sys.stdin.readline() if given == "-" else Path(given[1:]).read_text()
        if not found.strip():
            raise Unable("--database-url: there is no address; write postgresql://user@host/dbname")
        return found.strip()
    from bus.engines.postgres_external import names_password  # PostgreSQL's client, which most starts do not need here

    if open_to_all and names_password(given):
        typer.echo(
            "govbus: every user of this machine can read a command line, and there is a password in it; change that,"
            " and give the address by GOVBUS_DATABASE_URL, @FILE or -",
            err=True,
        )
    return given


def _confirmed(layout: Layout) -> bool:
    if not sys.stdin.isatty():
        return False
    text = f"Delete {layout.state} with all keys, the registry and every journal? Evidence in it is gone for ever"
    return typer.confirm(text, err=True)
