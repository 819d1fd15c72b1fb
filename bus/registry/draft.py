"""A state while events are being applied to it: each table is copied at the first write, once per fold.

So a fold of many events costs their number, not their number times the size of the state, and the state that it started
from stays as it was.
"""

from collections.abc import Iterator, Mapping, Set
from typing import Any, Generic, TypeVar

from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.state import (
    CertificateEntry,
    GrantEntry,
    InstanceEntry,
    KeyEntry,
    MemberEntry,
    RegistryState,
    ServiceEntry,
    SubsystemEntry,
    TokenEntry,
)
from native.policy_types import Method

__all__ = ["Draft", "Table", "Written"]

Written = Mapping[str, Set[Any]]
"""Keys by the name of their table."""

K = TypeVar("K")
V = TypeVar("V")


class Table(Mapping[K, V], Generic[K, V]):
    """One table of a draft."""

    __slots__ = ("_mine", "_shared", "written")

    def __init__(self, shared: Mapping[K, V]) -> None:
        self.written: set[K] = set()
        """Keys that were put or dropped."""
        self._shared = shared
        self._mine: dict[K, V] | None = None

    def __getitem__(self, key: K) -> V:
        return self._shared[key]

    def __iter__(self) -> Iterator[K]:
        return iter(self._shared)

    def __len__(self) -> int:
        return len(self._shared)

    def put(self, key: K, value: V) -> None:
        """Add or replace."""
        self._own()[key] = value
        self.written.add(key)

    def drop(self, key: K) -> None:
        """Remove; KeyError if it is not there."""
        del self._own()[key]
        self.written.add(key)

    def done(self) -> Mapping[K, V]:
        """The table as it stands; a later write copies it first."""
        self._mine = None
        return self._shared

    def _own(self) -> dict[K, V]:
        if self._mine is None:
            self._mine = dict(self._shared)
            self._shared = self._mine
        return self._mine


class Draft:
    """What changes are verified against and applied to. Not for keeping: `done` gives the state."""

    def __init__(self, base: RegistryState) -> None:
        self.position, self.time_ms, self.head = base.position, base.time_ms, base.head
        self.instance: InstanceEntry | None = base.instance
        self.members: Table[str, MemberEntry] = Table(base.members)
        self.subsystems: Table[str, SubsystemEntry] = Table(base.subsystems)
        self.certificates: Table[bytes, CertificateEntry] = Table(base.certificates)
        self.revoked_issuers: Table[bytes, int] = Table(base.revoked_issuers)
        self.keys: Table[bytes, KeyEntry] = Table(base.keys)
        self.services: Table[str, ServiceEntry] = Table(base.services)
        self.methods: Table[str, Method] = Table(base.methods)
        self.grants: Table[str, GrantEntry] = Table(base.grants)
        self.agents: Table[tuple[str, str], int] = Table(base.agents)
        self.tokens: Table[bytes, TokenEntry] = Table(base.tokens)

    def done(self) -> RegistryState:
        """The state as it stands."""
        return RegistryState(
            position=self.position,
            time_ms=self.time_ms,
            head=self.head,
            instance=self.instance,
            members=self.members.done(),
            subsystems=self.subsystems.done(),
            certificates=self.certificates.done(),
            revoked_issuers=self.revoked_issuers.done(),
            keys=self.keys.done(),
            services=self.services.done(),
            methods=self.methods.done(),
            grants=self.grants.done(),
            agents=self.agents.done(),
            tokens=self.tokens.done(),
        )

    def written(self) -> Written:
        """The keys that were put or dropped since the draft began."""
        return {name: table.written for name, table in vars(self).items() if isinstance(table, Table)}

    def founded(self) -> InstanceEntry:
        """The instance, or Refusal(NOT_FOUNDED)."""
        if self.instance is None:
            raise Refusal(RefusalReason.NOT_FOUNDED, "the registry is empty; found the instance first")
        return self.instance

    def member(self, path: str) -> MemberEntry:
        """A member, or Refusal(UNKNOWN_MEMBER)."""
        found = self.members.get(path)
        if found is None:
            raise Refusal(RefusalReason.UNKNOWN_MEMBER, f"there is no member {_shown(path)}; add it first")
        return found

    def subsystem(self, path: str) -> SubsystemEntry:
        """A subsystem that was not revoked, or Refusal(UNKNOWN_SUBSYSTEM, ENDED)."""
        found = self.subsystems.get(path)
        if found is None:
            raise Refusal(RefusalReason.UNKNOWN_SUBSYSTEM, f"there is no subsystem {_shown(path)}; add it first")
        if found.revoked_ms is not None:
            raise Refusal(RefusalReason.ENDED, f"{path} was revoked; that is final")
        return found


def _shown(path: str) -> str:
    """A name that came from outside, short enough to be repeated."""
    return ascii(path) if len(path) <= 200 else "of this length"
