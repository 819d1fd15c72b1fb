"""What a provider refuses although a broker delivered it; each refusal exact and signed, the servicer untouched.

The broker here is dishonest: it passes its own checks and then changes what it hands on. Its own check of the answer
accepts a provider's signed refusal, so the client sees the provider's word.
"""

import asyncio
import os
import random
from dataclasses import replace
from typing import Any, ClassVar

import grpc
import pytest

from benchmarks.python_forwarder import Pairs, PythonBroker
from bus.exchange import exceptions, metadata
from bus.exchange.errors import ProviderError, Refused
from bus.exchange.reasons import Reason
from native.batch import sign_batch
from native.codec import decode_admission, encode_admission
from native.digest import ADMISSION_TYPE
from pki.gatekey import make_gate_key
from pki.keys import generate_private_key
from pki.signer import KeySigner
from tests.bus.exchange.forge import forge, send
from tests.bus.exchange.world import (
    BROKER,
    BROKER_2,
    CLIENT,
    GET,
    HOUR_MS,
    OUTSIDER,
    PROVIDER,
    World,
    ask,
    now_ms,
    running,
    start_broker,
)


class Dishonest(PythonBroker):
    """Changes metadata and body on the way to the provider."""

    change: ClassVar[dict[str, bytes | None]] = {}
    append: ClassVar[Pairs] = ()
    body: ClassVar[bytes | None] = None

    def to_provider(self, pairs: Pairs, body: bytes) -> tuple[Pairs, bytes]:
        changed = tuple((key, self.change.get(key, value)) for key, value in pairs)
        kept: Any = tuple((key, value) for key, value in changed if value is not None)
        return (*kept, *self.append), body if self.body is None else self.body


def dishonest(**members: Any) -> type[PythonBroker]:
    return type("Dishonest", (Dishonest,), members)


async def refusal(world: World, kind: type[PythonBroker], **options: Any) -> tuple[ProviderError, int]:
    """The provider's signed refusal and how often its servicer was called."""
    async with running(world, kind=kind, **options) as bus:
        with pytest.raises(ProviderError) as error:
            await bus.stub.GetUnit(ask())
        return error.value, len(bus.units.calls)


@pytest.mark.parametrize(
    "missing", [metadata.ADMISSION, metadata.ADMISSION_SIGNATURE, metadata.GATE_KEY, metadata.GATE_KEY_SIGNATURE]
)
async def test_call_without_admission_parts_is_refused(world: World, missing: str) -> None:
    error, called = await refusal(world, dishonest(change={missing: None}))
    assert isinstance(error, exceptions.MetadataMissing)
    assert error.metadata == {"key": missing}
    assert called == 0


@pytest.mark.parametrize(
    "garbage", [metadata.ADMISSION, metadata.ADMISSION_SIGNATURE, metadata.GATE_KEY, metadata.GATE_KEY_SIGNATURE]
)
async def test_garbage_for_an_admission_is_refused(world: World, garbage: str) -> None:
    error, called = await refusal(world, dishonest(change={garbage: b"\x0agarbage"}))
    assert isinstance(error, exceptions.AdmissionInvalid)
    assert called == 0


async def test_admission_of_another_call_is_refused(world: World) -> None:
    class Mixing(PythonBroker):
        first: dict[str, str | bytes] | None = None

        def to_provider(self, pairs: Pairs, body: bytes) -> tuple[Pairs, bytes]:
            kept = (metadata.ADMISSION, metadata.ADMISSION_SIGNATURE)
            if self.first is None:
                type(self).first = {key: value for key, value in pairs if key in kept}
                return pairs, body
            return tuple((key, self.first.get(key, value)) for key, value in pairs), body

    async with running(world, kind=Mixing) as bus:
        await bus.stub.GetUnit(ask())
        with pytest.raises(exceptions.AdmissionInvalid):
            await bus.stub.GetUnit(ask())
        assert len(bus.units.calls) == 1


