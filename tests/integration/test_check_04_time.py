"""Check 4: a request is fresh, lives no longer than its method may, and its deadline is sound."""

import time

import pytest

from bus.exchange.reasons import Reason
from tests.support.gate_world import World, verify_refusal


def now_ms() -> int:
    return time.time_ns() // 1_000_000


@pytest.mark.parametrize("shift", [-3_600_000, -30_500, 31_000, 3_600_000])
def test_request_made_too_long_ago_or_in_the_future_is_refused_with_the_servers_time(world: World, shift: int) -> None:
    now = now_ms()
    request = world.request(issued_at_ms=now + shift, not_after_ms=now + shift + 20_000)
    touched = world.provider.calls
    answer = world.send(request)
    assert answer.refusal is not None
    told = answer.refusal[1]["server_time_ms"]
    verify_refusal(answer, Reason.REQUEST_NOT_FRESH, {"server_time_ms": told})
    assert now <= int(told) <= now_ms()
    assert world.provider.calls == touched


@pytest.mark.parametrize("shift", [-29_000, 29_000])
def test_clocks_may_differ_by_half_a_minute(world: World, shift: int) -> None:
    now = now_ms()
    world.answers(world.request(issued_at_ms=now + shift, not_after_ms=max(now, now + shift) + 500))


@pytest.mark.parametrize(
    ("issued", "ends"),
    [(0, 0), (0, -1), (-20_000, -10_000), (10_000, 5_000), (0, 600_000), (0, 250_000_000_000_000)],
    ids=["no lifetime", "backwards", "over", "ends before it began", "beyond the method's maximum", "for ever"],
)
def test_lifetime_without_sense_is_refused(world: World, issued: int, ends: int) -> None:
    now = now_ms()
    world.refuses(world.request(issued_at_ms=now + issued, not_after_ms=now + ends), Reason.LIFETIME_INVALID)


def test_deadline_that_is_over_is_refused(world: World) -> None:
    request = world.request()
    world.refuses(request, Reason.LIFETIME_INVALID, headers=request.headers(timeout="0S"))


@pytest.mark.parametrize("timeout", ["10", "S", "-1S", "1s", "1.5S", "123456789S", "1SS", "1S,99H"])
def test_deadline_that_is_none_gives_way_to_the_signed_one(world: World, timeout: str) -> None:
    """Envoy takes what it cannot read for absent; the provider must never see it."""
    request = world.request()
    assert world.connection().call(request.headers(timeout=timeout), request.body).code == 0
    assert 15_000 <= int(world.provider.seen[-1].value("grpc-timeout").removesuffix("m")) <= 20_000


def test_of_two_deadlines_none_is_believed(world: World) -> None:
    request = world.request()
    assert world.connection().call(request.headers(("grpc-timeout", "99H"), timeout="1S"), request.body).code == 0
    assert 15_000 <= int(world.provider.seen[-1].value("grpc-timeout").removesuffix("m")) <= 20_000


@pytest.mark.parametrize(
    ("timeout", "least", "most"),
    [("3S", 2_000, 3_000), ("99999999H", 15_000, 20_000), (None, 15_000, 20_000), ("2500000u", 2_000, 2_500)],
)
def test_provider_sees_the_smaller_of_both_deadlines(world: World, timeout: str | None, least: int, most: int) -> None:
    request = world.request()
    assert world.connection().call(request.headers(timeout=timeout), request.body).code == 0
    seen = world.provider.seen[-1].value("grpc-timeout")
    unit = {"m": 1, "S": 1000, "u": 0.001}[seen[-1]]
    assert least <= int(seen[:-1]) * unit <= most
