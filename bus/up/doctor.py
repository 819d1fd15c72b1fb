"""What is usually wrong with an instance that does not do what it should; each finding says what to do.

Nothing is changed here, and nothing secret is read: of key files only who may open them is looked at.
"""

import errno
import fcntl
import os
import shutil
import socket
import stat
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from bus.edge.broker_file import load_broker_config
from bus.edge.yaml_reader import YamlFileError
from bus.engines.records import Records
from bus.engines.supervisor import EngineError
from bus.up.clock import clock_fault
from bus.up.control import ask_supervisor
from bus.up.database import registry_head
from bus.up.doctor_evidence import journals, keys, ledger, policy
from bus.up.findings import Finding, Level
from bus.up.layout import Layout
from bus.up.process import supervisor_pid

__all__ = ["Finding", "Level", "clock_step", "examine"]

_CLOCK_MS = 2_000
"""More than this between wall and monotonic clock, and the gate trusts its clock no longer (protocol.md 4, check 4)."""
_CLOCK_SECONDS = 0.5
_LOW_BYTES, _NO_BYTES = 2 << 30, 300 << 20
_SOON = timedelta(days=30)
_TLS_SOON = timedelta(hours=6)
_BUILT = datetime(2026, 1, 1, tzinfo=UTC)


def examine(layout: Layout) -> list[Finding]:
    """Everything, in the order in which to mend it."""
    running = supervisor_pid(layout) is not None
    return [
        *_clock(layout, running),
        *_permissions(layout),
        *_disk(layout),
        *journals(layout),
        *_certificates(layout),
        *keys(layout),
        *policy(layout, running),
        *ledger(layout, running),
        *_ports(layout, running),
        *_leftovers(layout, running),
    ]


def clock_step(seconds: float) -> int:
    """By how many milliseconds the wall clock left the monotonic one while we looked for `seconds`."""
    wall, monotonic = time.time_ns(), time.monotonic_ns()
    time.sleep(seconds)
    return abs((time.time_ns() - wall) - (time.monotonic_ns() - monotonic)) // 1_000_000


def _clock(layout: Layout, running: bool) -> Iterator[Finding]:
    step, now = clock_step(_CLOCK_SECONDS), datetime.now(UTC)
    if step > _CLOCK_MS:
        said = "something sets it hard; let one time service (chrony) slew it"
        yield Finding("clock", Level.WRONG, f"the wall clock jumped by {step} ms while it was looked at", said)
    ahead = max((_age(path, now) for path in _published(layout)), default=timedelta())
    if now < _BUILT or ahead > timedelta(seconds=30):
        behind = f"the clock is {ahead.total_seconds():.0f} s behind what this instance wrote last"
        said = "set the right time (timedatectl); until then the gate and the registry refuse"
        yield Finding("clock", Level.WRONG, behind if now >= _BUILT else f"the clock says {now:%Y}", said)
    elif running and (fault := _registry_clock(layout)):
        yield Finding("clock", Level.WRONG, f"the registry records nothing: {fault[0]}", fault[1])
    elif step <= _CLOCK_MS:
        yield Finding("clock", Level.OK, "wall and monotonic clock agree; nothing was written in the future")


def _registry_clock(layout: Layout) -> tuple[str, str] | None:
    try:
        last_ms = registry_head(layout)[1]
    except EngineError:  # it does not answer; that is told elsewhere
        last_ms = None
    return clock_fault(ask_supervisor(layout) or {}, last_ms)


def _age(path: Path, now: datetime) -> timedelta:
    """How far in the future `path` was written."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC) - now


def _published(layout: Layout) -> list[Path]:
    return [path for path in (layout.state / "snapshots" / "published.json",) if path.exists()]


def _permissions(layout: Layout) -> Iterator[Finding]:
    """pki.files' rule 2, over everything that it guards."""
    wrong = False
    for path in (layout.state, *_private(layout)):
        found = path.lstat()
        wanted = "700" if stat.S_ISDIR(found.st_mode) else "600"
        if stat.S_ISLNK(found.st_mode):
            said = "put the file itself there"
            text = f"{path} is a symbolic link"
        elif found.st_mode & 0o077:
            said = f"chmod {wanted} '{path}', and if strangers could have read it, replace the keys in it"
            text = f"{path} is open to group or others (mode {stat.S_IMODE(found.st_mode):o})"
        elif found.st_uid not in (os.geteuid(), 0):
            said = "run as that user, or chown it"
            text = f"{path} belongs to user id {found.st_uid}"
        else:
            continue
        wrong = True
        yield Finding("permissions", Level.WRONG, text, said)
    if not wrong:
        yield Finding("permissions", Level.OK, "keys and their directories are this user's alone")


