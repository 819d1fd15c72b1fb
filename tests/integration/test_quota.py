"""Check 9: a grant's and a peer's rate, a grant's day in calls and bytes, whoever asks and through whichever worker."""

import copy
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status

from bus.exchange.reasons import Reason
from tests.support.gate_world import World, eventually, running_world
from tests.support.gate_world_nation import CALLER, PROVIDER
from tests.support.raw_client import Answer
from tests.support.raw_provider_answers import honest

DAY_S = 86_400


@pytest.fixture(scope="module")
def quotas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("quotas") / "a state") as world:
        yield world
        world.settle()


def limited(world: World, grant: str, **quota: int) -> str:
    """A grant of CALLER for PROVIDER that is in force, with this quota."""
    with world.policy() as document:
        known = {entry["id"]: entry for entry in document["grants"]}
        entry = known.get(grant)
        if entry is None:
            document["grants"].append(entry := copy.deepcopy(known["grant-1"]) | {"id": grant})
        entry["quota"] = quota
    return grant


def retry_s(answer: Answer) -> float:
    """RetryInfo of a refusal, in seconds."""
    details = Status.FromString(answer.binary("grpc-status-details-bin")).details
    assert len(details) == 2
    found = RetryInfo()
    assert details[1].Unpack(found)
    return found.retry_delay.seconds + found.retry_delay.nanos / 1e9


def test_a_rate_is_refused_with_the_time_to_wait_and_the_provider_untouched(quotas: World) -> None:
    grant = limited(quotas, "rate", calls_per_second=1, burst=3)
    began, touched = time.monotonic(), quotas.provider.calls
    answered = 0
    while (answer := quotas.send(request := quotas.request(grant_id=grant))).code == 0:
        answered += 1
    assert 3 <= answered <= 3 + time.monotonic() - began
    touched = quotas.provider.calls
    quotas.refuses(request, Reason.RATE_LIMITED, answer=answer, limit="grant")
    assert 0 < retry_s(answer) <= 1
    time.sleep(retry_s(answer))
    quotas.answers(quotas.request(grant_id=grant))
