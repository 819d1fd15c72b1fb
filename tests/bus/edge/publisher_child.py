"""A publisher in a process of its own, to be killed: publishes version after version, and says each when it is done."""

import sys
from pathlib import Path

from bus.edge.publisher import Publisher
from bus.engines.postgres_database import Database
from bus.registry.registry import Registry
from bus.registry.store import EventStore
from bus.registry.subsystems import SubsystemResumed, SubsystemSuspended
from pki.signer import FileSigner
from tests.support.registered import ACT, now_ms


def main(state: Path, dsn: str, subsystem: str) -> None:
    registry = Registry(EventStore(Database("child", dsn)), now_ms)
    publisher = Publisher(state, registry, FileSigner.load(state / "policy-signing-key.pem"), now_ms)
    suspended = registry.state().subsystems[subsystem].suspended_ms is not None
    while True:
        registry.record([SubsystemResumed(subsystem) if suspended else SubsystemSuspended(subsystem)], ACT)
        suspended = not suspended
        published = publisher.publish()
        assert published is not None
        print(published.version, flush=True)


main(Path(sys.argv[1]), sys.stdin.readline().strip(), sys.argv[2])
