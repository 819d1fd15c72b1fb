"""The publisher: follows the registry's log and keeps every reader's snapshot what the log says (protocol.md 9).

1. A snapshot names the log position that it reflects; versions only grow, over restarts and crashes too.
2. Only what changed is compiled and written: the broker's snapshot at every change, a subsystem's when its own part is
   another one. Everything is made anew at the start and once an hour (a quarter of alarm-after, if that is sooner), so
   that a snapshot's age says how long nobody has heard of the registry.
3. A log that does not contain what was published before is refused: a database restored from an old backup would give
   revoked keys back. The last snapshots serve on until a person decides.
4. A change that cannot be compiled, and a registry that does not answer, change nothing; both are told and tried again.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bus.edge.publisher_homes import Begun, Homes, PublisherError
from bus.edge.snapshot_files import compile_scopes, cut_scopes
from bus.engines.postgres_database import DatabaseUnavailable
from bus.registry.event import LogBroken
from bus.registry.policy import policy_document
from bus.registry.registry import Registry
from bus.registry.state import RegistryState
from native.policy import PolicyError, PolicyTables
from native.snapshot import BROKER_SCOPE
from pki.signer import Signer

__all__ = ["Publication", "Publisher", "PublisherError"]

_LOOK_SECONDS = 1.0
_RETRY_SECONDS = 1.0
_RENEW_MS = 3_600_000

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
        self._parts: dict[str, PolicyTables] = {}
        self._renewed_ms = 0
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
        state = self._registry.state()
        now_ms = self._clock_ms()
        if state.position < self._begun.log_position:
            raise _log_shrank(state.position, self._begun.log_position)
        renewing = self._due(state, now_ms)
        if self.last is not None and state.position == self.last.log_position and not renewing:
            self._homes.deliver()
            return None
        document = policy_document(state, now_ms)
        parts = cut_scopes(document)
        changed = {scope: part for scope, part in parts.items() if renewing or self._parts.get(scope) != part}
        changed[BROKER_SCOPE] = parts[BROKER_SCOPE]
        version = self._begun.version + 1
        compiled = compile_scopes(
            document, changed, self._signer, version=version, log_position=state.position, now_ms=now_ms
        )
        begun = Begun(version, state.position, state.head)
        self._homes.begin(begun)
        self._begun = begun
        self._parts = {}  # until all files are there nothing is known of any
        self._homes.put(compiled)
        self._parts = parts
        if renewing:
            self._renewed_ms = now_ms
        self.last = Publication(version, state.position, len(changed), state.time_ms, self._clock_ms())
        if self._on_published is not None:
            self._on_published(self.last)
        return self.last

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
                    if self._stopping.is_set():
                        return
                    self.publish()
            except DatabaseUnavailable as error:
                log.warning("the policy is not followed: %s; the published one serves on", error)
            except (LogBroken, PublisherError, PolicyError, OSError) as error:
                log.error("the policy is not published: %s; the former one serves on", error)
            except Exception as error:  # noqa: BLE001 (a follower that ended would freeze the policy unseen)
                log.error("the policy is not published (%s); the former one serves on", type(error).__name__)
            self._stopping.wait(_RETRY_SECONDS)

    def _due(self, state: RegistryState, now_ms: int) -> bool:
        if not self._parts:
            return True
        alarm_ms = state.instance.alarm_after_ms if state.instance else _RENEW_MS
        return now_ms - self._renewed_ms >= min(_RENEW_MS, alarm_ms // 4)

    def _verify_log_continues(self) -> None:
        """(3) at the start: the head of what was published stands in this log, at its position."""
        begun = self._begun
        if not begun.log_position:
            return
        position = self._registry.state().position
        if position < begun.log_position:
            raise _log_shrank(position, begun.log_position)
        if self._registry.state_at(begun.log_position).head != begun.log_head:
            raise PublisherError(
                f"the registry's log is another one than was published from (position {begun.log_position} differs);"
                " connect the right database"
            )


def _log_shrank(position: int, published: int) -> PublisherError:
    return PublisherError(
        f"the registry's log ends at position {position}, but position {published} was published: the database was"
        " set back; bring the newer one, or found a new instance"
    )
