"""The policy as compiled tables that follow the registry's state: a change costs the change, not the country.

1. The tables say the same as a full compile of policy_document(state, now): only the order of records may differ. What
   was compiled before is kept and what differs between two states is put in or taken out.
2. States are values, and entries that did not change are the same objects (bus.registry.draft): differences are found
   by identity, so states must come from one Registry.
3. What ends by the clock leaves when its end has passed, at the next `follow`, whether anything was recorded or not.
4. Whose part of the policy is another one now is told with each answer. It may name a reader too many, never one too
   few.
5. Limits are divided among brokers: another number of them that count, and everything is compiled anew.
6. Anything raised leaves nothing half done: the next `follow` compiles in full.
"""

import heapq
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from bus.edge.quota_share import grant_share, subsystem_share
from bus.registry.draft import Draft
from bus.registry.policy import (
    agent_of,
    brokers_of,
    certificate_of,
    grant_ends,
    key_ends,
    key_of,
    policy_document,
    subsystem_of,
)
from bus.registry.state import CertificateEntry, RegistryState
from native.policy import Policy, PolicyCutter
from native.policy_builder import TableBuilder

__all__ = ["LivePolicy", "LiveTables"]

K = TypeVar("K")
V = TypeVar("V")
_SEED_SIZE = 16


