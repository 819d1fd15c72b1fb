"""Step 1: an instance is started, its operator registers a nation, every system enrols itself with its token.

Afterwards nobody can read another's keys, and the new signing keys are awaited.
"""

import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509

from bus.demo.nation import LISTENING, MIRROR, MODULES, OTHER_BROKER, PORTAL, SUBSYSTEMS, TAX, founding
from bus.demo.parties import openable
from bus.demo.report import DemoError, Report
from bus.demo.screen import Screen
from bus.demo.world import World
from bus.edge.ports import keep_ports
from bus.exchange.errors import CallError
from bus.nation.clocks import settle_soon
from bus.nation.fence import landlock_version
from bus.registry.enrolment_client import AlreadyEnrolled, enrol
from bus.up.report import State, look
from bus.up.running import now_ms
from pki.files import ensure_private_directory
from pki.signer import FileSigner

__all__ = ["start"]

_LEFT: Final = timedelta(hours=1)
_AFTER_START_MS: Final = 300
_SETTLED_S: Final = 30.0
_LOOK_S: Final = 0.1
_PUBLIC: Final = "policy-key.pem"


def start(world: World, report: Report, screen: Screen) -> None:
    """Start, register, enrol; claim that the ministries run and are apart."""
    with screen.working("govbus up, for the first time") as say:
        ready = world.start_instance(say)
    screen.say(
        f"govbus up: instance {ready['trust_domain']}, ready after {ready['seconds']:.1f} s; PostgreSQL, registry,"
        f" publisher, enrolment and the broker {ready['broker']}, an Envoy with the gate, on {ready['address']}"
    )
    with screen.working("the operator registers members, systems, contracts and grants"):
        _register(world, screen)
        _claim_up(world, report, screen)
    with screen.working("every system enrols with its token; three ministries start with 100,000 synthetic people"):
        _join(world)
    starts_ms = _show_parties(world, report, screen)
    _claim_running(world, report, screen)
    _claim_apart(world, report, screen)
    screen.wait("a new signing key starts 10 s after it was published, so that every gate knows it", starts_ms)
    with screen.working("the second broker starts"):
        world.start_broker(OTHER_BROKER)  # not sooner: its gate's key is certified by its signing key, from now on


def _register(world: World, screen: Screen) -> None:
    ports = keep_ports(world.layout.state, LISTENING)
    changes, files = founding(world.operator.state(), ports, now_ms())
    if changes:
        seconds = world.operator.bring_in_force(changes, "the demonstration's nation", files)
        screen.say(f"the operator registers the nation: {len(changes)} changes, in force after {seconds * 1000:.0f} ms")


def _claim_up(world: World, report: Report, screen: Screen) -> None:
    """What `govbus status` says, once the ledger has come after."""
    until = time.monotonic() + _SETTLED_S
    parts = look(world.layout, now_ms())
    while any(one.state is not State.UP for one in parts) and time.monotonic() < until:
        time.sleep(_LOOK_S)
        parts = look(world.layout, now_ms())
    down = {one.part: str(one.state) for one in parts if one.state is not State.UP}
    screen.claim(report.claim("instance-up", f"all {len(parts)} parts of the instance are up", {}, down))


def _join(world: World) -> None:
    """Whoever has no certificate that lasts gets a token; processes enrol themselves, and so do the clients here."""
    homes = {path: world.home(path) for path in SUBSYSTEMS} | {OTHER_BROKER: world.broker_home(OTHER_BROKER)}
    newcomers = [path for path, home in homes.items() if not _enrolled(home)]
    for home in homes.values():
        ensure_private_directory(home)
    tokens = world.operator.tokens(newcomers, world.authority())
    world.launch_parties(tokens, [*MODULES, MIRROR])
    here = [path for path in (PORTAL, TAX, OTHER_BROKER) if path in tokens]
    with ThreadPoolExecutor(len(here) or 1) as pool:
        joining = [pool.submit(enrol, tokens[path], homes[path], clock_ms=now_ms) for path in here]
    try:
        for one in joining:
            one.result()
        for path in here:
            if path != OTHER_BROKER:
                settle_soon(homes[path])
    except (CallError, AlreadyEnrolled) as error:
        raise DemoError(f"a client could not enrol: {error}") from error
    world.await_parties()


def _enrolled(home: Path) -> bool:
    """Whether it has a certificate for another hour; what is left of an older one is removed."""
    try:
        found = x509.load_pem_x509_certificate((home / "tls" / "chain.pem").read_bytes())
    except FileNotFoundError:
        return False
    if found.not_valid_after_utc - datetime.now(UTC) > _LEFT:
        return True
    for entry in home.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    return False


def _show_parties(world: World, report: Report, screen: Screen) -> int:
    """A table of those who serve; when the last new signing key starts."""
    registered = world.operator.state().keys
    starts = [_AFTER_START_MS]
    for path in (*SUBSYSTEMS, OTHER_BROKER):
        home = world.broker_home(path) if path == OTHER_BROKER else world.home(path)
        key_id = FileSigner.load(home / "signing-key.pem").key_id
        starts.append(registered[key_id].not_before_ms + _AFTER_START_MS)
        if path in MODULES:
            party = world.parties[path]
            pid = party.process.pid if party.process else 0
            report.parties.append({"path": path, "pid": pid, "port": party.port, "signing_key": key_id.hex()})
    screen.table(
        ("ministry's system", "process", "port", "signing key"),
        [(str(one["path"]), str(one["pid"]), str(one["port"]), str(one["signing_key"])[:16]) for one in report.parties],
    )
    return max(starts)


def _claim_running(world: World, report: Report, screen: Screen) -> None:
    processes = [world.parties[path].process for path in MODULES]
    served = sum(process is not None and process.poll() is None for process in processes)
    screen.claim(report.claim("running", "three ministries enrolled by token and serve, each in a process", 3, served))
    keys = {one["signing_key"] for one in report.parties}
    screen.claim(report.claim("keys-differ", "each has a signing key of its own, made behind its fence", 3, len(keys)))


def _claim_apart(world: World, report: Report, screen: Screen) -> None:
    """Directories are their owner's; behind the fence nobody opens what is another's, and everybody what is his."""
    parties = [world.parties[path] for path in MODULES]
    modes = {oct(party.folder.stat().st_mode & 0o777) for party in parties}
    screen.claim(report.claim("directories-private", "each has a directory of its own, mode 0700", {"0o700"}, modes))
    if not landlock_version():
        screen.say(
            "this kernel has no Landlock: one user owns all these files, and only their modes and separate directories"
            " keep the ministries apart here; in production each has its own machine"
        )
        return
    everything = _secrets(world)
    for party in parties:
        found = openable(party, everything)
        wrong = sorted(
            Path(path).name
            for path, said in found.items()
            if (said == "opened") != Path(path).is_relative_to(party.folder)
        )
        refused = sum(not Path(path).is_relative_to(party.folder) for path in found)
        text = (
            f"{party.path} cannot open {refused} keys and database passwords of others (tried: EACCES), and can its own"
        )
        screen.claim(report.claim(f"apart-{party.path}", text, [], wrong))


def _secrets(world: World) -> list[Path]:
    """Every private key of the instance, every password of its databases and of the ministries'."""
    state = world.layout.state
    keys = [path for path in state.rglob("*key.pem") if path.name != _PUBLIC]
    passwords = [path for server in (state, state / "nation") for path in (server / "postgres" / "passwords").iterdir()]
    return sorted([*keys, *passwords, *state.glob("subsystems/*/database")])
