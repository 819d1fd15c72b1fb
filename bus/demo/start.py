"""Step 1: everything is started, and nobody can read another's keys."""

from pathlib import Path

from bus.demo.fence import landlock_version
from bus.demo.nation import BROKER, MODULES
from bus.demo.parties import openable
from bus.demo.report import Report
from bus.demo.screen import Screen
from bus.demo.world import World
from pki.signer import FileSigner

__all__ = ["start"]


def start(world: World, report: Report, screen: Screen) -> None:
    """Start the broker and the three ministries; claim that they run and are apart."""
    with screen.working("starting Envoy with the gate, and three ministries with 10,000 synthetic people"):
        broker = world.start_broker()
        world.start_parties(list(MODULES))
    policy = world.instance.policy().tables
    screen.say(
        f"instance {world.instance.trust_domain}: {len(policy.subsystems)} subsystems, {len(policy.grants)} grants,"
        f" policy version {world.instance.version}, signed"
    )
    screen.say(
        f"broker {BROKER}: Envoy, process {broker.envoy.supervisor.pid}, mutual TLS 1.3 on {broker.config.listen}"
    )
    keys = {}
    for party in world.parties.values():
        key = keys[party.path] = FileSigner.load(party.folder / "identity" / "signing-key.pem").key_id.hex()
        pid = party.process.pid if party.process else 0
        report.parties.append({"path": party.path, "pid": pid, "port": party.port, "signing_key": key})
    screen.table(
        ("ministry's system", "process", "port", "signing key"),
        [(str(one["path"]), str(one["pid"]), str(one["port"]), str(one["signing_key"])[:16]) for one in report.parties],
    )
    served = [party for party in world.parties.values() if party.process is not None and party.process.poll() is None]
    screen.claim(report.claim("running", "three processes serve, each on a port of its own", 3, len(served)))
    screen.claim(report.claim("keys-differ", "each has a signing key of its own", 3, len(set(keys.values()))))
    _claim_apart(world, report, screen)


def _claim_apart(world: World, report: Report, screen: Screen) -> None:
    """Directories are their owner's; behind the fence nobody opens what is another's, and everybody what is his."""
    modes = {oct(party.folder.stat().st_mode & 0o777) for party in world.parties.values()}
    screen.claim(report.claim("directories-private", "each has a directory of its own, mode 0700", {"0o700"}, modes))
    if not landlock_version():
        screen.say(
            "this kernel has no Landlock: one user owns all these files, and only their modes and separate directories"
            " keep the ministries apart here; in production each has its own machine"
        )
        return
    everything = _instance_secrets(world) + [file for party in world.parties.values() for file in party.secrets()]
    for party in world.parties.values():
        found = openable(party, everything)
        own = set(map(str, party.secrets()))
        wrong = sorted(Path(path).name for path, said in found.items() if (said == "opened") != (path in own))
        refused = sum(path not in own for path in found)
        text = f"{party.path} cannot open {refused} key and database files of others (tried: EACCES), and can its own"
        screen.claim(report.claim(f"apart-{party.path}", text, [], wrong))


def _instance_secrets(world: World) -> list[Path]:
    return sorted(
        file
        for file in world.instance.state.rglob("*.pem")
        if file.name.endswith("key.pem") and file.name != "policy-key.pem"
    )
