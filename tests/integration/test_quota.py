"""Check 9: a grant's and a peer's rate, a grant's day in calls and bytes; shared by all workers, kept over restarts."""

import copy
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from bus.edge.instance import Instance
from bus.exchange.meanings import meaning
from bus.exchange.reasons import Reason
from tests.support.gate_world import World, eventually, running_world
from tests.support.gate_world_nation import AGENT, BROKER, WATCH
from tests.support.raw_client import Answer
from tests.support.raw_provider_answers import answering, hang, honest

BROKERS = 2
"""Of the world; each has its share of every limit (bus.edge.quota_share)."""
DAY_S = 86_400
QUOTAS: dict[str, dict[str, int]] = {
    "rate": {"calls_per_second": 1, "burst": 3},
    "shared": {"calls_per_day": 10},
    "shared-rate": {"calls_per_second": 1, "burst": 10},
    "bytes": {"bytes_per_day": 1_000},
    "stream": {"bytes_per_day": 100, "calls_per_day": 50},
    "failed": {"bytes_per_day": 1_000},
    "once": {"calls_per_day": 1},
    "left": {"calls_per_day": 2},
    "swapped": {"calls_per_day": 3},
    "killed-calls": {"calls_per_day": 4},
    "killed-bytes": {"bytes_per_day": 60},
    "metrics": {"calls_per_day": 1},
    "peer-0": {"calls_per_day": 100},
    "peer-1": {"calls_per_day": 100},
}
"""One grant for each test, all of CALLER for PROVIDER."""
AGENTS_RATE = {"calls_per_second": 1, "burst": 2}


def four_workers(instance: Instance) -> None:
    path = instance.broker_home(BROKER) / "broker.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | {"concurrency": 4}))


@pytest.fixture(scope="module")
def quotas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    left = DAY_S - time.time() % DAY_S
    if left < 120:  # every test lies within one UTC day
        time.sleep(left + 1)
    with running_world(tmp_path_factory.mktemp("quotas") / "a state", prepare=four_workers) as world:
        limit(world, QUOTAS, agent=True)
        yield world
        world.settle()


@pytest.fixture(autouse=True)
def honest_again(quotas: World) -> Iterator[None]:
    yield
    quotas.provider.behaviour = honest


def limit(world: World, quotas: dict[str, dict[str, int]], *, agent: bool = False) -> None:
    """Grants like grant-1 are in force, with these quotas at this broker."""
    with world.policy() as document:
        known = {entry["id"]: entry for entry in document["grants"]}
        for grant, quota in quotas.items():
            if grant not in known:
                known[grant] = copy.deepcopy(known["grant-1"]) | {"id": grant}
                document["grants"].append(known[grant])
            known[grant]["quota"] = {key: BROKERS * value for key, value in quota.items()}
        if agent:
            (entry,) = [one for one in document["subsystems"] if one["id"] == AGENT]
            entry["quota"] = {key: BROKERS * value for key, value in AGENTS_RATE.items()}


def retry_s(answer: Answer) -> float:
    """RetryInfo of a refusal, in seconds."""
    details = Status.FromString(answer.binary("grpc-status-details-bin")).details
    found = RetryInfo()
    assert len(details) == 2
    assert details[1].Unpack(found)
    return float(found.retry_delay.seconds + found.retry_delay.nanos / 1e9)


def verify_midnight(answer: Answer) -> None:
    """RetryInfo leads to the next UTC day."""
    assert abs(retry_s(answer) - (DAY_S - time.time() % DAY_S)) < 60


def answered_before_refused(
    world: World, reason: Reason, limit: str, sender: str, **changes: Any
) -> tuple[int, Answer]:
    """Calls until one is refused: how many were answered, and the refusal, which reached no provider and no intent."""
    for answered in range(500):
        request, touched = world.request(**changes), world.provider.calls
        answer = world.send(request, sender=sender)
        if answer.code:
            assert world.provider.calls == touched
            return answered, world.refuses(request, reason, answer=answer, sender=sender, limit=limit)
    raise AssertionError("never refused")


def exhaust(world: World, reason: Reason, limit: str, *, sender: str = "gov/moj/civil-status", **changes: Any) -> int:
    answered, answer = answered_before_refused(world, reason, limit, sender, **changes)
    if reason is Reason.QUOTA_EXCEEDED:
        verify_midnight(answer)
    return answered