async def test_admission_by_a_gate_key_that_no_broker_certified_is_refused(world: World) -> None:
    class SelfMade(PythonBroker):
        def to_provider(self, pairs: Pairs, body: bytes) -> tuple[Pairs, bytes]:
            stranger = KeySigner(generate_private_key())
            broker = world.instance.subsystem(BROKER)
            made = make_gate_key(broker, stranger, now=world.instance.now)
            return self.readmitted(pairs, stranger, made.gate_key, made.signature), body

        def readmitted(self, pairs: Pairs, key: KeySigner, gate_key: bytes, certified: bytes) -> Pairs:
            found = dict(pairs)
            admission = found[metadata.ADMISSION]
            assert isinstance(admission, bytes)
            (signature,) = sign_batch(key, [(ADMISSION_TYPE, admission)])
            found |= {
                metadata.ADMISSION_SIGNATURE: signature,
                metadata.GATE_KEY: gate_key,
                metadata.GATE_KEY_SIGNATURE: certified,
            }
            return tuple(found.items())

    error, called = await refusal(world, SelfMade)
    assert error.reason is Reason.ADMISSION_INVALID
    assert called == 0


@pytest.mark.parametrize(
    "field", ["broker", "request_digest", "request_signature_digest", "intent_time_ms", "sequence", "entry_salt"]
)
async def test_admission_changed_in_any_field_is_refused(world: World, field: str) -> None:
    class Changing(PythonBroker):
        def to_provider(self, pairs: Pairs, body: bytes) -> tuple[Pairs, bytes]:
            found = dict(pairs)
            admission = found[metadata.ADMISSION]
            assert isinstance(admission, bytes)
            right = decode_admission(admission)
            value = getattr(right, field)
            other: Any = (
                value + 1 if isinstance(value, int) else world.spiffe(BROKER_2) if field == "broker" else bytes(32)
            )
            found[metadata.ADMISSION] = encode_admission(replace(right, **{field: other}))
            return tuple(found.items()), body

    error, called = await refusal(world, Changing)
    assert isinstance(error, exceptions.AdmissionInvalid)
    assert called == 0


async def test_altered_body_is_refused(world: World) -> None:
    error, called = await refusal(world, dishonest(body=ask("02").SerializeToString()))
    assert isinstance(error, exceptions.BodyCommitmentMismatch)
    assert called == 0


async def test_altered_salt_is_refused(world: World) -> None:
    error, called = await refusal(world, dishonest(change={metadata.REQUEST_SALT: os.urandom(32)}))
    assert isinstance(error, exceptions.BodyCommitmentMismatch)
    assert called == 0


async def test_govbus_key_that_is_not_for_providers_is_refused(world: World) -> None:
    error, called = await refusal(world, dishonest(append=((metadata.RECEIPT, b"x"),)))
    assert isinstance(error, exceptions.MetadataUnknown)
    assert called == 0


async def test_request_delivered_twice_is_served_once(world: World) -> None:
    class Replaying(PythonBroker):
        first: tuple[Pairs, bytes] | None = None

        def to_provider(self, pairs: Pairs, body: bytes) -> tuple[Pairs, bytes]:
            if self.first is None:
                type(self).first = (pairs, body)
            return self.first or (pairs, body)

    async with running(world, kind=Replaying) as bus:
        await bus.stub.GetUnit(ask())
        with pytest.raises(Refused) as error:
            await bus.stub.GetUnit(ask())
        # The provider's refusal names the first request, so the broker cannot pass it off as the second's answer.
        assert error.value.reason is Reason.RESPONSE_MISMATCH
        assert len(bus.units.calls) == 1


async def test_grant_made_by_the_operator_alone_needs_the_providers_consent(world: World) -> None:
    grants = tuple(replace(grant, operator_made=True) for grant in world.tables.grants)
    world.publish(grants=grants)
    error, called = await refusal(world, PythonBroker)
    assert isinstance(error, exceptions.GrantNotAccepted)
    assert called == 0
    async with running(world, provider={"accept_operator_grants": True}) as bus:
        await bus.stub.GetUnit(ask())


