"""One instance for every test of those who join from elsewhere: a newcomer, a second broker, and some who are revoked.

All enrol before the one wait for their signing keys.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from vn.administrative.v1 import administrative_pb2_grpc as rpc  # noqa: F401 - its contract is registered

from bus.edge.ports import keep_ports
from bus.engines.postgres_database import Database
from bus.registry.grants import GrantMade
from bus.registry.members import MemberAdded
from bus.registry.refusal import Refusal
from bus.registry.service_run import REGISTRY_PATH
from bus.registry.services import ServiceOffered
from bus.registry.subsystems import EndpointsSet, SubsystemAdded
from pki.credentials import Credentials
from pki.succession import add_issuer
from tests.integration.world import BROKER, nation
from tests.support.joined import Joined, joined
from tests.support.registered import now_ms

__all__ = ["HOUR", "LIST", "NEWCOMER", "READ", "SECOND", "UNITS_SERVICE", "VICTIMS", "Elsewhere", "elsewhere"]

NEWCOMER = "gov/moh/vaccination"
SECOND = "gov/ndc/broker-2"
VICTIMS = ("gov/moh/certificate", "gov/moh/key", "gov/moh/subsystem", "gov/moh/issuer")
"""One for each thing that is revoked; the last one's certificate is of an issuing CA of its own."""
READ = "registry.use"
UNITS_SERVICE = "vn.administrative.v1.AdministrativeUnitService"
LIST = "/govbus.registry.v1.DirectoryService/ListMembers"
SETTLE_MS = 1_000
HOUR = 3_600_000


@dataclass
class Elsewhere:
    """What a test talks to."""

    joined: Joined
    newcomer: Credentials
    home: Path
    """The newcomer's, outside the state directory."""
    broker_home: Path
    broker_address: str
    victims: dict[str, Path]


@contextmanager
def elsewhere(base: Path, database: Database) -> Iterator[Elsewhere]:
    """Everything but PostgreSQL is gone afterwards."""
    with joined(base / "a state", database, nation(), BROKER) as running:
        ports = keep_ports(running.instance.state, [NEWCOMER, SECOND])
        running.record(
            MemberAdded("gov", "moh", "Bộ Y tế", "Ministry of Health"),
            SubsystemAdded(NEWCOMER),
            EndpointsSet(NEWCOMER, (f"127.0.0.1:{ports[NEWCOMER]}",)),
            ServiceOffered(NEWCOMER, UNITS_SERVICE),
            SubsystemAdded(SECOND, is_broker=True),
            *map(SubsystemAdded, VICTIMS),
            *(_reads(path) for path in (NEWCOMER, *VICTIMS)),
        )
        with pytest.raises(Refusal, match="endpoints"):  # a broker without an address
            running.enrol(SECOND, base / "nowhere")
        running.record(EndpointsSet(SECOND, (f"127.0.0.1:{ports[SECOND]}",)))
        away = base / "another machine"
        homes = {path: away / path.replace("/", ".") for path in (NEWCOMER, SECOND, *VICTIMS)}
        enrolled = {path: running.enrol(path, homes[path]) for path in (NEWCOMER, SECOND, *VICTIMS[:-1])}
        add_issuer(running.instance.state, running.instance.trust_domain, now=datetime.now(UTC))
        enrolled[VICTIMS[-1]] = running.enrol(VICTIMS[-1], homes[VICTIMS[-1]])
        add_issuer(running.instance.state, running.instance.trust_domain, now=datetime.now(UTC))
        _settle_soon(homes[NEWCOMER])
        for one in enrolled.values():
            running.wait_key(one.signer.key_id)
        yield Elsewhere(
            running,
            enrolled[NEWCOMER],
            homes[NEWCOMER],
            homes[SECOND],
            f"127.0.0.1:{ports[SECOND]}",
            {path: homes[path] for path in VICTIMS},
        )


def _reads(path: str) -> GrantMade:
    return GrantMade(f"read-{path.replace('/', '-')}", path, REGISTRY_PATH, (LIST,), (READ,), now_ms(), now_ms() + HOUR)


def _settle_soon(home: Path) -> None:
    """Clocks do not differ here: let new keys be used soon."""
    config = home / "config.yaml"
    text = config.read_text()
    assert "  snapshot: true\n" in text
    config.write_text(text.replace("  snapshot: true\n", f"  snapshot: true\n  settle_ms: {SETTLE_MS}\n"))
