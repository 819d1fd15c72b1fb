"""Whatever the registry records must compile: one event that no gate can read would freeze the policy of everybody."""

import hashlib
from collections.abc import Callable
from dataclasses import replace

import pytest

from bus.registry.change import Change
from bus.registry.codec import PayloadError, decode_change
from bus.registry.fold import propose
from bus.registry.grants import Quota
from bus.registry.policy import policy_document
from bus.registry.refusal import Refusal
from bus.registry.services import ServiceRegistered
from bus.registry.subsystems import EndpointsSet
from native.policy import build_tables
from native.policy_types import Method, MethodKind
from tests.bus.registry.support import ACT, NOW, POPULATION, Log, grant, nation

IMAGE = hashlib.sha256(b"image").digest()


def contract(service: str, method: str, kind: int = 1, lifetime: int = 60_000) -> ServiceRegistered:
    return ServiceRegistered(service, IMAGE, (Method(f"/{service}/{method}", MethodKind(kind), lifetime),))


EDGES: dict[str, Callable[[], Change]] = {
    "a service's name that leaves no room for a method": lambda: contract("vn." + "a" * 197, "Get"),
    "a method's name of a megabyte": lambda: contract("vn.a.v1.Service", "G" * 1_000_000),
    "the longest path that a gate reads": lambda: contract("vn.a.v1.Service", "G" * (200 - len("/vn.a.v1.Service/"))),
    "the shortest path": lambda: contract("a.b", "c"),
    "a grant until the end of time": lambda: replace(grant("g2"), not_after_ms=2**63),
    "a grant until the last millisecond": lambda: replace(grant("g2"), not_after_ms=2**63 - 1),
    "a grant far beyond any number": lambda: replace(grant("g2"), not_before_ms=10**40, not_after_ms=10**41),
    "the largest quota": lambda: replace(grant("g2"), quota=Quota(2**32 - 1, 2**32 - 1, 10**15, 10**15)),
    "a burst without a rate": lambda: replace(grant("g2"), quota=Quota(burst=1)),
    "an address with a zone": lambda: EndpointsSet(POPULATION, ("[fe80::1%\x1b[2J]:443",)),
}


@pytest.mark.parametrize("name", EDGES)
def test_what_is_recorded_compiles_and_what_does_not_compile_is_refused(name: str) -> None:
    log = Log(nation())
    try:
        after = propose(log.state, [EDGES[name]()], ACT, NOW + 1).after
    except Refusal:
        return
    document = policy_document(after, NOW + 1)
    build_tables(document.tables)
    for endpoints in document.endpoints.values():
        assert all(str(one).isprintable() and "%" not in str(one) for one in endpoints)


@pytest.mark.parametrize("payload", ["[" * 200_000, '{"a":' * 100_000, '"' + "\\ud800" + '"', "9" * 10_000, "NaN"])
def test_payload_that_overwhelms_a_reader_is_refused_as_any_other(payload: str) -> None:
    with pytest.raises(PayloadError):
        decode_change("member.suspended", payload)