async def test_provider_judges_by_its_own_snapshot(world: World) -> None:
    """The broker's policy still has the grant, the provider's has not."""
    async with running(world) as bus:
        everything = world.tables
        world.publish(grants=())
        bus.server._snapshot.refresh()
        with pytest.raises(exceptions.NoGrant) as error:
            await bus.stub.GetUnit(ask())
        assert isinstance(error.value, ProviderError)
        assert bus.units.calls == []
        world.publish(grants=everything.grants)
        await asyncio.sleep(1.1)  # reading the snapshot again is limited to once a second
        await bus.stub.GetUnit(ask())


async def test_stranger_with_a_certificate_is_refused_unsigned(world: World) -> None:
    async with running(world) as bus:
        forged = forge(world)
        outcome = await send(world, bus.server.port, forged.pairs, forged.body, to=PROVIDER, sender=OUTSIDER)
        assert outcome.reason is Reason.PEER_NOT_BROKER
        assert outcome.code is grpc.StatusCode.PERMISSION_DENIED
        assert not outcome.signed
        assert bus.units.calls == []


@pytest.mark.parametrize("method", ["/a.B/Unknown", GET])
async def test_stranger_is_never_worth_a_signature(world: World, method: str) -> None:
    async with running(world) as bus:
        forged = forge(world)
        for sender in (OUTSIDER, CLIENT):
            outcome = await send(
                world, bus.server.port, forged.pairs, forged.body, method=method, to=PROVIDER, sender=sender
            )
            assert outcome.reason is Reason.PEER_NOT_BROKER
            assert not outcome.signed
        assert bus.server._signer.batches == 0


async def test_signer_that_fails_puts_nothing_of_its_failure_on_the_wire(world: World) -> None:
    class Gone:
        key_id = bytes(32)

        def sign(self, message: bytes) -> bytes:
            raise OSError("slot 3, pin 123456")

    async with running(world) as bus:
        bus.server._signer._signer = Gone()
        with pytest.raises(Refused) as error:
            await bus.stub.GetUnit(ask())
        assert error.value.reason is Reason.PROVIDER_UNSIGNED
        assert "pin" not in str(error.value)


async def test_certificate_that_left_the_snapshot_is_refused_at_the_next_call(world: World) -> None:
    async with running(world) as bus:
        await bus.stub.GetUnit(ask())
        gone = world.spiffe(BROKER)
        world.publish(certificates=tuple(each for each in world.tables.certificates if each.subsystem != gone))
        bus.server._snapshot.refresh()
        with pytest.raises(Refused) as error:
            await bus.stub.GetUnit(ask(), timeout=3)
        assert error.value.reason in (Reason.PROVIDER_UNSIGNED, Reason.REFUSAL_UNREADABLE)
        assert len(bus.units.calls) == 1


async def test_overloaded_provider_says_so_signed(world: World) -> None:
    async with running(world, provider={"max_concurrent": 1}) as bus:
        hold = asyncio.Event()

        async def wait(_: Any) -> None:
            await hold.wait()

        bus.units.behave = wait
        first = asyncio.ensure_future(bus.stub.GetUnit(ask()))
        await bus.units.arrived.wait()
        outcomes = await asyncio.gather(bus.stub.GetUnit(ask(), timeout=3), return_exceptions=True)
        assert isinstance(outcomes[0], exceptions.Overloaded)
        hold.set()
        await first


async def test_method_that_nobody_serves_is_refused_like_one_without_a_grant(world: World) -> None:
    async with running(world) as bus:
        method = "/vn.administrative.v1.AdministrativeUnitService/Nothing"
        world.publish(
            methods=(*world.tables.methods, replace(world.tables.methods[0], path=method)),
            grants=(replace(world.tables.grants[0], methods=(method,)),),
        )
        bus.policy.refresh()
        forged = forge(world, method=method)
        outcome = await send(world, bus.broker.port, forged.pairs, forged.body, method=method)
        assert outcome.reason is Reason.NO_GRANT
        assert outcome.signed


