"""Check 7: a full replay table answers OVERLOADED and forgets nobody."""

from pathlib import Path

import yaml

from bus.edge.instance import Instance
from bus.exchange.reasons import Reason
from tests.support.gate_world import World, running_world
from tests.support.gate_world_nation import BROKER, CALLER
from tests.support.raw_client_forge import Request, sign_together

SLOTS = 5 << 10


def smallest_table(instance: Instance) -> None:
    path = instance.broker_home(BROKER) / "broker.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"replay_log2": 10}))


def fill(world: World) -> list[Request]:
    """Take ids without calling anybody until one is not taken; all that were."""
    connection, taken = world.connection(), []
    for _ in range(SLOTS // 1024 + 1):
        unsigned = [Request.unsigned({**world.base, "purpose": "tax.audit"}) for _ in range(1024)]
        signed = sign_together(world.signer(CALLER), unsigned)
        for start in range(0, 1024, 64):
            some = signed[start : start + 64]
            streams = [connection.open(request.headers(), end=True) for request in some]
            reasons = [connection.answer(stream).refusal for stream in streams]
            taken += [one for one, reason in zip(some, reasons, strict=True) if reason == (Reason.NO_GRANT, {})]
            if (Reason.OVERLOADED, {}) in reasons:
                return taken
    raise AssertionError("the table never filled")


def test_full_table_refuses_new_ids_and_remembers_all_old_ones(tmp_path: Path) -> None:
    with running_world(tmp_path / "a state", prepare=smallest_table) as world:
        request = world.request()
        world.answers(request)
        taken = fill(world)
        assert SLOTS * 3 // 4 < len(taken) <= SLOTS
        touched, connection = world.provider.calls, world.connection()
        assert world.send(request).refusal == (Reason.REPLAYED, {})
        for known in taken[:: len(taken) // 100]:
            assert connection.call(known.headers(), known.body).refusal == (Reason.REPLAYED, {})
        fresh = [world.send(world.request()).refusal for _ in range(200)]
        assert (Reason.OVERLOADED, {}) in fresh
        assert world.provider.calls == touched + fresh.count(None)
        world.settle()
