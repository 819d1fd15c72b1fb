"""A change in the registry is in force at the real gate and at providers: within a second as a rule, always soon."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from vn.administrative.v1 import administrative_pb2_grpc as rpc

from bus.edge.publisher import Publisher
from bus.engines.postgres_database import Database
from bus.exchange import CallError, Reason, RefusedLocally
from bus.registry.change import Change
from bus.registry.grants import GrantMade, GrantRevoked
from bus.registry.keys import CertificateRevoked
from bus.registry.registry import Registry
from bus.registry.subsystems import SubsystemResumed, SubsystemSuspended
from pki.signer import FileSigner
from tests.integration.world import CALLER, UNITS, Running, ask, running
from tests.support.registered import ACT, found_registry, now_ms, tls_certificate

CAP_SECONDS = 15.0
METHOD = "/vn.administrative.v1.AdministrativeUnitService/GetUnit"
ANSWERED = "answered"


@dataclass
class World:
    running: Running
    registry: Registry
    publisher: Publisher

    async def in_force(self, what: str, change: Change, ask_once: Callable[[], Awaitable[str]], wanted: str) -> None:
        """Record the change and call until the answer is `wanted`; tells the time that took."""
        assert await ask_once() != wanted
        await asyncio.to_thread(self.registry.record, [change], ACT)
        recorded = time.monotonic()
        while (found := await ask_once()) != wanted:
            assert time.monotonic() - recorded < CAP_SECONDS, found
            await asyncio.sleep(0.01)
        took = time.monotonic() - recorded
        written = self.publisher.last.delay_ms if self.publisher.last else -1
        print(f"{what}: in force after {took * 1000:.0f} ms; files written after {written} ms")

    async def ask_by(self, grant_id: str) -> str:
        """How a call by this grant ends: answered, or the reason."""
        channel = self.running.channel.using(
            purpose="civil.birth", case_id="case-a1", grant_id=grant_id, provider=UNITS_ID
        )
        try:
            await units_stub(channel).GetUnit(ask(), timeout=5)
        except CallError as error:
            # What this client refuses itself says nothing about the gate.
            return f"{'local ' if isinstance(error, RefusedLocally) else ''}{error.reason}"
        return ANSWERED

    async def ask_usual(self) -> str:
        return await self.ask_by("grant-1")


UNITS_ID = f"spiffe://bus.test.example/{UNITS}"


def units_stub(channel: object) -> "rpc.AdministrativeUnitServiceAsyncStub":
    return rpc.AdministrativeUnitServiceStub(channel)  # type: ignore[no-any-return,call-overload]


@asynccontextmanager
async def following(state: Path, database: Database) -> AsyncIterator[World]:
    """A nation that runs, and follows a registry."""
    async with running(state) as world:
        registry, store = found_registry(world.instance, database)
        signer = FileSigner.load(world.instance.state / "policy-signing-key.pem")
        with store, Publisher(world.instance.state, registry, signer, now_ms) as publisher:
            yield World(world, registry, publisher)


async def test_change_is_in_force_soon(tmp_path: Path, database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    async with following(tmp_path / "a state", database) as world:
        assert await world.ask_usual() == ANSWERED
        now = now_ms()
        grant = GrantMade("grant-2", CALLER, UNITS, (METHOD,), ("civil.birth",), now, now + 3_600_000)
        await world.in_force("grant added", grant, lambda: world.ask_by("grant-2"), ANSWERED)
        await world.in_force(
            "grant revoked", GrantRevoked("grant-2"), lambda: world.ask_by("grant-2"), str(Reason.NO_GRANT)
        )
        await world.in_force(
            "subsystem suspended", SubsystemSuspended(CALLER), world.ask_usual, str(Reason.SUBSYSTEM_SUSPENDED)
        )
        await world.in_force("subsystem resumed", SubsystemResumed(CALLER), world.ask_usual, ANSWERED)
        revoked = CertificateRevoked(tls_certificate(CALLER, world.running.instance.home(CALLER)).digest)
        await world.in_force("certificate revoked", revoked, world.ask_usual, str(Reason.CERTIFICATE_NOT_LIVE))
    with capsys.disabled():
        print("\n" + capsys.readouterr().out, end="")
