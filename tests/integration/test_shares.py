"""One quota, two brokers: each enforces its share at its own gate, and stock code waits out a rate without noticing."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from bus.exchange import connect, exceptions, load_client_config, load_provider_config, serve  # isort: skip - before gRPC

import yaml
from vn.administrative.v1 import administrative_pb2_grpc as rpc

from bus.edge.instance import Instance, make_instance
from bus.edge.nation import SubsystemPlan
from bus.engines.broker import Broker
from tests.integration.world import BROKER, CALLER, PURPOSE, UNITS, Units, ask, nation

SECOND = "gov/ndc/broker-2"
DAILY, RATED = "daily", "rated"


def limited(state: Path) -> Instance:
    """Two brokers; CALLER may ask five times a day under one grant, twice a second under another."""
    plan = replace(nation(), brokers=(SubsystemPlan(BROKER), SubsystemPlan(SECOND)))
    instance = make_instance(state, plan, now=datetime.now(UTC))
    document = yaml.safe_load((state / "policy.yaml").read_text("utf-8"))
    (grant,) = document["grants"]
    document["grants"] = [
        deepcopy(grant) | {"id": DAILY, "quota": {"calls_per_day": 5}},
        deepcopy(grant) | {"id": RATED, "quota": {"calls_per_second": 2, "burst": 1}},
    ]
    (state / "policy.yaml").write_text(yaml.safe_dump(document, allow_unicode=True), "utf-8")
    instance.publish(now=datetime.now(UTC))
    return instance


@asynccontextmanager
async def running(instance: Instance) -> AsyncIterator[None]:
    registration = (rpc.add_AdministrativeUnitServiceServicer_to_server, Units())
    async with serve(load_provider_config(instance.config(UNITS)), [registration]):
        with ExitStack() as brokers:
            for path in (BROKER, SECOND):
                await asyncio.to_thread(brokers.enter_context, Broker(instance.broker_home(path)))
            yield


async def calls_until_used_up(instance: Instance, broker: int) -> int:
    """How many calls under DAILY this broker alone lets pass."""
    config = load_client_config(instance.config(CALLER))
    async with connect(replace(config, brokers=config.brokers[broker : broker + 1])) as channel:
        stub = rpc.AdministrativeUnitServiceStub(
            channel.using(purpose=PURPOSE, case_id="case-q1", grant_id=DAILY, provider=spiffe(instance, UNITS))
        )
        for passed in range(20):
            try:
                await stub.GetUnit(ask(), timeout=30)
            except exceptions.QuotaExceeded as refused:
                return passed if 0 < (refused.retry_after or 0) <= 86_400 else -1
    return 20


def spiffe(instance: Instance, path: str) -> str:
    return instance.subsystem_id(path).spiffe_id


async def test_two_brokers_divide_a_quota_and_a_rate_is_waited_for(tmp_path: Path) -> None:
    instance = limited(tmp_path / "a state")
    async with running(instance):
        day = datetime.now(UTC).date()
        passed = [await calls_until_used_up(instance, broker) for broker in (0, 1)]
        assert passed == [3, 3] or datetime.now(UTC).date() != day  # five, divided and rounded up
        config = load_client_config(instance.config(CALLER))
        async with connect(replace(config, brokers=config.brokers[:1])) as channel:
            view = channel.using(purpose=PURPOSE, case_id="case-q2", grant_id=RATED, provider=spiffe(instance, UNITS))
            stub = rpc.AdministrativeUnitServiceStub(view)
            began = time.monotonic()
            for _ in range(3):  # one at once, then one a second
                await stub.GetUnit(ask(), timeout=60)
            assert time.monotonic() - began >= 1.5
