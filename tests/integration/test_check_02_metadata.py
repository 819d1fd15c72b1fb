"""Check 2: each key exactly once, within its limit, base64; what a client does not send is refused, not corrected."""

import random

import pytest

from bus.exchange import metadata
from bus.exchange.reasons import Reason
from tests.support.gate_world import World
from tests.support.raw_client import Headers
from tests.support.raw_client_forge import Request, base64_text

KEYS = [metadata.REQUEST, metadata.REQUEST_SIGNATURE, metadata.REQUEST_SALT]
FOREIGN = [
    metadata.ADMISSION,
    metadata.ADMISSION_SIGNATURE,
    metadata.RESPONSE,
    metadata.RESPONSE_SIGNATURE,
    metadata.RESPONSE_SALT,
    metadata.RECEIPT,
    metadata.RECEIPT_SIGNATURE,
    metadata.GATE_KEY,
    metadata.GATE_KEY_SIGNATURE,
    "govbus-cluster",
    "govbus-x",
    "govbus-request",
    "govbus-",
]


def with_value(request: Request, key: str, value: str) -> Headers:
    return [(name, value if name == key else old) for name, old in request.headers()]


@pytest.mark.parametrize("key", KEYS)
def test_missing_key_is_refused(world: World, key: str) -> None:
    request = world.request()
    world.refuses(request, Reason.METADATA_MISSING, headers=request.headers(without=[key]), key=key)


@pytest.mark.parametrize("key", KEYS)
def test_doubled_key_is_refused(world: World, key: str) -> None:
    request = world.request()
    again = next(pair for pair in request.metadata if pair[0] == key)
    world.refuses(request, Reason.METADATA_DUPLICATED, headers=request.headers(again), key=key)


@pytest.mark.parametrize("key", KEYS)
def test_values_joined_by_a_comma_are_refused(world: World, key: str) -> None:
    request = world.request()
    value = dict(request.metadata)[key]
    headers = with_value(request, key, f"{value[: len(value) // 2]},{value[len(value) // 2 :]}")
    world.refuses(request, Reason.METADATA_DUPLICATED, headers=headers, key=key)


@pytest.mark.parametrize("key", FOREIGN)
def test_key_of_another_party_is_refused(world: World, key: str) -> None:
    request = world.request()
    world.refuses(request, Reason.METADATA_UNKNOWN, headers=request.headers((key, "AAAA")))


@pytest.mark.parametrize(("key", "limit"), [(metadata.REQUEST, 2048), (metadata.REQUEST_SIGNATURE, 512)])
def test_value_beyond_its_limit_is_refused(world: World, key: str, limit: int) -> None:
    request = world.request()
    for size in (limit + 1, limit + 2, limit + 3, 2 * limit):
        headers = with_value(request, key, base64_text(bytes(size)))
        world.refuses(request, Reason.METADATA_TOO_LARGE, headers=headers, key=key)


@pytest.mark.parametrize("size", [0, 31, 33, 64])
def test_salt_of_another_length_is_refused(world: World, size: int) -> None:
    request = world.request()
    reason = Reason.METADATA_TOO_LARGE if size > 32 else Reason.METADATA_ENCODING_INVALID
    world.refuses(request.but(salt=bytes(size)), reason, key=metadata.REQUEST_SALT)


SPELLINGS = {
    "not of the alphabet": lambda text: text[:-4] + "%%%%",
    "url-safe": lambda text: text[:-4] + "-_-_",
    "inner padding": lambda text: text[:4] + "=" + text[5:],
    "space": lambda text: " " + text[1:-1] + " ",
    "one digit over": lambda text: text[: len(text) // 4 * 4] + "A",
    "a bit set that says nothing": lambda text: text[: len(text) // 4 * 4 - 4] + "AB",
}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("key", KEYS)
def test_value_that_is_not_base64_is_refused(world: World, key: str, spelling: str) -> None:
    request = world.request()
    headers = with_value(request, key, SPELLINGS[spelling](dict(request.metadata)[key]))
    world.refuses(request, Reason.METADATA_ENCODING_INVALID, headers=headers, key=key)


def test_padded_base64_is_the_same_value(world: World) -> None:
    request = world.request()
    headers = [
        (key, value + "=" * (-len(value) % 4) if key.startswith("govbus-") else value)
        for key, value in request.headers()
    ]
    assert world.connection().call(headers, request.body).code == 0


@pytest.mark.parametrize("key", KEYS[:2])
def test_random_bytes_are_refused(world: World, key: str) -> None:
    source, request = random.Random(2), world.request()
    for _ in range(50):
        headers = with_value(request, key, base64_text(source.randbytes(source.randrange(200))))
        before = world.provider.calls
        answer = world.connection().call(headers, request.body)
        assert answer.refusal is not None
        assert answer.refusal[0] in {Reason.HEADER_NOT_CANONICAL, Reason.FIELD_INVALID}
        assert world.provider.calls == before


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({":method": "GET"}, Reason.PROTOCOL_INVALID),
        ({":method": "PUT"}, Reason.PROTOCOL_INVALID),
        ({"content-type": "text/plain"}, Reason.PROTOCOL_INVALID),
        ({"content-type": "application/grpc-web"}, Reason.PROTOCOL_INVALID),
        ({"content-type": "application/grpc+json"}, Reason.PROTOCOL_INVALID),
        ({"content-type": "application/grpc+protobuf"}, Reason.PROTOCOL_INVALID),
        ({"content-type": ""}, Reason.PROTOCOL_INVALID),
    ],
)
def test_what_is_not_a_grpc_call_is_refused(world: World, changed: dict[str, str], reason: Reason) -> None:
    request = world.request()
    headers = [(key, changed.get(key, value)) for key, value in request.headers()]
    world.refuses(request, reason, headers=headers)


def test_call_without_content_type_is_refused(world: World) -> None:
    request = world.request()
    world.refuses(request, Reason.PROTOCOL_INVALID, headers=request.headers(without=["content-type"]))


def test_doubled_content_type_is_refused(world: World) -> None:
    request = world.request()
    headers = request.headers(("content-type", "application/grpc"))
    world.refuses(request, Reason.PROTOCOL_INVALID, headers=headers)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity,gzip", ""])
def test_compressed_call_is_refused(world: World, encoding: str) -> None:
    request = world.request()
    world.refuses(request, Reason.COMPRESSION_NOT_SUPPORTED, headers=request.headers(("grpc-encoding", encoding)))


def test_identity_is_no_compression(world: World) -> None:
    request = world.request()
    assert world.connection().call(request.headers(("grpc-encoding", "identity")), request.body).code == 0


@pytest.mark.parametrize(
    "more",
    [
        [(f"x-{number}", "") for number in range(70)],
        [("x-large", "a" * 20_000)],
        [("under_score", "a")],
    ],
    ids=["too many", "too large", "underscore"],
)
def test_floods_of_metadata_never_reach_the_gate(world: World, more: Headers) -> None:
    request, before = world.request(), world.provider.calls
    connection = world.connect()
    stream = connection.open(request.headers(*more))
    answer = connection.answer(stream)
    assert answer.code not in {0, None} or answer.reset is not None or answer.lost
    assert world.provider.calls == before
    assert not world.journal.poll().intents_of(request.id)
    connection.close()
