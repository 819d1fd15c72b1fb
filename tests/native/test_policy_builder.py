"""Tables that were changed record by record say what tables compiled anew say, and a reader's part is all it needs."""

import random
from collections.abc import Callable
from dataclasses import astuple, replace
from typing import Any

import pytest

from native import _fast, _policy_py
from native._policy_cut_py import cut, read_tables
from native.ecdsa import PrivateKey
from native.policy import PolicyCutter, PolicyError, build_tables
from native.policy_builder import TableBuilder
from native.policy_types import Agent, Certificate, Grant, Method, PolicyTables, SigningKey, Subsystem
from tests.native.policies import SEED, SMALL, VIEWS, grant, opened
from tests.native.samples import CLIENT

POINTS = [PrivateKey.generate().public_key for _ in range(12)]


def country(source: random.Random, subsystems: int = 30, grants: int = 120) -> PolicyTables:
    """Some of everything, at random; members of three subsystems each."""
    ids = [f"spiffe://gov.example/gov/m{number // 3}/s{number}" for number in range(subsystems)]
    methods = tuple(Method(f"/vn.a.v1.S{number}/Get", max_lifetime_ms=1 + number) for number in range(12))
    pairs = {(3 * member, 3 * member + source.choice((1, 2))) for member in source.sample(range(subsystems // 3), 4)}
    return PolicyTables(
        subsystems=tuple(
            Subsystem(one, one.rpartition("/")[0] + "/", is_broker=number % 14 == 13, cluster="to" * (number % 3))
            for number, one in enumerate(ids)
        ),
        certificates=tuple(Certificate(source.randbytes(32), source.choice(ids), number) for number in range(40)),
        keys=tuple(SigningKey(key.key_id, key.point, source.choice(ids), 1, 2) for key in POINTS),
        methods=methods,
        grants=tuple(random_grant(source, f"g-{number}", ids, methods) for number in range(grants)),
        agents=tuple(Agent(ids[agent], ids[client]) for agent, client in sorted(pairs)),
    )


def random_grant(source: random.Random, grant_id: str, ids: list[str], methods: tuple[Method, ...]) -> Grant:
    several = tuple(one.path for one in source.sample(methods, source.randint(1, 4)))
    purposes = tuple(f"p{number}" for number in source.sample(range(9), source.randint(1, 3)))
    return Grant(grant_id, source.choice(ids), source.choice(ids), several, purposes, 1, 2, True, 3, 4, 5, 6)


def unordered(tables: PolicyTables) -> list[set[Any]]:
    return [set(several) for several in (getattr(tables, name) for name in PolicyTables.__slots__)]


@pytest.mark.parametrize("seed", range(3))
def test_what_is_read_back_is_what_was_compiled(seed: int) -> None:
    tables = country(random.Random(seed))
    assert read_tables(build_tables(tables, seed=SEED)) == tables


@pytest.mark.parametrize("seed", range(3))
def test_part_of_every_subsystem_is_what_the_definition_says(seed: int) -> None:
    tables = country(random.Random(seed))
    cutter = PolicyCutter(build_tables(tables, seed=SEED))
    for one in tables.subsystems:
        part = cutter.cut(one.id, SEED)
        assert read_tables(part) == cut(tables, one.id)
        assert all(not isinstance(opened(view, part), str) for view in VIEWS)
        holding = {reader.id for reader in tables.subsystems if one in cut(tables, reader.id).subsystems}
        assert set(cutter.readers(one.id)) == holding


def test_parts_are_cut_for_known_subsystems_only_and_from_whole_tables_only() -> None:
    tables = build_tables(SMALL, seed=SEED)
    cutter = PolicyCutter(tables)
    for ask in (lambda: cutter.cut("nobody", SEED), lambda: cutter.readers("nobody")):
        with pytest.raises(PolicyError) as unknown:
            ask()
        assert unknown.value.reason == "reference"
    with pytest.raises(ValueError, match="16 bytes"):
        cutter.cut(CLIENT, SEED[:15])
    for damaged in (tables[:-1], tables[:-8] + bytes([tables[-8] ^ 1]) + tables[-7:], b""):
        with pytest.raises(PolicyError):
            PolicyCutter(damaged)


class Model:
    """The same tables, as a builder has them and as dictionaries do."""

    def __init__(self, source: random.Random) -> None:
        self.source, self.tables, self.made = source, country(source), 1_000
        self.builder = TableBuilder(self.tables, SEED)

    def put(self, name: str, one: Any, key: Callable[[Any], object]) -> None:
        getattr(self.builder, f"put_{name[:-1]}")(one)
        kept = [known for known in getattr(self.tables, name) if key(known) != key(one)]
        self.tables = replace(self.tables, **{name: (*kept, one)})

    def drop(self, name: str, one: Any, by: object) -> None:
        getattr(self.builder, f"drop_{name[:-1]}")(by)
        self.tables = replace(
            self.tables, **{name: tuple(known for known in getattr(self.tables, name) if known != one)}
        )

    def step(self) -> None:
        ids = [one.id for one in self.tables.subsystems]
        self.made += 1
        new = random_grant(self.source, f"g-{self.made}", ids, self.tables.methods)
        match self.source.randrange(9):
            case 0 | 1 if self.tables.grants:
                gone = self.source.choice(self.tables.grants)
                self.drop("grants", gone, gone.grant_id)
            case 2 if self.tables.grants:
                former = self.source.choice(self.tables.grants)
                self.put("grants", replace(former, burst=self.made), lambda one: one.grant_id)
            case 3 if self.tables.certificates:
                ended = self.source.choice(self.tables.certificates)
                self.drop("certificates", ended, ended.digest)
            case 4:
                fresh = Certificate(self.source.randbytes(32), self.source.choice(ids), self.made)
                self.put("certificates", fresh, lambda one: one.digest)
            case 5 if self.tables.keys:
                ended_key = self.source.choice(self.tables.keys)
                self.drop("keys", ended_key, ended_key.key_id)
            case 6:
                key = self.source.choice(POINTS)
                owner = self.source.choice(ids)
                self.put("keys", SigningKey(key.key_id, key.point, owner, 1, self.made), lambda one: one.key_id)
            case 7:
                known = self.source.choice(self.tables.subsystems)
                self.put("subsystems", replace(known, active=not known.active, cluster="x"), lambda one: one.id)
            case _:
                self.put("grants", new, lambda one: one.grant_id)


@pytest.mark.parametrize("seed", range(4))
def test_tables_changed_step_by_step_are_those_compiled_anew(seed: int) -> None:
    model = Model(random.Random(seed))
    for number in range(400):
        model.step()
        if number % 40 == 39:
            tables = model.builder.encode()
            assert unordered(read_tables(tables)) == unordered(model.tables)
            _fast.PolicyView(tables)
    while model.tables.grants:
        model.drop("grants", model.tables.grants[0], model.tables.grants[0].grant_id)
    assert unordered(read_tables(model.builder.encode())) == unordered(model.tables)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda builder: builder.put_grant(grant("g-9", client="nobody")), "reference"),
        (lambda builder: builder.put_grant(grant("g-9", methods=("/a.B/C",))), "reference"),
        (lambda builder: builder.put_grant(grant("á")), "value"),
        (lambda builder: builder.put_grant(grant("g-9", burst=1 << 32)), "value"),
        (lambda builder: builder.drop_grant("g-9"), "reference"),
        (lambda builder: builder.drop_key(bytes(32)), "reference"),
        (lambda builder: builder.put_key(SigningKey(bytes(32), b"\4" + bytes(64), CLIENT, 0, 1)), "key"),
        (lambda builder: builder.put_certificate(Certificate(bytes(31), CLIENT, 0)), "value"),
    ],
)
def test_change_that_contradicts_the_tables_is_refused(change: Callable[[TableBuilder], None], reason: str) -> None:
    with pytest.raises(PolicyError) as refused:
        change(TableBuilder(SMALL, SEED))
    assert refused.value.reason == reason


def test_what_was_put_in_wrong_is_refused_when_it_is_opened() -> None:
    """A builder resolves names; the rest is judged by whoever opens the tables."""
    for wrong in (grant("g-9", methods=()), grant("x" * 65), grant("a b")):
        builder = TableBuilder(SMALL, SEED)
        builder.put_grant(wrong)
        for view in (PolicyCutter, _policy_py.PolicyView):
            assert opened(view, builder.encode()) == "value", astuple(wrong)