def used(world: World, grant: str) -> tuple[int, int]:
    """Calls and bytes that the journal counts for a grant, by its readable definition."""
    intents = [one for one in world.journal.poll().intents if one.request.grant_id == grant]
    counted = [one for one in intents if one.counted_bytes is not None]
    outcomes = [one for intent in counted for one in world.journal.outcomes.get(intent.admission.sequence, [])]
    sent = sum(intent.counted_bytes or 0 for intent in counted)
    return len(counted), sent + sum(outcome.receipt.bytes_released for outcome in outcomes)


def together(world: World, count: int, **changes: Any) -> list[Answer]:
    """So many calls at once, each over a connection of its own, so that all workers have some."""
    answers: list[Answer] = []
    start = threading.Barrier(count)

    def send() -> None:
        request = world.request(**changes)
        with world.connect() as connection:
            start.wait(30)
            answers.append(connection.call(request.headers(), request.body))

    threads = [threading.Thread(target=send) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == count
    return answers


def test_a_rate_is_refused_with_the_time_to_wait_and_the_provider_untouched(quotas: World) -> None:
    grant = "rate"
    began = time.monotonic()
    answered, answer = answered_before_refused(
        quotas, Reason.RATE_LIMITED, "grant", "gov/moj/civil-status", grant_id=grant
    )
    assert 3 <= answered <= 4 + time.monotonic() - began
    assert 0 < retry_s(answer) <= 1
    time.sleep(retry_s(answer))
    quotas.answers(quotas.request(grant_id=grant))


def test_all_workers_share_one_bucket_and_one_day(quotas: World) -> None:
    grant = "shared"
    answers = together(quotas, 24, grant_id=grant)
    reasons = [answer.refusal for answer in answers]
    assert (reasons.count(None), reasons.count((Reason.QUOTA_EXCEEDED, {"limit": "calls"}))) == (10, 14)
    assert used(quotas, grant)[0] == 10
    began = time.monotonic()
    grant = "shared-rate"
    reasons = [answer.refusal for answer in together(quotas, 24, grant_id=grant)]
    assert 10 <= reasons.count(None) <= 11 + time.monotonic() - began
    assert all(one in (None, (Reason.RATE_LIMITED, {"limit": "grant"})) for one in reasons)


def test_a_days_bytes_are_request_and_released_answer(quotas: World) -> None:
    grant = "bytes"
    message = b"\x0a\x5b" + bytes(91)  # 98 bytes of frame each way
    assert exhaust(quotas, Reason.QUOTA_EXCEEDED, "bytes", grant_id=grant, message=message) == 5
    assert eventually(lambda: used(quotas, grant) == (5, 980))
    quotas.answers(quotas.request(grant_id=grant, message=b"\x0a\x02hi"))  # 9 bytes: 989 before its answer, 998 after
    quotas.refuses(quotas.request(grant_id=grant, message=b"\x0a\x02hi"), Reason.QUOTA_EXCEEDED, limit="bytes")
    assert used(quotas, grant) == (6, 998)


def test_a_stream_counts_what_was_released_when_it_ends(quotas: World) -> None:
    grant = "stream"
    quotas.answers(quotas.request(grant_id=grant, method=WATCH))  # 9 bytes, and three times 9 back
    assert used(quotas, grant) == (1, 36)
    assert exhaust(quotas, Reason.QUOTA_EXCEEDED, "bytes", grant_id=grant, method=WATCH) == 2
    assert used(quotas, grant) == (3, 108)


def test_answers_that_fail_their_check_cost_their_request_only(quotas: World) -> None:
    grant = "failed"
    quotas.provider.behaviour = answering(lambda draft: draft.but(claims={"message_count": 7}))
    request = quotas.request(grant_id=grant)
    quotas.fails(request, Reason.RESPONSE_MISMATCH)
    assert used(quotas, grant) == (1, 9)


def test_what_never_becomes_an_intent_gives_its_call_back(quotas: World) -> None:
    grant = "once"

    def whose_body_is_another() -> Answer:
        request = quotas.request(grant_id=grant)
        return quotas.send(request.but(body=quotas.request(message=b"\x0a\x02ho").body))

    for _ in range(3):
        # A reset is on its way: until it is there, the call is pending and there is no other.
        eventually(lambda: whose_body_is_another().refusal == (Reason.BODY_COMMITMENT_MISMATCH, {}))
        request, connection = quotas.request(grant_id=grant), quotas.connection()
        connection.reset(connection.open(request.headers()))
    eventually(lambda: quotas.send(quotas.request(grant_id=grant)).code == 0)
    quotas.refuses(quotas.request(grant_id=grant), Reason.QUOTA_EXCEEDED, limit="calls")


def test_a_call_that_the_client_left_counts_as_it_was_admitted(quotas: World) -> None:
    grant = "left"
    quotas.provider.behaviour = hang
    request, connection = quotas.request(grant_id=grant), quotas.connection()
    stream = connection.open(request.headers())
    connection.send(stream, request.body, end=True)
    quotas.intent(request)
    connection.reset(stream)
    quotas.outcome(request)
    quotas.provider.behaviour = honest
    quotas.answers(quotas.request(grant_id=grant))
    quotas.refuses(quotas.request(grant_id=grant), Reason.QUOTA_EXCEEDED, limit="calls")


def test_a_grant_without_limits_is_not_counted(quotas: World) -> None:
    quotas.answers(quotas.request())
    assert used(quotas, "grant-1") == (0, 0)


def test_another_snapshot_keeps_what_was_used_and_brings_its_own_limits(quotas: World) -> None:
    grant = "swapped"
    assert exhaust(quotas, Reason.QUOTA_EXCEEDED, "calls", grant_id=grant) == 3
    quotas.publish()
    quotas.refuses(quotas.request(grant_id=grant), Reason.QUOTA_EXCEEDED, limit="calls")
    limit(quotas, {grant: {"calls_per_day": 5}})
    assert exhaust(quotas, Reason.QUOTA_EXCEEDED, "calls", grant_id=grant) == 2
    limit(quotas, {grant: {}})
    quotas.answers(quotas.request(grant_id=grant))


def test_a_peer_is_limited_over_all_it_carries(quotas: World) -> None:
    """The agent brings its colleague's calls; they are its own rate's."""
    grants = ["peer-0", "peer-1"]
    began, answered = time.monotonic(), 0
    while True:
        request, touched = quotas.request(grant_id=grants[answered % 2]), quotas.provider.calls
        answer = quotas.send(request, sender=AGENT)
        if answer.code:
            break
        answered += 1
    assert 2 <= answered <= 3 + time.monotonic() - began
    assert quotas.provider.calls == touched
    quotas.refuses(request, Reason.RATE_LIMITED, answer=answer, sender=AGENT, limit="peer")
    assert 0 < retry_s(answer) <= 1
    quotas.answers(quotas.request(grant_id=grants[0]))  # by the client itself: another peer
    assert sum(used(quotas, grant)[0] for grant in grants) == answered + 1, "the refused one was given back"


def test_after_a_kill_the_day_goes_on_where_it_was(quotas: World) -> None:
    by_calls = "killed-calls"
    by_bytes = "killed-bytes"
    for _ in range(3):
        quotas.answers(quotas.request(grant_id=by_calls))
        quotas.answers(quotas.request(grant_id=by_bytes))
    quotas.kill()
    assert exhaust(quotas, Reason.QUOTA_EXCEEDED, "calls", grant_id=by_calls) == 1
    quotas.refuses(quotas.request(grant_id=by_bytes), Reason.QUOTA_EXCEEDED, limit="bytes")
    quotas.kill()
    quotas.refuses(quotas.request(grant_id=by_calls), Reason.QUOTA_EXCEEDED, limit="calls")


def test_refusals_are_counted_by_reason(quotas: World) -> None:
    def counted() -> int:
        found = quotas.broker.statistics().items()
        return sum(value for name, value in found if "refusals" in name and "QUOTA_EXCEEDED" in name)

    grant = "metrics"
    quotas.answers(quotas.request(grant_id=grant))
    before = counted()
    for _ in range(3):
        quotas.refuses(quotas.request(grant_id=grant), Reason.QUOTA_EXCEEDED, limit="calls")
    eventually(lambda: counted() == before + 3)
    assert meaning(Reason.QUOTA_EXCEEDED).check == 9
