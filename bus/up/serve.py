"""The supervisor's main: start everything, wait for a signal, end everything.

    python -m bus.up.serve [GUARDIAN-PIDFD RESTARTS]

It gets its options as JSON on stdin and tells on stdout, a JSON object a line: `{"step": ...}` as it goes, then
`{"ready": {...}}` or `{"failed": ...}`. After that nobody needs to listen. Its guardian is bus.up.guardian; without one
it ends with whoever started it. Exit status: 0 ended in order, 1 not started, 3 another one has the instance.
"""

import contextlib
import json
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bus.exchange  # noqa: F401 (before gRPC is imported by anything: it leaves it TLS 1.3 only)
from bus.edge.endpoint import parse_endpoint
from bus.engines.logs import RotatingLog
from bus.engines.postgres_environment import take_variables
from bus.exchange import export_telemetry
from bus.exchange.config import ConfigError
from bus.up.guarded import Guarded
from bus.up.guardian import ELSEWHERE
from bus.up.layout import Facts, Layout
from bus.up.metrics import InstanceMetrics
from bus.up.process import AlreadyRunning
from bus.up.running import FAILURES, Options, Running
from native.policy import PolicyError
from pki.files import ensure_private_directory
from pki.identity import IdentityError

__all__ = ["supervise"]

_LOG = logging.getLogger("bus.up.serve")  # also when this is __main__
_SIGNALS = {signal.SIGINT, signal.SIGTERM}
_TICK_SECONDS = 0.5
_PARTS = {"bus.edge.publisher": "publisher", "bus.edge.publisher_homes": "publisher", "bus.engines.broker": "broker"}


class _LogHandler(logging.Handler):
    """Into supervisor.log, each line with the part that says it."""

    def __init__(self, target: RotatingLog) -> None:
        super().__init__()
        self._target = target

    def emit(self, record: logging.LogRecord) -> None:
        """Add one line."""
        part = _PARTS.get(record.name, "supervisor")
        with contextlib.suppress(OSError):  # a full disk must not stop the supervisor
            self._target.line(f"{part}: {record.levelname.lower()}: {record.getMessage()}")


def supervise(layout: Layout, options: Options, guarded: Guarded, tell: Callable[[dict[str, Any]], None]) -> int:
    """Run until SIGINT or SIGTERM; the exit status. Called in the main thread."""
    # Blocked before any thread starts: the signals wait for sigtimedwait below, whoever gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    take_variables()
    began = time.monotonic()
    with contextlib.ExitStack() as log:
        handler: _LogHandler | None = None

        def say(step: str) -> None:
            nonlocal handler
            if handler is None:
                handler = _log_to(layout, log)
            _LOG.info("%s", step)
            tell({"step": step})

        try:
            if options.collector is not None:
                os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://{options.collector}"
            measured = InstanceMetrics(layout)
            scrape = None if options.metrics is None else (options.metrics.host, options.metrics.port)
            log.enter_context(export_telemetry("govbus-registry", scrape=scrape, further=measured.collect))
            with Running(layout, options, say, guarded.tell) as running:
                measured.follow(running)
                seconds = time.monotonic() - began
                _LOG.info("ready after %.1f s", seconds)
                guarded.want()
                tell({"ready": _ready(running, seconds)})
                while signal.sigtimedwait(_SIGNALS, _TICK_SECONDS) is None:
                    _look_after(guarded)
                    running.tick()
                guarded.release()
        except (*FAILURES, PolicyError, IdentityError, ConfigError) as error:
            text = _one_line(error)
            _LOG.error("not started: %s", text)
            tell({"failed": text})
            return ELSEWHERE if isinstance(error, AlreadyRunning) else 1
        _LOG.info("ended in order")
    return 0


def _look_after(guarded: Guarded) -> None:
    try:
        guarded.tick(_LOG.warning)
    except OSError as error:
        _LOG.warning("no guardian can be started (%s); tried again", error.strerror)


def _one_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename:
        return f"{error.strerror or error}: {error.filename}"
    return str(error)


def _ready(running: Running, seconds: float) -> dict[str, Any]:
    return {
        "pid": os.getpid(),
        "seconds": round(seconds, 2),
        "trust_domain": running.facts.trust_domain,
        "broker": running.facts.broker,
        "address": running.address,
        "policy_version": running.version,
        "state": str(running.layout.state),
        "waiting": running.waiting,
        "nation": running.nation.summary() if running.nation else None,
    }


def _log_to(layout: Layout, stack: contextlib.ExitStack) -> _LogHandler:
    """From the first step on: before it, it is not known that the directory is ours to write in."""
    ensure_private_directory(layout.supervisor)
    target = RotatingLog(layout.log)
    handler = _LogHandler(target)
    root = logging.getLogger()
    root.addHandler(handler)
    logging.getLogger("bus").setLevel(logging.INFO)
    stack.callback(root.removeHandler, handler)
    return handler


def _main() -> None:
    given = json.load(sys.stdin)
    facts, listen = given["facts"], given["listen"]
    options = Options(
        Facts(**facts) if facts else None,
        parse_endpoint(listen) if listen else None,
        given["database_url"],
        given["clock_was_ahead"],
        parse_endpoint(given["collector"]) if given["collector"] else None,
        given["nation"],
        given["people"],
        parse_endpoint(given["metrics"]) if given["metrics"] else None,
        parse_endpoint(given["enrolment"]) if given["enrolment"] else None,
        Path(given["envoy_share"]) if given["envoy_share"] else None,
        given["stays"],
    )

    layout, numbers = Layout(Path(given["state"])), sys.argv[1:]
    watched, restarts = numbers or ("-", "0")
    guarded = Guarded(layout, options, None if watched == "-" else int(watched), int(restarts))

    def tell(what: dict[str, Any]) -> None:
        with contextlib.suppress(OSError):  # nobody listens any more
            os.write(sys.stdout.fileno(), json.dumps(what).encode() + b"\n")
            if "ready" in what:
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, sys.stdout.fileno())
                os.close(null)

    try:
        status = supervise(layout, options, guarded, tell)
    except Exception as error:
        traceback.print_exc()  # into the log's file
        tell({"failed": f"{type(error).__name__}: {error}; this is a fault of govbus, see {given['state']}/supervisor"})
        raise SystemExit(1) from error
    raise SystemExit(status)


if __name__ == "__main__":
    _main()
