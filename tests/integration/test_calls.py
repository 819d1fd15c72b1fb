"""Calls through the real gate in the real Envoy, from stock stub to stock servicer and into the journal."""

import asyncio
import os
import random
import signal
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from vn.administrative.v1 import administrative_pb2 as pb

from bus.engines.broker import Broker
from bus.evidence.bundle import encode_bundle
from bus.evidence.export import bundle_of_call, export_call
from bus.evidence.verify import LEDGER_STEPS, verify_bundle
from bus.exchange import CallError, ProviderError, exceptions
from native.codec import decode_receipt, decode_request_header
from native.journal import load_segments, read_groups
from native.journal_records import Intent, Outcome, parse_record
from tests.integration.world import CALLER, CODE_LIST, Running, ask, running


def snapshot_of(world: Running) -> bytes:
    return (world.instance.home(CALLER) / "snapshot.bin").read_bytes()


async def test_a_call_is_answered_and_provable_from_both_ends(tmp_path: Path) -> None:
    async with running(tmp_path / "a state") as world:
        answer = await world.units.GetUnit(ask(), timeout=5)
        assert answer.unit.code.code == "01"
        (told,) = world.evidence
    pinned = world.instance.policy_key_point
    made = bundle_of_call(told, snapshot=snapshot_of(world), policy_key=pinned)
    found = verify_bundle(encode_bundle(made), pinned)
    absent = [step.name for step in found.steps if not step.present]
    assert absent == ["admission", "admission signature", *LEDGER_STEPS]
    journal = world.broker.config.journal
    exported = export_call(found.request.request_id, journal, snapshot=snapshot_of(world), policy_key=pinned)
    assert verify_bundle(encode_bundle(exported), pinned).outcome == "DONE"


async def test_an_error_of_the_provider_is_signed_and_receipted_too(tmp_path: Path) -> None:
    async with running(tmp_path / "a state") as world:
        with pytest.raises(ProviderError) as caught:
            await world.units.GetUnit(ask("99"), timeout=5)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        (told,) = world.evidence
    pinned = world.instance.policy_key_point
    made = bundle_of_call(told, snapshot=snapshot_of(world), policy_key=pinned)
    assert verify_bundle(encode_bundle(made), pinned).outcome == "DONE"


async def test_receipt_of_a_refused_call_verifies_at_the_client_and_offline(tmp_path: Path) -> None:
    async with running(tmp_path / "a state", serving=False) as world:
        with pytest.raises(exceptions.ProviderUnreachable) as caught:
            await world.units.GetUnit(ask(), timeout=20)
        assert caught.value.receipt_refused == ""
        told = world.evidence[0]
    pinned = world.instance.policy_key_point
    made = bundle_of_call(told, snapshot=snapshot_of(world), policy_key=pinned)
    assert verify_bundle(encode_bundle(made), pinned).outcome == "FAILED"


async def test_a_stream_is_sealed(tmp_path: Path) -> None:
    async with running(tmp_path / "a state") as world:
        request = pb.ListUnitsRequest(code_list_version=CODE_LIST)
        codes = [answer.units[0].code.code async for answer in world.units.ListUnits(request, timeout=5)]
    assert codes == ["01", "02", "03"]


async def test_policy_is_swapped_under_load_without_a_failed_call(tmp_path: Path) -> None:
    async with running(tmp_path / "a state") as world:
        stop = asyncio.Event()

        async def load() -> int:
            calls = 0
            while not stop.is_set():
                await world.units.GetUnit(ask(), timeout=10)
                calls += 1
            return calls

        workers = [asyncio.create_task(load()) for _ in range(8)]
        for _ in range(5):
            await asyncio.to_thread(world.instance.publish, now=datetime.now(UTC))
            await asyncio.sleep(0.4)
        stop.set()
        assert sum(await asyncio.gather(*workers)) > 0
        versions = {decode_receipt(told.receipt).snapshot_version for told in world.evidence}
        connections = world.broker.envoy.admin.stats("http.edge.downstream_cx_destroy")
    assert max(versions) == 6
    assert connections.get("http.edge.downstream_cx_destroy", 0) == 0


async def kills_under_load(state: Path, kills: int, seed: int) -> None:
    """Kill Envoy again and again under load; what was acknowledged is in the journal, and no id is there twice."""
    source = random.Random(seed)
    async with running(state) as world:
        stop = asyncio.Event()

        async def load() -> None:
            while not stop.is_set():
                try:
                    await world.units.GetUnit(ask(), timeout=5)
                except CallError:
                    await asyncio.sleep(0.05)

        workers = [asyncio.create_task(load()) for _ in range(8)]
        supervisor = world.broker.envoy.supervisor
        for _ in range(kills):
            await asyncio.to_thread(supervisor.wait_ready)
            await asyncio.sleep(source.uniform(0.05, 0.5))
            if supervisor.pid is not None:
                os.kill(supervisor.pid, signal.SIGKILL)
            await asyncio.sleep(0.05)
        await asyncio.to_thread(supervisor.wait_ready)
        await asyncio.sleep(0.5)
        stop.set()
        await asyncio.gather(*workers)
    # Whatever the last kill left open is settled by the next start.
    with Broker(world.broker.config.directory):
        pass
    judge_journal(world)


def judge_journal(world: Running) -> None:
    """The journal against what the client was told."""
    entries = [
        parse_record(record)
        for group in read_groups(load_segments(world.broker.config.journal))
        for record in group.records
    ]
    intents = [entry for entry in entries if isinstance(entry, Intent)]
    outcomes = [entry for entry in entries if isinstance(entry, Outcome)]
    ids = Counter(entry.request.request_id for entry in intents)
    assert [one for one, times in ids.items() if times > 1] == []
    assert Counter(entry.receipt.intent_sequence for entry in outcomes) == Counter(
        entry.admission.sequence for entry in intents
    )
    recorded = {entry.receipt_bytes for entry in outcomes}
    told = [evidence for evidence in world.evidence if evidence.receipt]
    assert told
    for evidence in told:
        assert evidence.receipt in recorded, decode_request_header(evidence.request_header).request_id.hex()


async def test_killed_under_load_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    await kills_under_load(tmp_path / "a state", kills=5, seed=20261121)


@pytest.mark.soak
async def test_killed_two_hundred_times_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    await kills_under_load(tmp_path / "a state", kills=200, seed=20261122)
