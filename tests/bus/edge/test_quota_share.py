"""A limit over the whole bus, divided among its brokers: what is enforced in sum, whoever is registered."""

from dataclasses import replace

import pytest

from bus.edge.quota_share import broker_count, divided, grant_share, subsystem_share
from native.policy import Certificate, Grant, Method, Policy, PolicyTables, Subsystem, build_tables

ID = "spiffe://bus.test.example/gov/"
GET = "/test.v1.EchoService/Say"
LIMITS = ("calls_per_second", "burst", "calls_per_day", "bytes_per_day")


def broker(name: str, *, active: bool = True) -> Subsystem:
    return Subsystem(f"{ID}ndc/{name}", f"{ID}ndc/", active, is_broker=True)


def certificate(subsystem: Subsystem) -> Certificate:
    return Certificate(subsystem.id.encode().ljust(32, b"-")[-32:], subsystem.id, 2**60)


def tables(*brokers: Subsystem, certified: tuple[Subsystem, ...] | None = None) -> PolicyTables:
    client, provider = Subsystem(f"{ID}moj/civil", f"{ID}moj/"), Subsystem(f"{ID}mps/population", f"{ID}mps/")
    grant = Grant("grant-1", client.id, provider.id, (GET,), ("p",), 0, 1, True, 10, 0, 7, 1)
    return PolicyTables(
        subsystems=(*brokers, replace(client, calls_per_second=5, burst=9), provider),
        certificates=tuple(certificate(one) for one in (brokers if certified is None else certified)),
        methods=(Method(GET),),
        grants=(grant,),
    )


@pytest.mark.parametrize("brokers", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("limit", [0, 1, 2, 3, 10, 999, 1000, 1001, 2**32 - 1])
def test_shares_are_never_none_and_add_up_to_hardly_more(limit: int, brokers: int) -> None:
    whole = Grant("g", "c", "p", (), (), 0, 1, False, limit, limit, limit, limit)
    share = grant_share(whole, brokers)
    for name in LIMITS:
        found = getattr(share, name)
        assert (found == 0) is (limit == 0)
        assert limit <= brokers * found < limit + brokers
    peer = subsystem_share(Subsystem("s", "m", calls_per_second=limit, burst=limit), brokers)
    assert (peer.calls_per_second, peer.burst) == (share.calls_per_second, share.burst)


def test_one_broker_has_all_of_it() -> None:
    whole = tables(broker("broker-1"))
    assert divided(whole) is whole
    assert divided(tables()) == tables()


def test_gate_tables_say_the_share() -> None:
    policy = Policy(build_tables(divided(tables(broker("broker-1"), broker("broker-2"), broker("broker-3")))))
    grant = policy.grant(policy.find_grant("grant-1") or 0)
    assert [getattr(grant, name) for name in LIMITS] == [4, 0, 3, 1]
    peer = policy.subsystem(policy.find_subsystem(f"{ID}moj/civil") or 0)
    assert (peer.calls_per_second, peer.burst) == (2, 3)


def test_broker_that_cannot_work_takes_no_share() -> None:
    first, suspended, fresh = broker("broker-1"), broker("broker-2", active=False), broker("broker-3")
    assert broker_count(tables(first, suspended, fresh, certified=(first, suspended))) == 1
    assert broker_count(tables(first, suspended, fresh)) == 2
    assert broker_count(tables(suspended)) == 1
