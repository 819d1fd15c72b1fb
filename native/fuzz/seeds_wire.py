"""Seeds of codec, base64, frames, values and replay: real encodings of fixed dummy values, and their near misses.

Nothing here is anybody's: names are of the trust domain fuzz.test, digests are SHA-256 of their own field's name.
"""

import struct
from collections.abc import Callable
from dataclasses import fields
from hashlib import sha256
from typing import Any

from native import codec
from native.digest import frame
from native.headers import (
    Admission,
    GateKey,
    Receipt,
    Refusal,
    RequestHeader,
    ResponseHeader,
    Signature,
    SnapshotHeader,
)

CLIENT = "spiffe://fuzz.test/gov/one/client"
PROVIDER = "spiffe://fuzz.test/gov/two/provider"
BROKER = "spiffe://fuzz.test/gov/ndc/broker-1"
TIME = 1_800_000_000_000


def dummy(name: str) -> bytes:
    """32 bytes that mean nothing."""
    return sha256(name.encode()).digest()


def request(**changed: Any) -> RequestHeader:
    values: dict[str, Any] = {
        "request_id": dummy("request_id")[:16],
        "client": CLIENT,
        "provider": PROVIDER,
        "broker": BROKER,
        "method": "/vn.fuzz.v1.FuzzService/Get",
        "body_commitment": dummy("body_commitment"),
        "issued_at_ms": TIME,
        "not_after_ms": TIME + 30_000,
        "purpose": "fuzzing",
        "case_id": "case-1",
        "grant_id": "grant-1",
    }
    return RequestHeader(**(values | changed))


def response(**changed: Any) -> ResponseHeader:
    values: dict[str, Any] = {
        "request_digest": dummy("request_digest"),
        "provider": PROVIDER,
        "body_commitment": dummy("body_commitment"),
        "message_count": 1,
        "time_ms": TIME,
    }
    return ResponseHeader(**(values | changed))


ADMISSION = Admission(
    entry_salt=dummy("entry_salt"),
    broker=BROKER,
    sequence=7,
    intent_time_ms=TIME,
    snapshot_version=3,
    request_digest=dummy("request_digest"),
    request_signature_digest=dummy("request_signature_digest"),
)
RECEIPT = Receipt(
    entry_salt=dummy("entry_salt"),
    broker=BROKER,
    intent_sequence=7,
    outcome_sequence=9,
    intent_time_ms=TIME,
    outcome_time_ms=TIME + 5,
    snapshot_version=3,
    request_digest=dummy("request_digest"),
    response_digest=dummy("response_digest"),
    response_signature_digest=dummy("response_signature_digest"),
    outcome=1,
    messages_released=1,
    bytes_released=1 << 20,
    released_commitment=dummy("released_commitment"),
    merge_deadline_ms=TIME + 60_000,
)
GATE_KEY = GateKey(broker=BROKER, public_key=bytes(65), not_before_ms=TIME, not_after_ms=TIME + 1)
REFUSAL = Refusal(
    entry_salt=dummy("entry_salt"),
    broker=BROKER,
    sequence=8,
    time_ms=TIME,
    snapshot_version=3,
    request_digest=dummy("request_digest"),
    request_signature_digest=dummy("request_signature_digest"),
    reason=80,
)
SNAPSHOT = SnapshotHeader(
    trust_domain="fuzz.test",
    version=(1 << 64) - 1,
    log_position=1,
    created_at_ms=TIME,
    alarm_after_ms=1,
    refuse_after_ms=2,
    scope="broker",
    tables_digest=dummy("tables_digest"),
    tables_size=320,
)


def messages() -> dict[str, tuple[int, Any, Callable[[Any], bytes]]]:
    """Name -> (number in message_of of wire.pxi, value, encoder)."""
    return {
        "request": (0, request(), codec.encode_request_header),
        "request-full": (
            0,
            request(official="official-1", idempotency_key="k-1", purpose="p" * 64, case_id="c" * 64),
            codec.encode_request_header,
        ),
        "response": (1, response(), codec.encode_response_header),
        "response-failed": (
            1,
            response(message_count=0, grpc_status=16, grpc_message_digest=dummy("m"), details_digest=dummy("d")),
            codec.encode_response_header,
        ),
        "signature": (2, Signature(key_id=dummy("key"), value=dummy("r") + dummy("s")), codec.encode_signature),
        "signature-deep": (
            2,
            Signature(key_id=dummy("key"), size=1024, index=1023, path=dummy("p") * 10, value=dummy("r") * 2),
            codec.encode_signature,
        ),
        "admission": (3, ADMISSION, codec.encode_admission),
        "receipt": (4, RECEIPT, codec.encode_receipt),
        "gate-key": (5, GATE_KEY, codec.encode_gate_key),
        "refusal": (6, REFUSAL, codec.encode_refusal),
        "snapshot-header": (7, SNAPSHOT, codec.encode_snapshot_header),
    }


