"""Seeds of the gate target: scripts of calls, in the order in which gate_script.pyx reads them.

A script says what is chosen and what is spoiled; keys, times and identifiers are made by the target when it plays.
"""

import struct

UNARY, LISTING = 0, 1
RATE, USED, ONE_MORE, BYTES = (14 | limit for limit in (16, 32, 64, 128))  # limits that judge the call, beside its kind
NOTHING = b"\0"  # no edits


def body(payload: bytes = b"payload") -> bytes:
    return struct.pack("<H", len(payload)) + payload


def spoil(kind: int = 0, at: int = 0, flip: int = 1) -> bytes:
    """0 nothing, 1 a byte, 2 cut, 3 a second message."""
    return struct.pack("<BH", kind, at) + (bytes([flip]) if kind == 1 else b"")


def edits(*each: bytes) -> bytes:
    return bytes([len(each)]) + b"".join(each)


def foreign(key: bytes, value: bytes = b"v") -> bytes:
    return bytes([0, 0, len(key)]) + key + bytes([len(value)]) + value


def drop(index: int) -> bytes:
    return bytes([1, index])


def flip(index: int, at: int) -> bytes:
    return struct.pack("<BBHB", 2, index, at, 1)


def twice(index: int) -> bytes:
    return bytes([3, index])


def many(entries: int) -> bytes:
    return bytes([4, 0, entries])


def long_name(size: int) -> bytes:
    return struct.pack("<BBH", 5, 0, size)


def call(
    *,
    leave: int = 0,
    kind: int = UNARY,
    choices: int = 0,
    request: bytes = body(),
    request_edits: bytes = NOTHING,
    request_spoiled: bytes = spoil(),
    answer: int = 0,
    response: bytes = body(b"answer"),
    response_edits: bytes = NOTHING,
    swap: bytes = b"",
    response_spoiled: bytes = spoil(),
    trailers_edits: bytes = NOTHING,
) -> bytes:
    """One call with the body of each side in one piece."""
    asked = bytes([leave, kind, choices]) + request + request_edits + request_spoiled + b"\0"
    return asked + bytes([answer]) + response + response_edits + swap + response_spoiled + b"\0" + trailers_edits


def long_value(index: int, size: int) -> bytes:
    return struct.pack("<BBH", 5, index, size | 0x8000)


def seeds() -> dict[str, bytes]:
    return {
        "unary": call(),
        "stream": call(kind=LISTING),
        "failed": call(answer=1 << 3),
        "trailers-only": call(answer=2),
        "local-reply": call(answer=3),
        "deadline": call(answer=3 | 4),
        "own-timeout": call(choices=32),
        "replayed": call(choices=1),
        "long-lifetime": call(choices=2),
        "other-purpose": call(choices=4),
        "other-grant": call(choices=8),
        "other-key": call(choices=16),
        "no-body": call(choices=64),
        "request-trailers": bytes([0, 0, 128]) + body() + NOTHING + spoil() + b"\0" + NOTHING + call()[2:],
        "empty-message": call(request=body(b""), response=body(b"")),
        "other-body": call(request_spoiled=spoil(1, 9)),
        "cut-body": call(request_spoiled=spoil(2, 3)),
        "two-messages": call(request_spoiled=spoil(3)),
        "compressed": call(request_spoiled=spoil(1, 0)),
        "other-answer": call(response_spoiled=spoil(1, 7)),
        "stream-ends-without-trailers": call(kind=LISTING, answer=32),
        "provider-breaks-stream": call(kind=LISTING, answer=64),
        "answer-by-another-key": call(answer=2 << 3),
        "unsigned-answer": call(trailers_edits=edits(drop(2))),
        "no-salt": call(request_edits=edits(drop(6))),
        "request-twice": call(request_edits=edits(twice(4))),
        "request-flipped": call(request_edits=edits(flip(4, 30))),
        "signature-flipped": call(request_edits=edits(flip(5, 100))),
        "foreign-metadata": call(
            request_edits=edits(foreign(b"baggage"), foreign(b"x-envoy-retry-on")),
            response_edits=edits(foreign(b"set-cookie")),
            trailers_edits=edits(foreign(b"x-extra")),
        ),
        "foreign-govbus": call(request_edits=edits(foreign(b"govbus-cluster", b"elsewhere"))),
        "sixty-four-headers": call(request_edits=edits(many(64))),
        "too-many-headers": call(request_edits=edits(many(65))),
        "many-response-headers": call(response_edits=edits(many(100))),
        "many-trailers": call(trailers_edits=edits(many(65))),
        "long-request": call(request_edits=edits(long_value(4, 2732))),
        "longer-request": call(request_edits=edits(long_value(4, 8188))),
        "longer-salt": call(request_edits=edits(long_value(6, 8188))),
        "longer-answer": call(trailers_edits=edits(long_value(1, 8188))),
        "longer-answer-salt": call(trailers_edits=edits(long_value(3, 8188))),
        "longer-answer-signature": call(trailers_edits=edits(long_value(2, 8188))),
        "long-name": call(request_edits=edits(long_name(5000))),
        **{f"client-leaves-{stage}": call(leave=stage) for stage in range(1, 7)},
        "no-certificate": call(leave=7),
        **{
            f"{name}-limit-{limit}": call(kind=kind | value)
            for name, kind in (("unary", UNARY), ("stream", LISTING))
            for limit, value in (("rate", RATE), ("used", USED), ("one-more", ONE_MORE), ("bytes", BYTES))
        },
        "limited-other-body": call(kind=UNARY | ONE_MORE, request_spoiled=spoil(1, 9)),
        **{f"limited-client-leaves-{stage}": call(kind=UNARY | ONE_MORE | RATE, leave=stage) for stage in range(1, 7)},
        "limit-comes-with-the-answer": call(answer=128, swap=bytes([ONE_MORE & ~15])),
        **{
            f"{name}-swap-{revoked}": call(kind=kind, answer=128, swap=bytes([revoked]))
            for name, kind in (("unary", UNARY), ("stream", LISTING))
            for revoked in (0, 1, 2, 4, 8)
        },
    }
