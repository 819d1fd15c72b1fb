"""The publisher: follows the registry's log and keeps every reader's snapshot what the log says (protocol.md 9).

1. A snapshot names the log position that it reflects; versions only grow, over restarts and crashes too.
2. Only what changed is compiled and written: the broker's snapshot at every change, a subsystem's when its own part is
   another one. Everything is made anew at the start and once an hour (a quarter of alarm-after, if that is sooner), so
   that a snapshot's age says how long nobody has heard of the registry. The hourly renewal goes in slices: no change
   waits for thousands of files that say the same as before. So does a part that its reader needs as of a later
   version, for evidence (`renew`). Both bear the brokers' newest version, for they say the same: a part is what its
   version says to a gate, and proves what that permitted. No part is made twice of one version.
3. A log that does not contain what was published before is refused: a database restored from an old backup would give
   revoked keys back. The last snapshots serve on until a person decides.
4. A change that cannot be compiled, and a registry that does not answer, change nothing; both are told and tried again.
"""

import logging
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Self

from bus.edge.publisher_homes import Begun, Homes, PublisherError
from bus.edge.snapshot_files import SEED_SIZE, SnapshotFacts, encode_endpoints, sign_scopes
from bus.engines.postgres_database import DatabaseUnavailable
from bus.registry.draft import Draft, Written
from bus.registry.event import LogBroken
from bus.registry.policy import endpoints_of
from bus.registry.policy_live import LivePolicy
from bus.registry.registry import Registry
from bus.registry.state import RegistryState, SubsystemEntry
from native.policy import PolicyCutter, PolicyError
from native.snapshot import BROKER_SCOPE
from pki.signer import Signer

__all__ = ["Publication", "Publisher", "PublisherError"]

_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_RENEW_MS = 3_600_000
_SLICE = 256

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Publication:
    """One published version."""

    version: int
    log_position: int
    scopes: int
    """Snapshots written; the others were the same."""
    event_ms: int
    """When the newest event in it was recorded."""
    written_ms: int
    """When every reader's file was in its place."""

    @property
    def delay_ms(self) -> int:
        """From the event to the files. Meaningless when nothing but age was the occasion."""
        return self.written_ms - self.event_ms


