"""What must hold once everything has ended, however it was killed: the journal, the ledger and the registry, against
what clients were told.
"""

from bus.edge.broker_file import load_broker_config
from bus.up.layout import Layout
from tests.support.gate_world_journal import verify_journal
from tests.support.live import BROKER
from tests.support.live_load import Load

__all__ = ["judge_journal"]


def judge_journal(layout: Layout, load: Load) -> int:
    """The journal is whole, admitted no id twice, gave every intent one outcome, and has every receipt that the client
    got; how many intents it has. No call is on its way, and since the last kill the broker was started and ended."""
    intents, outcomes = verify_journal(load_broker_config(layout.broker_home(BROKER)).journal)
    recorded = {entry.receipt_bytes for entry in outcomes}
    told = [evidence.receipt for evidence in load.evidence if evidence.receipt]
    assert len(told) >= len(load.answered)
    assert [receipt for receipt in told if receipt not in recorded] == []
    return len(intents)