async def test_compressed_request_is_refused_by_broker_and_provider(world: World) -> None:
    async with running(world) as bus:
        forged = forge(world)
        for to, port, sender in ((BROKER, bus.broker.port, CLIENT), (PROVIDER, bus.server.port, BROKER)):
            outcome = await send(
                world, port, forged.pairs, forged.body, to=to, sender=sender, compression=grpc.Compression.Gzip
            )
            assert outcome.code is grpc.StatusCode.UNIMPLEMENTED
        assert bus.units.calls == []


async def test_stale_policy_refuses_and_a_fresh_one_serves(world: World) -> None:
    async with running(world) as bus:
        bus.server._snapshot.current.header = replace(
            bus.server._snapshot.current.header, created_at_ms=now_ms() - 25 * HOUR_MS
        )
        with pytest.raises(exceptions.PolicyStale) as error:
            await bus.stub_using(idempotency_key="").GetUnit(ask(), timeout=3)
        assert isinstance(error.value, ProviderError)
        assert bus.units.calls == []


async def test_provider_whose_watch_is_late_reads_the_fresh_policy_that_lies_there(world: World) -> None:
    async with running(world) as bus:
        snapshot = bus.server._snapshot
        await bus.stub.GetUnit(ask())
        snapshot.current.header = replace(snapshot.current.header, created_at_ms=now_ms() - 25 * HOUR_MS)
        world.publish()
        await bus.stub_using(idempotency_key="").GetUnit(ask(), timeout=3)
        assert len(bus.units.calls) == 2
        assert snapshot.current.version == world.version


async def test_second_broker_delivers_under_its_own_name_only(world: World) -> None:
    async with running(world) as bus:
        second, _ = await start_broker(world, {PROVIDER: bus.server.port}, path=BROKER_2)
        try:
            forged = forge(world)
            outcome = await send(world, second.port, forged.pairs, forged.body, to=BROKER_2)
            assert outcome.reason is Reason.WRONG_BROKER
        finally:
            await second.stop()


async def test_stale_request_is_refused_with_the_brokers_time(world: World) -> None:
    async with running(world) as bus:
        issued = now_ms() - 40_000
        forged = forge(world, issued_at_ms=issued, not_after_ms=issued + 9_000)
        outcome = await send(world, bus.broker.port, forged.pairs, forged.body)
        assert outcome.reason is Reason.REQUEST_NOT_FRESH
        assert abs(int(outcome.details["server_time_ms"]) - now_ms()) < 5_000


async def test_replayed_request_is_refused_by_the_broker(world: World) -> None:
    async with running(world) as bus:
        forged = forge(world)
        assert (await send(world, bus.broker.port, forged.pairs, forged.body)).code is grpc.StatusCode.OK
        outcome = await send(world, bus.broker.port, forged.pairs, forged.body)
        assert outcome.reason is Reason.REPLAYED
        assert len(bus.units.calls) == 1


async def test_random_metadata_from_a_broker_never_reaches_the_servicer_or_breaks_the_provider(world: World) -> None:
    """Bytes of every length in every key, seeded: always a named refusal, and the provider goes on serving."""
    chance = random.Random(7)
    async with running(world) as bus:
        forged = forge(world)
        usual = [*forged.pairs, *((key, bytes(70)) for key in sorted(metadata.TO_PROVIDER - metadata.TO_BROKER))]
        for _ in range(60):
            pairs = [
                (key, chance.randbytes(chance.choice((0, 1, 31, 32, 33, 200))) if chance.random() < 0.5 else value)
                for key, value in usual
            ]
            chance.shuffle(pairs)
            outcome = await send(world, bus.server.port, pairs, forged.body, to=PROVIDER, sender=BROKER)
            assert outcome.reason is not None
            assert outcome.reason is not Reason.PROVIDER_INTERNAL
        assert bus.units.calls == []
        await bus.stub.GetUnit(ask())