class Publisher:
    """For one instance. `publish` works once; between `start` and `stop` a thread of its own follows the log."""

    def __init__(
        self,
        state: Path,
        registry: Registry,
        signer: Signer,
        clock_ms: Callable[[], int],
        on_published: Callable[[Publication], None] | None = None,
    ) -> None:
        """PublisherError if the log is not the one, or no longer the one, that was published from here."""
        self._registry, self._signer, self._clock_ms = registry, signer, clock_ms
        self._on_published = on_published
        self._homes = Homes(state)
        self._digests: dict[str, bytes] = {}
        self._to_renew: list[str] = []
        self._asked: set[str] = set()
        self._asking = threading.Lock()
        self._followed: RegistryState | None = None
        self._forget()
        self._renewing_whole = True
        self._renewed_ms, self._ages = 0, (0, 0)
        self._published: PolicyCutter | None = None
        self._endpoints_of: tuple[Mapping[str, SubsystemEntry], bytes] | None = None
        self.last: Publication | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="publisher", daemon=True)
        try:
            self._begun = self._homes.begun()
            self._verify_log_continues()
        except BaseException:
            self._homes.close()
            raise

    def publish(self) -> Publication | None:
        """Bring all readers to the newest state; None when they are there.

        DatabaseUnavailable, LogBroken, PolicyError, OSError or Refusal (nothing founded yet) leave all as it was, or,
        after a failing disk, files of two versions; calling again mends that.
        """
        state, written = self._newest()
        now_ms = self._clock_ms()
        if state.position < self._begun.log_position:
            raise _log_shrank(state.position, self._begun.log_position)
        self._plan_renewal(state, now_ms)
        self._take_asked()
        due = self.last is None or self._renewing_whole or state.position != self.last.log_position
        if not due and not self._to_renew:
            self._homes.deliver()
            return None
        try:
            published = self._publish(state, written, now_ms, due)
        except BaseException:
            self._forget()  # until all files are there nothing is known of any
            raise
        if published is None:
            return None
        self.last, self._renewing_whole = published, False
        if self._on_published is not None:
            self._on_published(published)
        return published

    def renew(self, reader: str) -> None:
        """Make this subsystem's part anew at the next look, though it says the same; from any thread."""
        with self._asking:
            self._asked.add(reader)

    def _newest(self) -> tuple[RegistryState, Written | None]:
        """The newest state, and what was written since the one that the tables follow."""
        if self._followed is None:
            return self._registry.state(), None
        return self._registry.state_since(self._followed)

    def _publish(self, state: RegistryState, written: Written | None, now_ms: int, due: bool) -> Publication | None:
        """A slice of those that are renewed; if it is due one version, of changed parts and the brokers' snapshot."""
        live = self._live.follow(state, now_ms, written)
        self._followed = state
        due = due or live.whole is not self._published  # something ended by the clock: other tables, another version
        begun = Begun(self._begun.version + 1, state.position, state.head) if due else self._begun
        readers = [one.identity.spiffe_id for one in state.subsystems.values() if not one.is_broker]
        renewed = frozenset(one for one in self._to_renew[-_SLICE:] if self._homes.version_of(one) < begun.version)
        del self._to_renew[-_SLICE:]
        if live.changed is not None:
            concerned = live.changed | renewed
            readers = [one for one in readers if one in concerned]
        instance = Draft(state).founded()
        facts = SnapshotFacts(
            instance.trust_domain,
            begun.version,
            state.position,
            now_ms,
            instance.alarm_after_ms,
            instance.refuse_after_ms,
        )
        if due:
            self._homes.begin(begun)
            self._begun = begun
        parts = self._parts(live.whole, readers, renewed)
        scopes = self._homes.put_parts(begun.version, sign_scopes(parts, self._signer, facts))
        if due:
            ((_, snapshot),) = sign_scopes([(BROKER_SCOPE, live.whole.tables)], self._signer, facts)
            self._homes.put_broker(begun.version, snapshot, self._endpoints(state))
            scopes += 1
            self._published = live.whole
        self._homes.deliver()
        if not due:
            return None
        return Publication(begun.version, state.position, scopes, state.time_ms, self._clock_ms())

    def _parts(
        self, whole: PolicyCutter, readers: Iterable[str], renewed: frozenset[str]
    ) -> Iterator[tuple[str, bytes]]:
        """(reader, tables) of those that are renewed, or whose part is another one than they have."""
        for reader in readers:
            tables = whole.cut(reader, self._seed)
            digest = sha256(tables).digest()
            if reader in renewed or self._digests.get(reader) != digest:
                self._digests[reader] = digest
                yield reader, tables

    def _endpoints(self, state: RegistryState) -> bytes:
        if self._endpoints_of is None or self._endpoints_of[0] is not state.subsystems:
            brokers = {one.identity.spiffe_id for one in state.subsystems.values() if one.is_broker}
            self._endpoints_of = state.subsystems, encode_endpoints(endpoints_of(state), brokers)
        return self._endpoints_of[1]

    def _plan_renewal(self, state: RegistryState, now_ms: int) -> None:
        """(2) All at once at the start, and after a failure; the hourly one in slices, the brokers' snapshot first."""
        ages = (state.instance.alarm_after_ms, state.instance.refuse_after_ms) if state.instance else (_RENEW_MS, 0)
        if self._followed is None:
            self._renewing_whole, self._to_renew = True, []
        elif ages != self._ages or not 0 <= now_ms - self._renewed_ms < min(_RENEW_MS, ages[0] // 4):
            # Also when the clock was set back: readers refuse what was made in the future.
            self._renewing_whole, self._to_renew = True, list(self._digests)
        else:
            return
        self._renewed_ms, self._ages = now_ms, ages

    def _take_asked(self) -> None:
        """Those who asked come first; who is no reader, or is renewed with everybody, is nothing to plan for."""
        with self._asking:
            asked, self._asked = self._asked & self._digests.keys(), set()
        if asked:
            self._to_renew = [one for one in self._to_renew if one not in asked] + sorted(asked)

    def _forget(self) -> None:
        """The next publication makes everything anew."""
        self._live, self._digests, self._to_renew = LivePolicy(), {}, []
        self._followed = None
        self._seed = secrets.token_bytes(SEED_SIZE)

    def start(self) -> None:
        """Publish now and follow from then on; whatever `publish` raises."""
        try:
            self.publish()
        except BaseException:
            self._homes.close()
            raise
        self._thread.start()

    def stop(self) -> None:
        """Follow no longer, after what is being published."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()
        self._homes.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _follow(self) -> None:
        while not self._stopping.is_set():
            try:
                for _ in self._registry.positions(_LOOK_SECONDS):
                    self.publish()
                    while self._to_renew and not self._stopping.is_set():
                        self.publish()
                    if self._stopping.is_set():
                        return
            except DatabaseUnavailable as error:
                log.warning("the policy is not followed: %s; the published one serves on", error)
            except (LogBroken, PublisherError, PolicyError, OSError) as error:
                log.error("the policy is not published: %s; the former one serves on", error)
            except Exception as error:  # noqa: BLE001 (a follower that ended would freeze the policy unseen)
                log.error("the policy is not published (%s); the former one serves on", type(error).__name__)
            self._stopping.wait(_RETRY_SECONDS)

    def _verify_log_continues(self) -> None:
        """(3) at the start: the head of what was published stands in this log, at its position."""
        begun = self._begun
        if not begun.log_position:
            return
        position = self._registry.state().position
        if position < begun.log_position:
            raise _log_shrank(position, begun.log_position)
        if self._registry.head_at(begun.log_position) != begun.log_head:
            raise PublisherError(
                f"the registry's log is another one than was published from (position {begun.log_position} differs);"
                " connect the right database"
            )


def _log_shrank(position: int, published: int) -> PublisherError:
    return PublisherError(
        f"the registry's log ends at position {position}, but position {published} was published: the database was"
        " set back; bring the newer one, or found a new instance"
    )
