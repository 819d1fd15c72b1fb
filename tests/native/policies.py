"""Policy tables for tests: a small nation with every kind of record, and both views of compiled tables."""

from collections.abc import Callable
from typing import Any

from native import _fast, _policy_py
from native.ecdsa import PrivateKey
from native.policy import build_tables
from native.policy_types import (
    Agent,
    Certificate,
    Grant,
    Method,
    MethodKind,
    PolicyError,
    PolicyTables,
    SigningKey,
    Subsystem,
)
from tests.native.samples import BROKER, CLIENT, NOW, PROVIDER, octets

View = Any
VIEWS: list[Callable[[bytes], View]] = [_fast.PolicyView, _policy_py.PolicyView]
SEED = octets(7, 16)
AGENT = "spiffe://gov.example/gov/moj/agent"
IDLE = "spiffe://gov.example/gov/moj/idle"
GET = "/vn.population.v1.PopulationService/GetPerson"
WATCH = "/vn.population.v1.PopulationService/WatchPersons"
KEYS = {name: PrivateKey.generate().public_key for name in (CLIENT, PROVIDER, BROKER)}


def member_of(spiffe_id: str) -> str:
    return spiffe_id.rpartition("/")[0] + "/"


def subsystem(spiffe_id: str, **changes: Any) -> Subsystem:
    return Subsystem(spiffe_id, member_of(spiffe_id), **changes)


def signing_key(owner: str) -> SigningKey:
    return SigningKey(KEYS[owner].key_id, KEYS[owner].point, owner, NOW - 10, NOW + 10)


def grant(grant_id: str = "g-1", **changes: Any) -> Grant:
    values: dict[str, Any] = {
        "client": CLIENT,
        "provider": PROVIDER,
        "methods": (GET, WATCH),
        "purposes": ("birth.registration", "school.entry"),
        "not_before_ms": NOW - 5,
        "not_after_ms": NOW + 5,
    }
    return Grant(grant_id, **(values | changes))


SMALL = PolicyTables(
    subsystems=(
        subsystem(CLIENT),
        subsystem(PROVIDER, cluster="population"),
        subsystem(BROKER, is_broker=True),
        subsystem(AGENT, calls_per_second=7, burst=9),
        subsystem(IDLE, active=False),
    ),
    certificates=(Certificate(octets(1), CLIENT, NOW + 1), Certificate(octets(2), AGENT, NOW + 2)),
    keys=tuple(signing_key(owner) for owner in KEYS),
    methods=(Method(GET, idempotent=True), Method(WATCH, MethodKind.SERVER_STREAM, 5_000)),
    grants=(
        grant(),
        grant("g-2", methods=(GET,), operator_made=True, calls_per_second=3, burst=4, calls_per_day=5, bytes_per_day=6),
    ),
    agents=(Agent(AGENT, CLIENT),),
)


def small_tables() -> bytes:
    return build_tables(SMALL, seed=SEED)


def opened(view: Callable[[bytes], View], tables: bytes) -> str | View:
    """The view, or the reason why it refuses."""
    try:
        return view(tables)
    except PolicyError as error:
        return error.reason


def answers(view: View) -> list[Any]:
    """Everything a view says about itself, and what it answers to the questions of a call."""
    said: list[Any] = [view.counts()]
    subsystems, _, _, methods, grants, _ = view.counts()
    said += [view.subsystem(i) for i in range(subsystems)]
    said += [view.method(i) for i in range(methods)]
    said += [view.grant(i) for i in range(grants)]
    said += [view.certificate(octets(i)) for i in range(4)]
    said += [view.key(key.key_id) for key in KEYS.values()]
    said += [view.find_subsystem(s.id) for s in SMALL.subsystems] + [view.find_subsystem("nobody")]
    said += [view.agent(a, c) for a in range(subsystems) for c in range(subsystems)]
    for grant_id in ("g-1", "g-2", "g-3"):
        for method in (view.find_method(GET), view.find_method(WATCH), view.find_method("/no.Such/Method")):
            for now in (NOW - 6, NOW - 5, NOW, NOW + 5, NOW + 6):
                said.append(view.permits(grant_id, 0, 1, method, "birth.registration", now))
    return said