@dataclass(frozen=True, slots=True)
class LiveTables:
    """The policy at one moment."""

    whole: PolicyCutter
    """Everything, and the parts cut out of it."""
    changed: frozenset[str] | None
    """SPIFFE IDs whose part changed since the last answer; None: anybody's may have."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """One table of the state whose entries end by the clock."""

    name: str
    ends: Callable[[Any], int]


_CERTIFICATES = _Kind("certificates", lambda entry: entry.not_after_ms)
_KEYS = _Kind("keys", key_ends)
_GRANTS = _Kind("grants", grant_ends)
_TIMED = (_CERTIFICATES, _KEYS, _GRANTS)


class LivePolicy:
    """For one publisher; for one thread."""

    def __init__(self) -> None:
        self._state: RegistryState | None = None
        self._builder: TableBuilder | None = None
        self._whole: PolicyCutter | None = None
        self._ends: list[tuple[int, int, Any]] = []
        self._standing: dict[str, set[Any]] = {}
        self._brokers = 0

    def follow(self, state: RegistryState, now_ms: int) -> LiveTables:
        """The tables for `state`, which is not older than the one before; PolicyError, Refusal(NOT_FOUNDED)."""
        before, builder = self._state, self._builder
        self._state = self._builder = None
        former, self._brokers = self._brokers, brokers_of(state, now_ms)
        if before is None or builder is None or builder.wasteful or former != self._brokers:
            builder = self._compile(state, now_ms)
            encoded = builder.encode()
            Policy(encoded)  # points included, which are not looked at again
            changed = None
        else:
            touched = _Touched(state)
            self._difference(before, state, now_ms, builder, touched)
            self._expire(state, now_ms, builder, touched)
            changed = touched
            encoded = builder.encode() if touched else b""
        if encoded:
            self._whole = PolicyCutter(encoded)
        assert self._whole is not None  # noqa: S101 (the first answer is always compiled)
        self._state, self._builder = state, builder
        return LiveTables(self._whole, None if changed is None else changed.readers(self._whole))

    def _compile(self, state: RegistryState, now_ms: int) -> TableBuilder:
        builder = TableBuilder(policy_document(state, now_ms).tables, secrets.token_bytes(_SEED_SIZE))
        self._ends, self._standing = [], {}
        for number, kind in enumerate(_TIMED):
            ends = [(kind.ends(entry), number, key) for key, entry in getattr(state, kind.name).items()]
            standing = [one for one in ends if now_ms <= one[0]]
            self._standing[kind.name] = {key for _, _, key in standing}
            self._ends += standing
        heapq.heapify(self._ends)
        return builder

    def _difference(
        self, before: RegistryState, state: RegistryState, now_ms: int, builder: TableBuilder, touched: "_Touched"
    ) -> None:
        """Rule 2. Subsystems and methods first: the others name them."""
        Draft(state).founded()
        members = {path for path, _ in _changed(before.members, state.members)}
        subsystems = dict(_changed(before.subsystems, state.subsystems))
        if members:
            subsystems |= {path: one for path, one in state.subsystems.items() if one.member in members}
        for path, entry in subsystems.items():
            now = subsystem_of(state, entry)
            if path not in before.subsystems or now != subsystem_of(before, before.subsystems[path]):
                builder.put_subsystem(subsystem_share(now, self._brokers))
                touched.subsystem(path)
        for _, method in _changed(before.methods, state.methods):
            builder.put_method(method)
            touched.everybody()
        for kind in _TIMED:
            self._difference_timed(kind, before, state, now_ms, builder, touched)
        agents = [pair for pair, _ in _changed(before.agents, state.agents) if pair not in before.agents]
        for pair in agents:
            builder.put_agent(agent_of(state, pair))
            touched.parts(pair)
        for pair in _gone(before.agents, state.agents, len(agents)):
            builder.drop_agent(agent_of(state, pair))
            touched.parts(pair)

    def _difference_timed(
        self,
        kind: _Kind,
        before: RegistryState,
        state: RegistryState,
        now_ms: int,
        builder: TableBuilder,
        touched: "_Touched",
    ) -> None:
        former, newer = getattr(before, kind.name), getattr(state, kind.name)
        changed = _changed(former, newer)
        for key, entry in changed:
            if now_ms <= (end := kind.ends(entry)):
                self._put(kind, builder, state, key, entry)
                self._standing[kind.name].add(key)
                heapq.heappush(self._ends, (end, _TIMED.index(kind), key))
                touched.entry(kind, entry)
            else:
                self._drop(kind, builder, key, entry, touched)
        for key in _gone(former, newer, sum(key not in former for key, _ in changed)):
            self._drop(kind, builder, key, former[key], touched)

    def _expire(self, state: RegistryState, now_ms: int, builder: TableBuilder, touched: "_Touched") -> None:
        """Rule 3."""
        while self._ends and self._ends[0][0] < now_ms:
            _, number, key = heapq.heappop(self._ends)
            kind = _TIMED[number]
            entry = getattr(state, kind.name).get(key)
            if entry is not None and kind.ends(entry) < now_ms:
                self._drop(kind, builder, key, entry, touched)

    def _put(self, kind: _Kind, builder: TableBuilder, state: RegistryState, key: Any, entry: Any) -> None:
        if kind is _CERTIFICATES:
            builder.put_certificate(certificate_of(state, key, entry))
        elif kind is _KEYS:
            builder.put_key(key_of(state, key, entry))
        else:
            builder.put_grant(grant_share(entry.grant, self._brokers))

    def _drop(self, kind: _Kind, builder: TableBuilder, key: Any, entry: Any, touched: "_Touched") -> None:
        if key not in self._standing[kind.name]:
            return
        self._standing[kind.name].remove(key)
        if kind is _CERTIFICATES:
            builder.drop_certificate(key)
        elif kind is _KEYS:
            builder.drop_key(key)
        else:
            builder.drop_grant(key)
        touched.entry(kind, entry)


class _Touched:
    """What changed, as subsystems of a state."""

    def __init__(self, state: RegistryState) -> None:
        self._state = state
        self._everybody = False
        self._named: set[str] = set()
        self._parts: set[str] = set()

    def __bool__(self) -> bool:
        return self._everybody or bool(self._named or self._parts)

    def everybody(self) -> None:
        self._everybody = True

    def subsystem(self, path: str) -> None:
        """It, or its keys: all who have it in their part get another one."""
        self._named.add(path)

    def parts(self, paths: tuple[str, ...]) -> None:
        """The parts of these, and nobody else's."""
        self._parts.update(paths)

    def entry(self, kind: _Kind, entry: Any) -> None:
        if kind is _GRANTS:
            self.parts((entry.client, entry.provider))
        elif kind is _KEYS:
            self.subsystem(entry.subsystem)
        else:
            self._certificate(entry)

    def _certificate(self, entry: CertificateEntry) -> None:
        """Its own, those whose agent it is, and a broker's: everybody's."""
        if self._state.subsystems[entry.subsystem].is_broker:
            self.everybody()
        self.parts((entry.subsystem, *(client for agent, client in self._state.agents if agent == entry.subsystem)))

    def readers(self, whole: PolicyCutter) -> frozenset[str] | None:
        if self._everybody:
            return None
        ids = {path: self._state.subsystems[path].identity.spiffe_id for path in self._named | self._parts}
        readers = {ids[path] for path in self._parts}
        for path in self._named:
            readers.update(whole.readers(ids[path]))
        return frozenset(readers)


def _changed(before: Mapping[K, V], after: Mapping[K, V]) -> list[tuple[K, V]]:
    """Entries that are new or another one."""
    if before is after:
        return []
    return [(key, value) for key, value in after.items() if before.get(key) is not value]


def _gone(before: Mapping[K, V], after: Mapping[K, V], new: int) -> list[K]:
    """Keys that are there no more; `new`: how many are there that were not, which often says that none is gone."""
    return [] if len(before) + new == len(after) else [key for key in before if key not in after]
