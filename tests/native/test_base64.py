"""Metadata values have one meaning and at most two spellings."""

import base64
import random

import pytest

from native.errors import CodecError
from tests.native.samples import CODECS, FAST, TWIN, Codec

codecs = pytest.mark.parametrize("codec", CODECS, ids=lambda each: each.name)


@codecs
def test_every_length_travels_with_and_without_padding(codec: Codec) -> None:
    chance = random.Random("govbus base64")
    for n in range(300):
        data = chance.randbytes(n)
        padded = base64.b64encode(data)
        assert codec.encode_base64(data) == padded.rstrip(b"=")
        assert codec.decode_base64(padded) == codec.decode_base64(padded.rstrip(b"=")) == data


REFUSED = [
    b"A",
    b"AAAAA",
    b"=",
    b"==",
    b"====",
    b"A===",
    b"AA=",
    b"AAA==",
    b"AAAA=",
    b"AAAA====",
    b"AA==AAAA",
    b"=AAA",
    b"AA=A",
    b"AAA\n",
    b" AAA",
    b"AAAA\n",
    b"AA-_",
    b"AA\x00A",
    b"AA\xffA",
    b"AB",
    b"AP==",
    b"AAB",
    b"AAD=",
    b"AA,AA",
]


@codecs
@pytest.mark.parametrize("text", REFUSED)
def test_anything_but_strict_base64_is_refused(codec: Codec, text: bytes) -> None:
    with pytest.raises(CodecError) as refused:
        codec.decode_base64(text)
    assert refused.value.reason == "METADATA_ENCODING_INVALID"


def outcome(codec: Codec, text: bytes) -> bytes | None:
    try:
        return codec.decode_base64(text)
    except CodecError:
        return None


def test_every_byte_value_in_every_place_gives_both_the_same_outcome() -> None:
    for size in (4, 6, 7, 8):
        for at in range(size):
            for value in range(256):
                text = bytearray(b"QUJDREVG"[:size])
                text[at] = value
                assert outcome(FAST, bytes(text)) == outcome(TWIN, bytes(text)), bytes(text)
