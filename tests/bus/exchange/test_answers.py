"""What a client believes: an answer only with the provider's signature and the broker's receipt, both for this call.

The broker here changes what it hands back after having judged it itself.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import grpc
import pytest
from vn.administrative.v1 import administrative_pb2 as pb

from benchmarks.python_forwarder import PythonBroker, Release
from bus.exchange import CallEvidence, exceptions, metadata
from bus.exchange.errors import CallError, ProviderError, RefusedLocally
from bus.exchange.outcome import digest_of_signature
from bus.exchange.reasons import Reason
from bus.exchange.refusal import ResponseRefused
from native.batch import sign_batch
from native.codec import decode_receipt, decode_response_header, encode_receipt, encode_response_header
from native.digest import RECEIPT_TYPE, RESPONSE_TYPE
from native.headers import Receipt
from tests.bus.exchange.world import OUTSIDER, UNKNOWN_UNIT, World, ask, running, unit


class Meddler(PythonBroker):
    """Changes trailers by `meddle`, a function from key to bytes or None, or the message."""

    changes: dict[str, Any]
    body: bytes | None

    def to_client(self, release: Release, message: bytes | None) -> bytes | None:
        if message is not None:
            return message if self.body is None else self.body
        found: dict[str, Any] = dict(release.trailers)
        for key, change in self.changes.items():
            found[key] = change(found[key]) if callable(change) else change
        release.trailers = tuple((key, value) for key, value in found.items() if value is not None)
        return None


def meddler(changes: dict[str, Any], body: bytes | None = None) -> type[PythonBroker]:
    return type("Meddler", (Meddler,), {"changes": changes, "body": body})


async def failure(world: World, kind: type[PythonBroker], code: str = "01") -> CallError:
    async with running(world, kind=kind) as bus:
        with pytest.raises(CallError) as error:
            await bus.stub.GetUnit(ask(code))
        return error.value


# Provider's word --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", [metadata.RESPONSE, metadata.RESPONSE_SIGNATURE, metadata.RESPONSE_SALT], ids=["header", "signature", "salt"]
)
@pytest.mark.parametrize("change", [None, b"\x00" * 32, lambda value: value[:-1]], ids=["gone", "zeros", "cut"])
async def test_answer_whose_parts_do_not_verify_is_withheld(world: World, key: str, change: Any) -> None:
    error = await failure(world, meddler({key: change}))
    assert isinstance(error, exceptions.ResponseUnverified)
    assert isinstance(error, RefusedLocally)
    assert error.code() is grpc.StatusCode.DATA_LOSS


async def test_message_changed_on_the_way_is_withheld(world: World) -> None:
    other = pb.GetUnitResponse(unit=unit("02")).SerializeToString()
    error = await failure(world, meddler({}, body=other))
    assert isinstance(error, exceptions.ResponseUnverified)
    assert error.metadata["step"] == "commitment"


@pytest.mark.parametrize(
    ("field", "value", "step"),
    [
        ("request_digest", bytes(32), "request"),
        ("message_count", 2, "message count"),
        ("grpc_status", 5, "status"),
        ("grpc_message_digest", bytes(32), "message text"),
        ("details_digest", bytes(32), "details"),
        ("body_commitment", bytes(32), "commitment"),
        ("time_ms", 1, "signature"),
    ],
)
async def test_response_header_changed_in_any_field_is_withheld(
    world: World, field: str, value: Any, step: str
) -> None:
    def change(encoded: bytes) -> bytes:
        return encode_response_header(replace(decode_response_header(encoded), **{field: value}))

    error = await failure(world, meddler({metadata.RESPONSE: change}))
    assert isinstance(error, exceptions.ResponseUnverified)
    assert error.metadata["step"] == step


async def test_answer_signed_by_another_member_is_withheld(world: World) -> None:
    signer = world.credentials[OUTSIDER].signer

    class Substitute(PythonBroker):
        def to_client(self, release: Release, message: bytes | None) -> bytes | None:
            if message is None:
                found = dict(release.trailers)
                header = found[metadata.RESPONSE]
                assert isinstance(header, bytes)
                (found[metadata.RESPONSE_SIGNATURE],) = sign_batch(signer, [(RESPONSE_TYPE, header)])
                release.trailers = tuple(found.items())
            return message

    error = await failure(world, Substitute)
    assert error.reason is Reason.RESPONSE_UNVERIFIED
    assert error.metadata["step"] == "signature"


async def test_answer_to_an_earlier_call_is_withheld(world: World) -> None:
    class Swapping(PythonBroker):
        kept: Any = None

        def to_client(self, release: Release, message: bytes | None) -> bytes | None:
            if message is None:
                if self.kept is None:
                    type(self).kept = release.trailers
                release.trailers = self.kept
            return message

    async with running(world, kind=Swapping) as bus:
        await bus.stub.GetUnit(ask())
        with pytest.raises(exceptions.ResponseUnverified) as error:
            await bus.stub.GetUnit(ask())
        assert error.value.metadata["step"] == "request"


# Broker's receipt -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "key", [metadata.RECEIPT, metadata.RECEIPT_SIGNATURE, metadata.GATE_KEY, metadata.GATE_KEY_SIGNATURE]
)
@pytest.mark.parametrize("change", [None, b"\x0agarbage", lambda value: value[:-1]], ids=["gone", "garbage", "cut"])
async def test_answer_without_a_valid_receipt_is_withheld(world: World, key: str, change: Any) -> None:
    error = await failure(world, meddler({key: change}))
    assert isinstance(error, exceptions.ReceiptInvalid)
    assert isinstance(error, RefusedLocally)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("request_digest", bytes(32)),
        ("response_digest", bytes(32)),
        ("response_signature_digest", bytes(32)),
        ("outcome", 2),
        ("messages_released", 2),
        ("bytes_released", 1),
        ("released_commitment", bytes(32)),
        ("intent_sequence", 77),
        ("outcome_time_ms", 1),
    ],
)
async def test_receipt_of_anything_else_is_withheld(world: World, field: str, value: Any) -> None:
    def change(encoded: bytes) -> bytes:
        return encode_receipt(replace(decode_receipt(encoded), **{field: value}))

    error = await failure(world, meddler({metadata.RECEIPT: change}))
    assert error.reason is Reason.RECEIPT_INVALID


@pytest.mark.parametrize("shift_ms", [-90_000, 90_000])
async def test_receipt_that_the_gate_itself_dates_to_another_time_is_withheld(world: World, shift_ms: int) -> None:
    class Dating(PythonBroker):
        async def _record_outcome(self, admitted: Any, *rest: Any, **more: Any) -> Any:
            shifted = replace(admitted, intent_time_ms=admitted.intent_time_ms + shift_ms)
            return await super()._record_outcome(shifted, *rest, **more)

    error = await failure(world, Dating)
    assert isinstance(error, exceptions.ReceiptInvalid)
    assert error.metadata["step"] == "receipt times"


async def test_receipt_signed_by_the_brokers_registered_key_instead_of_its_gate_key_is_withheld(world: World) -> None:
    class Direct(PythonBroker):
        def to_client(self, release: Release, message: bytes | None) -> bytes | None:
            if message is None:
                found = dict(release.trailers)
                receipt = found[metadata.RECEIPT]
                assert isinstance(receipt, bytes)
                (found[metadata.RECEIPT_SIGNATURE],) = sign_batch(self.setup.signer, [(RECEIPT_TYPE, receipt)])
                release.trailers = tuple(found.items())
            return message

    error = await failure(world, Direct)
    assert error.reason is Reason.RECEIPT_INVALID


# Errors -----------------------------------------------------------------------------------------------------------


async def test_providers_error_arrives_verified_with_its_declared_text(world: World) -> None:
    async with running(world) as bus:
        with pytest.raises(ProviderError) as error:
            await bus.stub.GetUnit(ask("99"))
        assert error.value.code() is grpc.StatusCode.NOT_FOUND
        assert error.value.details() == UNKNOWN_UNIT
        assert error.value.reason is None


async def test_error_whose_text_was_changed_is_nobodys_word(world: World) -> None:
    class Lying(PythonBroker):
        def to_client(self, release: Release, message: bytes | None) -> bytes | None:
            release.text = "It is somebody else's fault"
            return message

    error = await failure(world, Lying, code="99")
    assert isinstance(error, exceptions.ResponseUnverified)


async def test_error_stripped_of_its_signature_is_not_the_providers(world: World) -> None:
    gone = {metadata.RESPONSE: None, metadata.RESPONSE_SIGNATURE: None, metadata.RESPONSE_SALT: None}
    error = await failure(world, meddler(gone), code="99")
    assert not isinstance(error, ProviderError)
    assert isinstance(error, exceptions.RefusalUnreadable)


async def test_error_that_claims_the_bus_domain_unsigned_is_the_buss(world: World) -> None:
    async with running(world) as bus:
        bus.channel._runtime.links[0].spiffe_id = world.spiffe("gov/ndc/broker-2")
        with pytest.raises(exceptions.WrongBroker) as error:
            await bus.stub.GetUnit(ask())
        assert not isinstance(error.value, ProviderError | RefusedLocally)
        assert bus.units.calls == []


# Evidence ---------------------------------------------------------------------------------------------------------


async def test_evidence_of_a_call_is_complete(world: World) -> None:
    kept: list[CallEvidence] = []
    async with running(world) as bus:
        answer = await bus.stub_using(on_evidence=kept.append).GetUnit(ask())
        (evidence,) = kept
        assert evidence.response_messages == (answer.SerializeToString(),)
        assert evidence.request_messages == (ask().SerializeToString(),)
        receipt = decode_receipt(evidence.receipt)
        assert receipt.response_signature_digest == digest_of_signature(evidence.response_signature)
        for part in ("request_signature", "request_salt", "response_salt", "gate_key", "gate_key_signature"):
            assert getattr(evidence, part), part
        assert evidence.snapshot_version == 1


async def test_evidence_of_an_error_and_of_a_stream_is_kept_too(world: World) -> None:
    kept: list[CallEvidence] = []
    async with running(world) as bus:
        with pytest.raises(ProviderError) as error:
            await bus.stub_using(on_evidence=kept.append).GetUnit(ask("99"))
        assert kept[0].grpc_status == 5
        assert kept[0] == error.value.evidence
        call = bus.stub_using(on_evidence=kept.append).ListUnits(pb.ListUnitsRequest(code_list_version="gso-2025-07"))
        received = [message async for message in call]
        assert [pb.ListUnitsResponse.FromString(each) for each in kept[1].response_messages] == received


class Failing(PythonBroker):
    """Takes every answer for unverified, and changes the receipt of that in the refusal as `spoil` says."""

    @staticmethod
    def spoil(receipt: Receipt) -> Receipt:
        """As the gate should have it."""
        return receipt

    def _verify_response(self, *_: Any) -> Any:
        raise ResponseRefused(Reason.RESPONSE_UNVERIFIED, "signature")

    async def _record_outcome(self, *arguments: Any, **others: Any) -> Any:
        (_, receipt), signature = await super()._record_outcome(*arguments, **others)
        assert isinstance(receipt, bytes)
        changed = encode_receipt(self.spoil(decode_receipt(receipt)))
        if changed != receipt:
            signature = (metadata.RECEIPT_SIGNATURE, await self.commits.sign(RECEIPT_TYPE, changed))
        return (metadata.RECEIPT, changed), signature


async def refused_with(world: World, spoil: Callable[[Receipt], Receipt]) -> CallError:
    """How a call ends whose refusal bears the receipt as `spoil` leaves it, signed by the gate."""
    error = await failure(world, type("Spoiling", (Failing,), {"spoil": staticmethod(spoil)}))
    assert isinstance(error, exceptions.ResponseUnverified)
    assert not isinstance(error, RefusedLocally)
    return error


async def test_receipt_in_a_refusal_is_verified_and_kept(world: World) -> None:
    error = await refused_with(world, lambda receipt: receipt)
    assert error.receipt_refused == ""
    assert error.evidence is not None
    assert decode_receipt(error.evidence.receipt).outcome == 2


LIES: dict[str, tuple[Callable[[Receipt], Receipt], str]] = {
    "done": (lambda receipt: replace(receipt, outcome=1), "receipt outcome"),
    "other reason": (lambda receipt: replace(receipt, reason=1), "receipt outcome"),
    "other request": (lambda receipt: replace(receipt, request_digest=bytes(32)), "receipt of another request"),
    "long ago": (lambda receipt: replace(receipt, intent_time_ms=1), "receipt times"),
    "future": (lambda receipt: replace(receipt, outcome_time_ms=1 << 42), "receipt times"),
    "other broker": (lambda receipt: replace(receipt, broker=receipt.broker[:-1] + "2"), "receipt broker"),
}


@pytest.mark.parametrize("lie", LIES)
async def test_receipt_in_a_refusal_that_lies_is_dropped_and_the_refusal_says_so(world: World, lie: str) -> None:
    spoil, step = LIES[lie]
    error = await refused_with(world, spoil)
    assert error.receipt_refused == step
    assert step in str(error)
    assert error.evidence is not None
    assert (error.evidence.receipt, error.evidence.receipt_signature, error.evidence.gate_key) == (b"", b"", b"")


async def test_receipt_in_a_refusal_that_no_gate_signed_is_dropped(world: World) -> None:
    class Unsigned(Failing):
        async def _record_outcome(self, *arguments: Any, **others: Any) -> Any:
            receipt, _ = await super()._record_outcome(*arguments, **others)
            (signature,) = sign_batch(world.credentials[OUTSIDER].signer, [(RECEIPT_TYPE, receipt[1])])
            return receipt, (metadata.RECEIPT_SIGNATURE, signature)

    error = await failure(world, Unsigned)
    assert error.receipt_refused == "signature by another gate key"
    assert error.evidence is not None
    assert not error.evidence.receipt


# Streams ----------------------------------------------------------------------------------------------------------


def listed(stub: Any) -> Any:
    return stub.ListUnits(pb.ListUnitsRequest(code_list_version="gso-2025-07"))


@pytest.mark.parametrize("key", [metadata.RESPONSE, metadata.RESPONSE_SIGNATURE, metadata.RECEIPT])
async def test_stream_without_valid_trailers_is_not_sealed(world: World, key: str) -> None:
    async with running(world, kind=meddler({key: None})) as bus:
        call = listed(bus.stub)
        for _ in range(3):
            assert isinstance(await call.read(), pb.ListUnitsResponse)
        with pytest.raises(exceptions.StreamNotSealed):
            await call.read()
        assert not call.sealed


async def test_stream_with_a_message_changed_on_the_way_is_not_sealed(world: World) -> None:
    other = pb.ListUnitsResponse(units=[unit("09")]).SerializeToString()
    async with running(world, kind=meddler({}, body=other)) as bus:
        call = listed(bus.stub)
        with pytest.raises(exceptions.StreamNotSealed):
            [message async for message in call]


async def test_stream_that_the_provider_ends_with_an_error_is_sealed_by_it(world: World) -> None:
    async with running(world) as bus:

        async def stop(context: Any) -> None:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "anything")

        bus.units.behave = stop
        call = listed(bus.stub)
        with pytest.raises(ProviderError) as error:
            [message async for message in call]
        assert error.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert call.sealed
        assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_stream_refused_before_its_first_message_has_the_refusals_reason(world: World) -> None:
    async with running(world) as bus:
        world.publish(grants=(replace(world.tables.grants[0], grant_id="other"),))
        bus.policy.refresh()
        with pytest.raises(exceptions.NoGrant):
            [message async for message in listed(bus.stub)]


async def test_read_gives_messages_and_then_eof(world: World) -> None:
    async with running(world) as bus:
        call = listed(bus.stub)
        for _ in range(3):
            assert isinstance(await call.read(), pb.ListUnitsResponse)
        assert await call.read() is grpc.aio.EOF


async def test_client_streams_are_refused_on_call(world: World) -> None:
    async with running(world) as bus:
        for make in (bus.channel.stream_unary, bus.channel.stream_stream):
            method = make("/a.B/C", request_serializer=bytes, response_deserializer=bytes, _registered_method=True)
            with pytest.raises(exceptions.StreamNotSupported):
                method(iter(()))
