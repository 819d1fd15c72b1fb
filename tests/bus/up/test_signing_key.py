"""The signing keys of the instance's own parts: replaced before they end, never before everybody knows the new one."""

import os
from pathlib import Path

from bus.engines.postgres_database import Database
from bus.registry.fold import Act
from bus.registry.keys import SigningKeyAdded, SigningKeyRevoked
from bus.registry.members import InstanceFounded, MemberAdded
from bus.registry.registry import Registry
from bus.registry.store import EventStore
from bus.registry.subsystems import SubsystemAdded
from bus.up.signing_key import SIGNING_KEY, Step, rotate_signing_key, signing_key_end
from pki.signer import FileSigner

PATH = "gov/ndc/broker-1"
DAY_MS = 86_400_000
NOW_MS = 1_800_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now_ms = NOW_MS

    def __call__(self) -> int:
        return self.now_ms


def found(registry: Registry, home: Path, end_ms: int) -> FileSigner:
    home.mkdir(mode=0o700)
    signer = FileSigner.load_or_create(home / SIGNING_KEY)
    registry.record(
        [
            InstanceFounded("bus.test.example"),
            MemberAdded("gov", "ndc", "a", "b"),
            SubsystemAdded(PATH, is_broker=True),
            SigningKeyAdded(PATH, signer.key_id, signer.public_point, NOW_MS - 1, end_ms),
        ],
        Act("ops:test", "founded"),
    )
    return signer


def test_key_is_replaced_a_month_before_its_end_and_both_count_meanwhile(database: Database, tmp_path: Path) -> None:
    clock, home = Clock(), tmp_path / "home"
    with EventStore(database) as store:
        registry = Registry(store, clock)
        former = found(registry, home, NOW_MS + 60 * DAY_MS)
        assert rotate_signing_key(home, PATH, registry, clock) is Step.NOTHING
        clock.now_ms += 31 * DAY_MS
        assert rotate_signing_key(home, PATH, registry, clock) is Step.WAITING
        assert rotate_signing_key(home, PATH, registry, clock) is Step.WAITING
        fresh = FileSigner.load(home / "signing-key-next.pem").key_id
        keys = registry.state().keys
        assert keys[fresh].not_before_ms >= clock() + 10_000, "nobody signs with it before every gate has it"
        assert keys[former.key_id].last_ms > clock() + 7 * DAY_MS, "gate keys that the former one certified count on"
        clock.now_ms = keys[fresh].not_before_ms + 9_999
        assert rotate_signing_key(home, PATH, registry, clock) is Step.WAITING
        assert FileSigner.load(home / SIGNING_KEY).key_id == former.key_id
        clock.now_ms += 1
        assert rotate_signing_key(home, PATH, registry, clock) is Step.REPLACED
        assert FileSigner.load(home / SIGNING_KEY).key_id == fresh
        assert rotate_signing_key(home, PATH, registry, clock) is Step.NOTHING
        assert signing_key_end(home, registry.state().keys) == keys[fresh].last_ms
        assert os.listdir(home) == [SIGNING_KEY]


def test_revoked_key_is_replaced_at_once_and_an_unknown_one_never(database: Database, tmp_path: Path) -> None:
    clock, home = Clock(), tmp_path / "home"
    with EventStore(database) as store:
        registry = Registry(store, clock)
        former = found(registry, home, NOW_MS + 300 * DAY_MS)
        clock.now_ms += 1000
        registry.record([SigningKeyRevoked(former.key_id)], Act("ops:test", "stolen"))
        assert rotate_signing_key(home, PATH, registry, clock) is Step.WAITING
        other = tmp_path / "other"
        other.mkdir(mode=0o700)
        FileSigner.load_or_create(other / SIGNING_KEY)
        assert rotate_signing_key(other, PATH, registry, clock) is Step.NOTHING


def test_machine_that_stands_still_before_the_key_is_recorded_makes_it_start_later(
    database: Database, tmp_path: Path
) -> None:
    clock, home, halts = Clock(), tmp_path / "home", iter((0, 5_000, 5_000))

    def read_then_halt() -> int:
        now_ms = clock.now_ms
        clock.now_ms += next(halts, 0)
        return now_ms

    with EventStore(database) as store:
        registry = Registry(store, clock)
        found(registry, home, NOW_MS + 10 * DAY_MS)
        assert rotate_signing_key(home, PATH, registry, read_then_halt) is Step.WAITING
        assert next(halts, None) is None, "the first two starts came too soon"
        fresh = FileSigner.load(home / "signing-key-next.pem").key_id
        assert registry.state().keys[fresh].not_before_ms >= clock() + 10_000
