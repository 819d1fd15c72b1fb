"""The demonstration's journals in a ledger, made after the fact: an operator's ledger follows them all the time."""

import time
from pathlib import Path

from bus.demo.nation import BROKER, OTHER_BROKER
from bus.demo.report import DemoError
from bus.demo.world import World
from bus.exchange.trust import SnapshotFile, load_policy_key
from bus.ledger.journal_source import JournalSource
from bus.ledger.keys import load_or_create_signer
from bus.ledger.ledger import Ledger
from bus.ledger.sequencer import Sequencer

__all__ = ["integrate"]


def integrate(world: World, folder: Path) -> Path:
    """A ledger of all that the brokers journaled, in `folder`; its directory."""
    instance = world.instance
    signer = load_or_create_signer(folder / "ledger-key.pem", f"{instance.trust_domain}/ledger")
    policy_key = load_policy_key(instance.state / "policy-key.pem")
    sources = []
    for path in (BROKER, OTHER_BROKER):
        snapshot = instance.broker_home(path) / "snapshot.bin"
        keys = SnapshotFile(snapshot, policy_key, instance.trust_domain, "broker").load().key
        broker = instance.subsystem_id(path).spiffe_id
        sources.append(JournalSource(world.journal(path), broker, keys, time.monotonic))
    with (
        Sequencer(folder / "ledger", signer) as sequencer,
        Ledger(sequencer, sources, lambda: time.monotonic_ns() // 1_000_000) as ledger,
    ):
        while ledger.round() or ledger.status().lag_ms is None:
            for name, source in ledger.status().sources.items():
                if source.error:
                    raise DemoError(f"{name} is not in the ledger: {source.error}")
    return folder / "ledger"