def _private(layout: Layout) -> Iterator[Path]:
    for name in (
        "authority",
        "brokers",
        "subsystems",
        "snapshots",
        "supervisor",
        "postgres/passwords",
        "ledger-writer",
    ):
        directory = layout.state / name
        if directory.is_dir():
            yield directory
            if name in ("brokers", "subsystems"):
                yield from (one for one in directory.iterdir() if one.is_dir())
    for path in sorted(layout.state.rglob("*key.pem")):
        if path.name != "policy-key.pem" and "data" not in path.relative_to(layout.state).parts:
            yield path
    yield from (path for path in (layout.state / "postgres" / "passwords").glob("*"))
    for path in (layout.database_url, layout.ledger_writer / "salt-key", layout.ledger / "head"):
        if path.exists():
            yield path


def _disk(layout: Layout) -> Iterator[Finding]:
    found = shutil.disk_usage(layout.state)
    text = f"{found.free >> 20} MiB are free under {layout.state}"
    if found.free < _NO_BYTES:
        yield Finding(
            "disk", Level.WRONG, text, "free some now: without room for its journal the broker refuses all calls"
        )
    elif found.free < _LOW_BYTES:
        yield Finding("disk", Level.WARNING, text, "free some: journals and the registry only grow")
    else:
        yield Finding("disk", Level.OK, text)


def _certificates(layout: Layout) -> Iterator[Finding]:
    paths, authority = layout.broker_paths(layout.expect()), layout.state / "authority"
    renewed = "the running supervisor renews it; if it runs: govbus logs supervisor, else: govbus up"
    for what, path, soon, said in (
        ("the root", authority / "root.pem", _SOON, "found a new root in time: every member pins it"),
        ("the issuing CA", authority / "issuing.pem", _SOON, "make a new issuing CA with the root's key"),
        *(
            (f"the certificate of {one}", layout.broker_home(one) / "tls" / "chain.pem", _TLS_SOON, renewed)
            for one in paths
        ),
    ):
        try:
            ends = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
        except (OSError, ValueError) as error:
            text = f"{path} cannot be read ({type(error).__name__})"
            yield Finding("certificates", Level.WRONG, text, "restore it from a backup, or start again: govbus up")
            continue
        left, text = ends - datetime.now(UTC), f"{what} ends {ends:%Y-%m-%dT%H:%M:%SZ}"
        if left < timedelta():
            yield Finding("certificates", Level.WRONG, f"{text}: it is over", said)
        elif left < soon:
            yield Finding("certificates", Level.WARNING, text, said)
        else:
            yield Finding("certificates", Level.OK, text)


def _ports(layout: Layout, running: bool) -> Iterator[Finding]:
    for path in layout.broker_paths(layout.expect()):
        yield _port(layout.broker_home(path), running)


def _port(home: Path, running: bool) -> Finding:
    try:
        listen = load_broker_config(home).listen
    except (OSError, YamlFileError) as error:
        return Finding("ports", Level.WARNING, f"broker.yaml cannot be read: {error}", "a start makes it: govbus up")
    taken = _taken(listen.host, listen.port)
    if taken is None or taken == running:
        return Finding("ports", Level.OK, f"{listen} is {'served by the broker' if running else 'free'}")
    if taken:
        said = f"end the process that holds it (ss -ltnp 'sport = :{listen.port}')"
        return Finding("ports", Level.WRONG, f"{listen} is taken, and this instance does not run", said)
    return Finding("ports", Level.WRONG, f"nobody listens on {listen}", "why: govbus status, govbus logs broker")


def _taken(host: str, port: int) -> bool | None:
    """Whether somebody listens there; None when that cannot be said from here."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        return None
    with socket.socket(family, kind) as probe:
        try:
            probe.bind(address)
        except OSError as error:
            return True if error.errno == errno.EADDRINUSE else None
    return False


def _leftovers(layout: Layout, running: bool) -> Iterator[Finding]:
    """What a killed process leaves is cleared by the next start; what is not, is told."""
    notes = [layout.supervisor, layout.state / "postgres", *_envoys(layout)]
    left = Records(layout.engines).pids() if not running else {}
    stale = [note for one in notes if (note := one / "run-directory").exists()] if not running and not left else []
    engines = [one for one in (layout.state / "postgres", *_envoys(layout)) if not running and _locked(one / "lock")]
    for one in engines:
        said = "wait some seconds; if it stays, another process holds this directory (fuser -v it)"
        yield Finding("leftovers", Level.WRONG, f"{one / 'lock'} is held though no supervisor runs", said)
    if stale:
        text = "the last supervisor did not end in order; its sockets are still noted"
        yield Finding("leftovers", Level.WARNING, text, "nothing is lost: the next start clears them (govbus up)")
    if left:
        text = f"{len(left)} processes go on without a supervisor: {', '.join(left)}"
        yield Finding("leftovers", Level.WARNING, text, "govbus up goes on with them, govbus down ends them")
    if not stale and not engines and not left:
        yield Finding("leftovers", Level.OK, "no stale locks or sockets")


def _envoys(layout: Layout) -> list[Path]:
    return sorted((layout.state / "brokers").glob("*/envoy"))


def _locked(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
