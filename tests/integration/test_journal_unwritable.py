"""Nothing is admitted that cannot be recorded, nothing is released whose outcome is not: full or failing disks.

The disk is the real one; the kernel's limit on file sizes (RLIMIT_FSIZE), changed under the gate, makes it refuse.
"""

import resource
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bus.edge.instance import Instance
from bus.engines.broker import Broker
from bus.exchange.reasons import Reason
from native.digest import frame
from native.journal import JournalWriter
from pki.files import ensure_private_directory
from pki.gatekey import make_gate_key
from pki.signer import FileSigner
from tests.support.gate_world import World, eventually, running_world, verify_refusal
from tests.support.gate_world_nation import BROKER, WATCH
from tests.support.raw_client_forge import Request
from tests.support.raw_provider import ProviderStream
from tests.support.raw_provider_answers import OPENING, honest, until, waiting

UNKNOWN = 4
SEGMENT = 128 * 1024
ROOM = 16 << 20
"""Less than the gate's segments of 64 MiB."""


def begin_small_journal(instance: Instance) -> None:
    """A journal whose first segment is small, as another process with other settings would have left it."""
    home = instance.broker_home(BROKER)
    identity = instance.subsystem_id(BROKER)
    made = make_gate_key(identity, FileSigner.load(home / "signing-key.pem"), now=datetime.now(UTC))
    journal = ensure_private_directory(home / "journal")
    JournalWriter(
        str(journal),
        identity.spiffe_id,
        made.private_key_der,
        made.gate_key,
        made.signature,
        segment_bytes=SEGMENT,
    ).close()
    for reserve in journal.glob("reserve-*.seg"):
        reserve.unlink()


class LimitedBroker(Broker):
    """Started under a limit on file sizes, which its Envoy inherits."""

    def start(self, timeout: float = 20.0) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, hard))
        try:
            super().start(timeout)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def set_limit(world: World, size: int | None) -> None:
    """From now on the gate can write files up to `size`; None: as large as it likes."""
    pid = world.broker.envoy.supervisor.pid
    assert pid is not None
    _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if size is None else size, hard))


@contextmanager
def world_of(state: Path, **how: object) -> Iterator[World]:
    with running_world(state / "a state", **how) as world:  # type: ignore[arg-type]  # names of running_world
        yield world


def test_full_disk_admits_nothing_finishes_what_runs_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with world_of(tmp_path, prepare=begin_small_journal, make_broker=LimitedBroker) as world:
        go = threading.Event()
        begun = threading.Event()

        running = world.request()
        world.provider.behaviour = waiting(begun, go)
        connection = world.connect()
        number = connection.open(running.headers())
        connection.send(number, running.body, end=True)
        assert begun.wait(5)
        go_on(world)

        for _ in range(500):
            request = world.request()
            answer = world.send(request)
            if answer.code != 0:
                break
        verify_refusal(answer, Reason.JOURNAL_UNAVAILABLE, {})
        assert not world.journal.poll().intents_of(request.id)
        touched, last = world.provider.calls, len(world.journal.poll().intents)
        for _ in range(20):
            verify_refusal(world.send(world.request()), Reason.JOURNAL_UNAVAILABLE, {})
        assert (world.provider.calls, len(world.journal.poll().intents)) == (touched, last)

        go.set()
        assert connection.answer(number).code == 0, "an outcome's room was promised with its intent"
        connection.close()
        assert world.outcome(running).receipt.outcome == 1

        set_limit(world, None)
        eventually(lambda: world.send(world.request()).code == 0 and len(segments(world)) > 1, seconds=60)
        world.settle()
        eventually(lambda: world.answers(world.request()) and len(segments(world)) > 1, seconds=30)


def segments(world: World) -> list[Path]:
    return list(world.broker.config.journal.glob("journal-*.seg"))


def admits_nothing(world: World) -> Request:
    """A request that is refused although nothing, not even the refusal, can be recorded."""
    request, touched = world.request(), world.provider.calls
    verify_refusal(world.send(request), Reason.JOURNAL_UNAVAILABLE, {})
    assert world.provider.calls == touched
    return request


def go_on(world: World) -> None:
    world.provider.behaviour = honest


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One world whose disk fails again and again; each time a restart heals it."""
    with world_of(tmp_path_factory.mktemp("failing")) as world:
        yield world
        eventually(lambda: world.journal.poll().settled())
        world.settle()


def restart(world: World) -> None:
    world.kill()
    go_on(world)
    world.answers(world.request())


def test_write_that_fails_admits_nothing_until_a_restart(failing: World) -> None:
    failing.answers(failing.request())
    set_limit(failing, 0)
    lost = admits_nothing(failing)
    set_limit(failing, None)
    for _ in range(3):  # after a failed write nobody knows what the disk holds
        admits_nothing(failing)
    restart(failing)
    assert not failing.journal.poll().intents_of(lost.id)


def test_answer_whose_outcome_cannot_be_recorded_is_withheld(failing: World) -> None:
    begun, go = threading.Event(), threading.Event()

    failing.provider.behaviour = waiting(begun, go)
    request, connection = failing.request(), failing.connect()
    number = connection.open(request.headers())
    connection.send(number, request.body, end=True)
    assert begun.wait(5)
    set_limit(failing, 0)
    go.set()
    answer = connection.answer(number)
    connection.close()
    verify_refusal(answer, Reason.OUTCOME_UNRECORDED, {})
    assert answer.code == 15
    assert not any(key.startswith("govbus-") for key in answer.keys)
    restart(failing)
    assert failing.outcome(request).receipt.outcome == UNKNOWN
    failing.refuses(request, Reason.REPLAYED)


def test_stream_whose_outcome_cannot_be_recorded_is_not_sealed(failing: World) -> None:
    begun, go = threading.Event(), threading.Event()
    message = frame(b"\x0a\x02hi")

    async def waits(stream: ProviderStream) -> None:
        await stream.send_headers(list(OPENING))
        await stream.send_data(message)
        begun.set()
        await until(go)
        await stream.send_headers(stream.draft.but(body=message).trailers(), end=True)

    failing.provider.behaviour = waits
    request, connection = failing.request(method=WATCH), failing.connect()
    number = connection.open(request.headers())
    connection.send(number, request.body, end=True)
    assert begun.wait(5)
    connection.wait_data(number, len(message))
    set_limit(failing, 0)
    go.set()
    answer = connection.answer(number)
    connection.close()
    assert answer.reset is not None
    assert (answer.data, answer.trailers) == (message, [])
    restart(failing)
    assert failing.outcome(request).receipt.outcome == UNKNOWN
