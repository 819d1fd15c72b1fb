"""Policy reaches the gate as a file that it judges itself: whatever it refuses leaves the one in force serving.

Here ECDS is written by hand, behind the back of the broker's control plane, which would never offer such a file.
"""

import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from bus.edge.envoy_config import render_gate
from bus.edge.settings import GateFilter
from bus.edge.snapshot_files import CompiledPolicy, compile_snapshots
from native.snapshot import BROKER_SCOPE
from pki.files import write_atomic
from pki.keys import generate_private_key
from pki.signer import FileSigner, KeySigner, Signer
from tests.support.gate_world import World, eventually, running_world
from tests.support.gate_world_nation import CALLER
from tests.support.raw_client_forge import Request


@pytest.fixture(scope="module")
def handed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("handed") / "a state") as world:
        world.publish()
        yield world
        world.settle()


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def compiled(
    world: World, version: int, *, position: int | None = None, at_ms: int | None = None, signer: Signer | None = None
) -> CompiledPolicy:
    return compile_snapshots(
        world.instance.policy(),
        signer or FileSigner.load(world.instance.state / "policy-signing-key.pem"),
        version=version,
        log_position=version if position is None else position,
        now_ms=now_ms() if at_ms is None else at_ms,
    )


def hand_over(world: World, data: bytes, version: int, *, digest: bytes | None = None, name: str = "handed") -> None:
    """Tell the gate of a file."""
    path = world.broker.config.directory / "envoy" / "snapshots" / f"{name}.bin"
    write_atomic(path, data)
    tell(world, GateFilter(path, version, sha256(data).digest() if digest is None else digest))


def tell(world: World, gate: GateFilter) -> None:
    before = attempts(world)
    write_atomic(world.broker.config.directory / "envoy" / "gate.json", render_gate(gate))
    eventually(lambda: attempts(world) > before)


def attempts(world: World) -> int:
    return sum(world.broker.envoy.admin.stats("extension_config_discovery.*update_(success|rejected)").values())


def served(world: World) -> int:
    """The version by which calls are judged."""
    return world.intent(sent(world)).admission.snapshot_version


def sent(world: World) -> Request:
    request = world.request()
    world.answers(request)
    return request


def next_version(world: World) -> int:
    return world.journal.poll().snapshot_version + 1


def stranger() -> Signer:
    return KeySigner(generate_private_key())


REFUSED: dict[str, Callable[[World, int], bytes]] = {
    "older": lambda w, v: compiled(w, v - 2).snapshots[BROKER_SCOPE],
    "lower log position": lambda w, v: compiled(w, v, position=0).snapshots[BROKER_SCOPE],
    "signed by another key": lambda w, v: compiled(w, v, signer=stranger()).snapshots[BROKER_SCOPE],
    "signed by a member": lambda w, v: compiled(w, v, signer=w.signer(CALLER)).snapshots[BROKER_SCOPE],
    "another reader's part": lambda w, v: compiled(w, v).snapshots[w.spiffe(CALLER)],
    "made in the future": lambda w, v: compiled(w, v, at_ms=now_ms() + 3_600_000).snapshots[BROKER_SCOPE],
    "past its refuse-after": lambda w, v: compiled(w, v, at_ms=now_ms() - 90_000_000).snapshots[BROKER_SCOPE],
    "cut": lambda w, v: compiled(w, v).snapshots[BROKER_SCOPE][:-1],
    "a byte flipped": lambda w, v: flipped(compiled(w, v).snapshots[BROKER_SCOPE]),
    "empty": lambda w, v: b"",
    "rubbish": lambda w, v: b"\xff" * 4096,
}


def flipped(data: bytes) -> bytes:
    at = len(data) - 40
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("case", REFUSED)
def test_policy_that_the_gate_refuses_leaves_the_old_one_in_force(handed: World, case: str) -> None:
    before, version = served(handed), next_version(handed)
    named = version - 2 if case == "older" else version
    hand_over(handed, REFUSED[case](handed, version), named)
    time.sleep(0.1)
    assert served(handed) == before
    assert handed.journal.poll().snapshot_version == before


def test_file_that_differs_from_what_was_told_is_refused(handed: World, tmp_path: Path) -> None:
    before, version = served(handed), next_version(handed)
    good = compiled(handed, version).snapshots[BROKER_SCOPE]
    hand_over(handed, good, version, digest=bytes(32))
    hand_over(handed, good, version + 1)
    tell(handed, GateFilter(tmp_path / "nowhere.bin", version, sha256(good).digest()))
    tell(handed, GateFilter(tmp_path, version, sha256(good).digest()))
    time.sleep(0.1)
    assert served(handed) == before


def test_good_policy_after_bad_ones_is_served_and_its_file_may_go(handed: World) -> None:
    version = next_version(handed)
    hand_over(handed, compiled(handed, version).snapshots[BROKER_SCOPE], version)
    eventually(lambda: served(handed) == version)
    path = handed.broker.config.directory / "envoy" / "snapshots" / "handed.bin"
    path.write_bytes(b"")  # read, not mapped
    path.unlink()
    assert served(handed) == version


def test_configuration_that_is_none_is_refused_by_envoy_and_calls_go_on(handed: World) -> None:
    before = served(handed)
    gate = handed.broker.config.directory / "envoy" / "gate.json"
    good = gate.read_bytes()
    for broken in (b"{", good.replace(b"version=", b"verse="), good.replace(b"digest=", b"digest=00")):
        write_atomic(gate, broken)
        time.sleep(0.1)
        assert served(handed) == before
    write_atomic(gate, good)
