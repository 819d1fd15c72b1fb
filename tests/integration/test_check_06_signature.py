"""Check 6: the batch path fits its tree exactly, and the signature is the client's, over this header, one way only."""

import os
from dataclasses import replace

import pytest

from bus.exchange.reasons import Reason
from native.batch import sign_batch
from native.codec import decode_signature, encode_request_header, encode_signature
from native.digest import RESPONSE_TYPE
from native.headers import Signature
from tests.support.gate_world import World
from tests.support.gate_world_nation import CALLER
from tests.support.raw_client_forge import Request, sign_together

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def batch(world: World, size: int) -> list[Request]:
    unsigned = [Request.unsigned(world.base) for _ in range(size)]
    return sign_together(world.signer(CALLER), unsigned)


def resigned(request: Request, **changes: object) -> Request:
    found: Signature = replace(decode_signature(request.signature), **changes)  # type: ignore[arg-type]
    return request.but(signature=encode_signature(found))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 1024])
def test_each_call_of_a_batch_is_proved_alone(world: World, size: int) -> None:
    for request in {0: batch(world, size)[0], 1: batch(world, size)[-1]}.values():
        world.answers(request)


def test_path_of_another_tree_size_is_refused(world: World) -> None:
    request = batch(world, 5)[2]
    assert len(decode_signature(request.signature).path) == 3 * 32
    for size in (3, 4, 9, 1024):
        world.refuses(resigned(request, size=size), Reason.BATCH_PATH_INVALID)


def test_path_for_another_place_is_refused(world: World) -> None:
    request = batch(world, 5)[2]
    for index in (0, 1, 3):
        world.refuses(resigned(request, index=index), Reason.SIGNATURE_INVALID)
    for index in (4, 5, 1023):
        world.refuses(resigned(request, index=index), Reason.BATCH_PATH_INVALID)


def test_path_too_long_or_too_short_is_refused(world: World) -> None:
    request = batch(world, 4)[1]
    path = decode_signature(request.signature).path
    for wrong in (b"", path[:32], path + bytes(32), path * 5):
        world.refuses(resigned(request, path=wrong), Reason.BATCH_PATH_INVALID)


def test_size_of_the_batch_is_signed_with_its_root(world: World) -> None:
    request = batch(world, 6)[0]
    world.refuses(resigned(request, size=5), Reason.SIGNATURE_INVALID)


def test_wrong_sibling_is_refused(world: World) -> None:
    request = batch(world, 4)[1]
    path = decode_signature(request.signature).path
    world.refuses(resigned(request, path=os.urandom(32) + path[32:]), Reason.SIGNATURE_INVALID)


def test_garbage_signature_is_refused(world: World) -> None:
    for value in (os.urandom(64), bytes(64), b"\xff" * 64, bytes(63) + b"\1"):
        world.refuses(resigned(world.request(), value=value), Reason.SIGNATURE_INVALID)


def test_garbage_signature_beside_a_remembered_root_is_refused(world: World) -> None:
    first, second = batch(world, 2)
    world.answers(first)
    world.refuses(resigned(second, value=os.urandom(64)), Reason.SIGNATURE_INVALID)
    world.answers(second)


def test_header_beside_a_remembered_signature_is_refused(world: World) -> None:
    first, _ = batch(world, 2)
    world.answers(first)
    other = Request.unsigned(world.base)
    world.refuses(other.but(signature=first.signature), Reason.SIGNATURE_INVALID)


def test_high_s_is_refused(world: World) -> None:
    request = world.request()
    value = decode_signature(request.signature).value
    high = ORDER - int.from_bytes(value[32:], "big")
    world.refuses(resigned(request, value=value[:32] + high.to_bytes(32, "big")), Reason.SIGNATURE_INVALID)


def test_header_altered_after_it_was_signed_is_refused(world: World) -> None:
    request = world.request()
    altered = encode_request_header(replace(request.header, case_id="HS-2026-0002"))
    world.refuses(request.but(header_bytes=altered), Reason.SIGNATURE_INVALID)


def test_signature_made_as_another_type_is_refused(world: World) -> None:
    request = world.request()
    (signature,) = sign_batch(world.signer(CALLER), [(RESPONSE_TYPE, request.header_bytes)])
    world.refuses(request.but(signature=signature), Reason.SIGNATURE_INVALID)
