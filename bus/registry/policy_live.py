"""The policy as compiled tables that follow the registry's state: a change costs the change, not the country.

1. The tables say the same as a full compile of policy_document(state, now): only the order of records may differ. What
   was compiled before is kept and what differs between two states is put in or taken out.
2. States are values, and entries that did not change are the same objects (bus.registry.draft): differences are found
   by identity, so states must come from one Registry. Who knows which keys were written since (Registry.state_since)
   spares the look at all the others.
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
from typing import Any

from bus.edge.quota_share import grant_share, subsystem_share
from bus.registry.draft import Draft, Written
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

    def follow(self, state: RegistryState, now_ms: int, written: Written | None = None) -> LiveTables:
        """The tables for `state`, which is not older than the one before; PolicyError, Refusal(NOT_FOUNDED).

        `written`: by table the keys that were written after the one before, all of them; None: not known.
        """
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
            self._difference(_Between(before, state, written), now_ms, builder, touched)
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

    def _difference(self, between: "_Between", now_ms: int, builder: TableBuilder, touched: "_Touched") -> None:
        """Rule 2. Subsystems and methods first: the others name them."""
        before, state = between.before, between.after
        Draft(state).founded()
        members = {path for path, _ in between.changed("members")}
        subsystems = dict(between.changed("subsystems"))
        if members:
            subsystems |= {path: one for path, one in state.subsystems.items() if one.member in members}
        for path, entry in subsystems.items():
            now = subsystem_of(state, entry)
            if path not in before.subsystems or now != subsystem_of(before, before.subsystems[path]):
                builder.put_subsystem(subsystem_share(now, self._brokers))
                touched.subsystem(path)
        for _, method in between.changed("methods"):
            builder.put_method(method)
            touched.everybody()
        for kind in _TIMED:
            self._difference_timed(kind, between, now_ms, builder, touched)
        for pair, _ in between.changed("agents"):
            if pair not in before.agents:
                builder.put_agent(agent_of(state, pair))
            touched.parts(pair)
        for pair in between.gone("agents"):
            builder.drop_agent(agent_of(state, pair))
            touched.parts(pair)

    def _difference_timed(
        self, kind: _Kind, between: "_Between", now_ms: int, builder: TableBuilder, touched: "_Touched"
    ) -> None:
        for key, entry in between.changed(kind.name):
            if now_ms <= (end := kind.ends(entry)):
                self._put(kind, builder, between.after, key, entry)
                self._standing[kind.name].add(key)
                heapq.heappush(self._ends, (end, _TIMED.index(kind), key))
                touched.entry(kind, entry)
            else:
                self._drop(kind, builder, key, entry, touched)
        for key in between.gone(kind.name):
            self._drop(kind, builder, key, getattr(between.before, kind.name)[key], touched)

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


@dataclass(frozen=True, slots=True)
class _Between:
    """What differs between two states: rule 2."""

    before: RegistryState
    after: RegistryState
    written: Written | None

    def changed(self, name: str) -> list[tuple[Any, Any]]:
        """Entries of a table that are new or another one."""
        former, newer = self._tables(name)
        if former is newer:
            return []
        if self.written is not None:
            return [
                (key, newer[key]) for key in self.written[name] if key in newer and former.get(key) is not newer[key]
            ]
        return [(key, value) for key, value in newer.items() if former.get(key) is not value]

    def gone(self, name: str) -> list[Any]:
        """Keys that are there no more."""
        former, newer = self._tables(name)
        if former is newer:
            return []
        keys = former.keys() if self.written is None else self.written[name] & former.keys()
        return [key for key in keys if key not in newer]

    def _tables(self, name: str) -> tuple[Mapping[Any, Any], Mapping[Any, Any]]:
        return getattr(self.before, name), getattr(self.after, name)


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