def as_struct(value: Any) -> bytes:
    """The input from which codec_fill makes this value: numbers as eight bytes, spans behind two bytes of length."""
    out = b""
    for field in fields(value):
        content = getattr(value, field.name)
        if isinstance(content, int):
            out += b"\x07" + struct.pack("<Q", content)
        else:
            content = content.encode() if isinstance(content, str) else content
            out += struct.pack("<H", len(content)) + content
    return out


def codec_seeds() -> dict[str, bytes]:
    seeds = {}
    for name, (number, value, encode) in messages().items():
        wire = encode(value)
        seeds[name] = bytes([number]) + wire
        seeds[f"{name}-encode"] = bytes([number | 8]) + struct.pack("<H", 4095) + as_struct(value)
    wire = codec.encode_request_header(request())
    response_wire = codec.encode_response_header(response())
    personal = codec.encode_request_header(request(case_id="case-12345")).replace(b"case-12345", b"0-12345678")
    return seeds | {
        "request-cut": b"\0" + wire[:-1],
        "request-personal": b"\0" + personal,
        "request-reserved": b"\0" + wire + b"\x6a\x0a" + b"spiffe://x",
        "request-twice": b"\0" + wire + wire[-9:],
        "request-overlong": b"\0\x8a\x00" + wire[1:],
        "request-beyond": b"\0" + wire + b"\x82\x01\x00",
        "request-empty": b"\0",
        "request-default-text": b"\0" + wire + b"\x62\x00",
        "response-default-number": b"\1" + response_wire.replace(b"\x20\x01\x40", b"\x20\x00\x40"),
    }


def base64_seeds() -> dict[str, bytes]:
    return {
        "empty": b"",
        "whole": codec.encode_base64(dummy("whole") + b"\xff"),
        "one-left": codec.encode_base64(b"\xfb\xff\xfe\x00"),
        "two-left": codec.encode_base64(b"\xfb\xff\xfe\x00\x01"),
        "padded-twice": b"+/8AAA==",
        "padded-once": b"+/8AAAE=",
        "unused-bits": b"QUI",
        "unused-bits-set": b"QUJ",
        "white-space": b"QUJD\nQUJD",
        "url-alphabet": b"-_8A",
        "padding-only": b"====",
    }


def frames_seeds() -> dict[str, bytes]:
    def body(*parts: bytes, most: int = 0, total: int = 0, count: int = 0) -> bytes:
        return struct.pack("<BHBI", most, total, count, 0x5EED) + b"".join(parts)

    one, empty = frame(b"message"), frame(b"")
    return {
        "one": body(one, count=1),
        "none": body(),
        "many": body(one, empty, frame(dummy("body") * 3), empty),
        "second-refused": body(one, one, count=1),
        "compressed": body(b"\1" + one[1:]),
        "flag": body(b"\2" + one[1:]),
        "cut-prefix": body(one[:4]),
        "cut-message": body(one[:-1]),
        "beyond-message": body(one, most=6),
        "beyond-total": body(one, one, total=23),
        "just-total": body(one, one, total=24),
        "huge-length": body(b"\0\xff\xff\xff\xff" + bytes(16)),
    }


def values_seeds() -> dict[str, bytes]:
    texts = {
        "zero": b"0",
        "longest-decimal": b"9" * 19,
        "too-long-decimal": b"1" * 20,
        "leading-zeros": b"0007",
        "hours": b"99999999H",
        "minutes": b"1M",
        "seconds": b"30S",
        "milliseconds": b"250m",
        "microseconds": b"1u",
        "nanoseconds": b"99999999n",
        "no-unit": b"100",
        "digest": dummy("digest").hex().encode(),
        "digest-large": dummy("digest").hex().upper().encode(),
        "digest-cut": dummy("digest").hex()[:-1].encode(),
        "metadata": codec.encode_base64(dummy("salt")),
        "metadata-joined": codec.encode_base64(dummy("salt")) + b"," + codec.encode_base64(dummy("salt")),
        "metadata-large": codec.encode_base64(bytes(64)),
    }
    return {name: struct.pack("<H", 48 if name == "metadata-large" else 64) + text for name, text in texts.items()}


def replay_seeds() -> dict[str, bytes]:
    wait = b"\x83\xff\x2f"  # 12,287 << 3 milliseconds: longer than a pair is held
    some = bytes(range(12))
    return {
        "twice": b"\1\5\5",
        "two-clients": b"\1\4\5\4",
        "full": b"\0" + some,
        "crowded": b"\4" + bytes(range(64)) + bytes(range(64)),
        "expired": b"\0" + some[:3] + wait + some[3:6] + some[:3],
        "just-held": b"\2\5\x81\xc8\xaf\5\x80\xff\x00\5",
    }
