"""The ledger asked over the bus, as any member's service: signed calls, proofs that verify at the caller's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from govbus.ledger.v1 import ledger_pb2 as pb
from govbus.ledger.v1 import ledger_pb2_grpc as rpc

from bus.exchange import connect, serve
from bus.exchange.errors import ProviderError
from bus.ledger.checkpoint import verify_checkpoint
from bus.ledger.note import NoteSigner
from bus.ledger.proof import EntryProof, verify_entry
from bus.ledger.reader import LedgerReader
from bus.ledger.sequencer import Sequencer
from bus.ledger.service import LedgerServicer
from native.merkle import verify_consistency
from native.policy import Grant, Method, MethodKind
from tests.bus.exchange.world import BROKER, CLIENT, PROVIDER, PURPOSE, World, everybody, start_broker
from tests.bus.ledger.support import entries, signer

METHODS = tuple(
    f"/govbus.ledger.v1.LedgerService/{name}" for name in ("GetCheckpoint", "GetInclusionProof", "GetConsistencyProof")
)


@dataclass
class Asked:
    """A served ledger of 300 entries and a member's stub."""

    stub: Any
    home: Path
    key: NoteSigner = field(default_factory=signer)
    entries: list[bytes] = field(default_factory=lambda: entries(300))


@asynccontextmanager
async def served(tmp_path: Path) -> AsyncIterator[Asked]:
    asked = Asked(None, tmp_path / "ledger")
    with Sequencer(asked.home, asked.key) as sequencer:
        sequencer.integrate(asked.entries[:100], {})
        sequencer.integrate(asked.entries[100:], {})
    (tmp_path / "world").mkdir()
    world = World.make(tmp_path / "world", everybody(tmp_path / "world"))
    end = world.tables.keys[0].not_after_ms
    world.publish(
        methods=tuple(Method(path, MethodKind.UNARY, 10_000, idempotent=True) for path in METHODS),
        grants=(Grant("grant-1", world.spiffe(CLIENT), world.spiffe(PROVIDER), METHODS, (PURPOSE,), 0, end),),
    )
    servicer = LedgerServicer(LedgerReader(asked.home, asked.key.verifier))
    server = serve(world.provider_config(), [(rpc.add_LedgerServiceServicer_to_server, servicer)])
    await server.start()
    broker, _ = await start_broker(world, {PROVIDER: server.port})
    channel = connect(world.client_config((BROKER, broker.port)))
    asked.stub = rpc.LedgerServiceStub(channel)
    try:
        yield asked
    finally:
        await channel.close()
        await broker.stop()
        await server.stop(0.2)


async def test_checkpoint_inclusion_and_consistency_verify_at_the_caller(tmp_path: Path) -> None:
    async with served(tmp_path) as asked:
        verifier = asked.key.verifier
        answer = await asked.stub.GetCheckpoint(pb.GetCheckpointRequest())
        newest = verify_checkpoint(answer.checkpoint, verifier)
        assert newest.size == 300
        found = await asked.stub.GetInclusionProof(pb.GetInclusionProofRequest(entry=asked.entries[42]))
        proof = EntryProof(found.index, tuple(found.path), found.checkpoint)
        assert verify_entry(proof, asked.entries[42], verifier) == newest
        joined = await asked.stub.GetConsistencyProof(pb.GetConsistencyProofRequest(first_size=300))
        verify_consistency(300, 300, newest.root, newest.root, list(joined.path))
        joined = await asked.stub.GetConsistencyProof(pb.GetConsistencyProofRequest(first_size=100, second_size=257))
        assert len(joined.path) > 0


async def test_what_is_not_there_is_told_with_its_reason(tmp_path: Path) -> None:
    async with served(tmp_path) as asked:
        with pytest.raises(ProviderError) as unknown:
            await asked.stub.GetInclusionProof(pb.GetInclusionProofRequest(entry=entries(1)[0]))
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        assert "ENTRY_UNKNOWN" in (unknown.value.details() or "")
        for first, second in ((301, 0), (200, 100), (1, 1 << 62)):
            request = pb.GetConsistencyProofRequest(first_size=first, second_size=second)
            with pytest.raises(ProviderError) as beyond:
                await asked.stub.GetConsistencyProof(request)
            assert beyond.value.code() is grpc.StatusCode.OUT_OF_RANGE


async def test_what_the_contract_does_not_allow_is_refused(tmp_path: Path) -> None:
    async with served(tmp_path) as asked:
        for call, request in (
            (asked.stub.GetInclusionProof, pb.GetInclusionProofRequest(entry=b"short")),
            (asked.stub.GetConsistencyProof, pb.GetConsistencyProofRequest()),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                await call(request)
            assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
