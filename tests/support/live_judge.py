"""What must hold once everything has ended, however it was killed: the journal, the ledger and the registry, against
what clients and operators were told.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

from bus.edge.broker_file import load_broker_config
from bus.ledger.entry import EntryKind, ledger_entry
from bus.ledger.keys import load_or_create_signer
from bus.ledger.sequencer import Sequencer
from bus.ledger.storage import TileFiles
from bus.ledger.tree import audited
from bus.registry.event import Event
from bus.registry.registry import Registry
from bus.up.layout import Layout, ledger_origin
from native.journal_records import Intent, Outcome, RefusedRequest
from tests.support.gate_world_journal import entries_of, verify_journal
from tests.support.live import BROKER
from tests.support.live_load import Load

__all__ = ["judge_journal", "judge_ledger", "judge_registry"]


def judge_journal(layout: Layout, load: Load) -> int:
    """The journal is whole, admitted no id twice, gave every intent one outcome, and has every receipt that the client
    got; how many intents it has. No call is on its way, and since the last kill the broker was started and ended."""
    intents, outcomes = verify_journal(load_broker_config(layout.broker_home(BROKER)).journal)
    recorded = {entry.receipt_bytes for entry in outcomes}
    told = [evidence.receipt for evidence in load.evidence if evidence.receipt]
    assert len(told) >= len(load.answered)
    assert [receipt for receipt in told if receipt not in recorded] == []
    return len(intents)


def judge_ledger(layout: Layout, checkpoints: Sequence[bytes]) -> int:
    """The log is whole, grew out of every checkpoint that was ever published, and has every record of the journal in
    its order, once; how many entries it has. Nothing runs."""
    signer = load_or_create_signer(layout.ledger_writer / "signing-key.pem", ledger_origin(layout.expect()))
    with Sequencer(layout.ledger, signer, known=checkpoints) as sequencer:
        size = sequencer.audit()
    logged = list(chain.from_iterable(audited(size, TileFiles(layout.ledger).tile)))
    journal = list(_journaled(layout))
    wanted = set(journal)
    assert [entry for entry in logged if entry in wanted] == journal
    return size


def _journaled(layout: Layout) -> Iterator[bytes]:
    for entry in entries_of(load_broker_config(layout.broker_home(BROKER)).journal):
        match entry:
            case Intent():
                yield ledger_entry(EntryKind.INTENT, entry.admission_bytes)
            case Outcome():
                yield ledger_entry(EntryKind.OUTCOME, entry.receipt_bytes)
            case RefusedRequest():
                yield ledger_entry(EntryKind.REFUSAL, entry.refusal_bytes)


def judge_registry(registry: Registry, acknowledged: Sequence[Event]) -> int:
    """The chain is whole and has everything that was acknowledged, where it was said to be; its length."""
    found = {event.position: event for event in registry.history()}
    assert [event for event in acknowledged if found.get(event.position) != event] == []
    return len(found)
