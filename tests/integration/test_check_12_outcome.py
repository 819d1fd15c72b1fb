"""Check 12: what was admitted ends exactly once, and whoever is still there holds the receipt of it."""

from hashlib import sha256

from bus.exchange.compose import answer_of
from bus.exchange.verify_admission import released_commitment
from native.digest import FrameHasher, frame
from native.headers import Receipt
from tests.support.gate_world import World
from tests.support.gate_world_nation import WATCH
from tests.support.gate_world_receipts import verify_receipt
from tests.support.raw_client import Answer
from tests.support.raw_client_forge import Request

DONE = 1


def verify_released(receipt: Receipt, answer: Answer) -> None:
    """The receipt states what the client holds, to the byte."""
    hasher = FrameHasher()
    hasher.update(answer.data)
    said = answer_of(hasher, 0, b"", b"")
    assert (receipt.messages_released, receipt.bytes_released) == (said.message_count, said.size)
    assert receipt.released_commitment == released_commitment(receipt.entry_salt, said)


def verify_done(world: World, request: Request, answer: Answer) -> None:
    receipt = verify_receipt(world, request, answer)
    assert (receipt.outcome, receipt.reason) == (DONE, 0)
    signature = answer.binary("govbus-response-signature-bin")
    assert receipt.response_signature_digest == sha256(signature).digest()
    verify_released(receipt, answer)


def test_receipt_of_an_answer_states_what_was_released(world: World) -> None:
    request = world.request()
    verify_done(world, request, world.answers(request))


def test_receipt_of_a_stream_states_every_message(world: World) -> None:
    request = world.request(method=WATCH)
    answer = world.answers(request)
    assert answer.data == frame(b"\x0a\x02hi") * 3
    verify_done(world, request, answer)


def test_many_calls_at_once_share_commits_and_each_has_its_own_receipt(world: World) -> None:
    connection = world.connection()
    requests = [world.request() for _ in range(60)]
    streams = []
    for request in requests:
        stream = connection.open(request.headers())
        connection.send(stream, request.body, end=True)
        streams.append(stream)
    answers = [connection.answer(stream) for stream in streams]
    for request, answer in zip(requests, answers, strict=True):
        verify_done(world, request, answer)
    assert len({answer.value("govbus-receipt-signature-bin") for answer in answers}) == len(answers)
    assert len({answer.value("govbus-gatekey-bin") for answer in answers}) == 1
