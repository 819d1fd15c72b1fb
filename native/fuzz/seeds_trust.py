"""Seeds of the merkle, batch, policy, snapshot and journal targets: signed, hashed and laid out by the real code.

What must be signed is signed with the number 1: the one private key that is nobody's secret, with the point that
generates P-256 as its public half. Signatures are deterministic (RFC 6979), so every run writes the same bytes.
"""

import struct
from dataclasses import dataclass
from hashlib import sha256

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from native import merkle
from native.batch import sign_batch
from native.codec import encode_admission, encode_receipt, encode_refusal, encode_request_header, encode_response_header
from native.fuzz import seeds_wire as wire
from native.policy import (
    Agent,
    Certificate,
    Grant,
    Method,
    MethodKind,
    PolicyTables,
    SigningKey,
    Subsystem,
    build_tables,
)
from native.snapshot import encode_snapshot

_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


@dataclass(frozen=True, slots=True)
class KnownSigner:
    """Signs with a small number as private key; low s, one signature for one message."""

    number: int = 1

    @property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(self.number, ec.SECP256R1())

    @property
    def point(self) -> bytes:
        return self._key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def key_id(self) -> bytes:
        spki = self._key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return sha256(spki).digest()

    def sign(self, message: bytes) -> bytes:
        r, s = decode_dss_signature(self._key.sign(message, ec.ECDSA(SHA256(), deterministic_signing=True)))
        return r.to_bytes(32) + min(s, _ORDER - s).to_bytes(32)


def merkle_seeds() -> dict[str, bytes]:
    seeds = {}
    for size, index in ((1, 0), (2, 1), (5, 4), (7, 2), (1024, 1023), (1 << 63, (1 << 63) - 1)):
        nodes = len(merkle.path([bytes(32)] * size, index)) if size <= 1024 else 63
        seeds[f"path-{size}-{index}"] = struct.pack("<BQQ", 0, size, index) + wire.dummy("node") * nodes
    seeds["path-short"] = seeds["path-7-2"][:-32]
    seeds["path-long"] = seeds["path-7-2"] + bytes(32)
    seeds["path-beyond"] = struct.pack("<BQQ", 0, 7, 7)
    for size, index in ((1, 0), (3, 2), (1024, 1023), (1023, 512), (0, 0), (1025, 0), (6, 6)):
        seeds[f"tree-{size}-{index}"] = struct.pack("<BHHH", 1, size, index, 5)
    leaves = [wire.dummy(f"leaf {i}") for i in range(7)]
    for name, (size, proof) in _consistency(leaves).items():
        known, top = merkle.root(leaves[:size]), merkle.root(leaves)
        seeds[f"consistency-{name}"] = struct.pack("<BQQQ", 2, 0, size, 7) + known + top + b"".join(proof)
    return seeds


def _consistency(leaves: list[bytes]) -> dict[str, tuple[int, list[bytes]]]:
    """Proofs within a tree of seven leaves, as the example in RFC 9162 2.1.5 draws them."""
    a, b, c, d, e, f, j = leaves
    g, h, i = merkle.root([a, b]), merkle.root([c, d]), merkle.root([e, f])
    k, m = merkle.root([a, b, c, d]), merkle.root([e, f, j])
    return {
        "3": (3, [c, d, g, m]),
        "4": (4, [m]),
        "6": (6, [i, j, k]),
        "7": (7, []),
        "wrong": (3, [c, d, h, m]),
        "short": (3, [c, d, g]),
    }


def batch_seeds() -> dict[str, bytes]:
    signer = KnownSigner()
    header = encode_request_header(wire.request(purpose="p"))
    if len(header) >= 254:
        raise ValueError("the target's first byte cannot say this header's length")
    seeds = {}
    for size, index in ((1, 0), (2, 1), (9, 8), (1024, 700)):
        items = [("govbus/request/v1", header if i == index else b"%d" % i) for i in range(size)]
        seeds[f"size-{size}"] = bytes([len(header)]) + header + sign_batch(signer, items)[index]
    other = sign_batch(KnownSigner(2), [("govbus/request/v1", header)])[0]
    message = b"message"
    high = signer.sign(message)
    high = high[:32] + (_ORDER - int.from_bytes(high[32:])).to_bytes(32)
    return seeds | {
        "other-key": bytes([len(header)]) + header + other,
        "other-header": seeds["size-9"].replace(b"case-1", b"case-2"),
        "other-path": seeds["size-9"][:-98] + bytes(32) + seeds["size-9"][-66:],
        "numbers": struct.pack("<BBQQBB", 254, 1, 9, 8, 32, 64)
        + signer.key_id
        + wire.dummy("r")
        + wire.dummy("s")
        + wire.dummy("leaf")
        + wire.dummy("node"),
        "numbers-short-value": struct.pack("<BBQQBB", 254, 1, 1, 0, 32, 63) + signer.key_id + bytes(63) + bytes(32),
        "numbers-long-key-id": struct.pack("<BBQQBB", 254, 1, 1, 0, 33, 64) + signer.key_id + bytes(1 + 64 + 32),
        "numbers-huge": struct.pack("<BBQQBB", 254, 1, 1 << 63, 1 << 62, 31, 65) + bytes(129) + bytes(33),
        "point": b"\xff" + signer.point + signer.sign(message) + message,
        "point-high-s": b"\xff" + signer.point + high + message,
        "point-compressed": b"\xff\x02" + signer.point[1:],
        "point-elsewhere": b"\xff\x04" + bytes(64),
    }


def tables(grants: int = 2) -> PolicyTables:
    """Three subsystems of two members, with something of everything."""
    signer = KnownSigner()
    method = "/vn.fuzz.v1.FuzzService/Get"
    stream = "/vn.fuzz.v1.FuzzService/List"
    end = wire.TIME + 1_000_000
    return PolicyTables(
        subsystems=(
            Subsystem(wire.CLIENT, "spiffe://fuzz.test/gov/one/"),
            Subsystem("spiffe://fuzz.test/gov/one/agent", "spiffe://fuzz.test/gov/one/", active=False),
            Subsystem(wire.PROVIDER, "spiffe://fuzz.test/gov/two/", cluster="provider", calls_per_second=7, burst=9),
            Subsystem(wire.BROKER, "spiffe://fuzz.test/gov/ndc/", is_broker=True),
        ),
        certificates=(
            Certificate(wire.dummy("one"), wire.CLIENT, end),
            Certificate(wire.dummy("two"), wire.PROVIDER, end),
        ),
        keys=(SigningKey(signer.key_id, signer.point, wire.CLIENT, wire.TIME, end),),
        methods=(Method(method, idempotent=True), Method(stream, MethodKind.SERVER_STREAM)),
        grants=tuple(
            Grant(
                f"grant-{i + 1}",
                wire.CLIENT,
                wire.PROVIDER,
                (method, stream)[i % 2 :],
                ("fuzzing", "testing")[i % 2 :],
                wire.TIME,
                end,
                operator_made=bool(i % 2),
            )
            for i in range(grants)
        ),
        agents=(Agent("spiffe://fuzz.test/gov/one/agent", wire.CLIENT),),
    )


def policy_seeds() -> dict[str, bytes]:
    seed = wire.dummy("seed")[:16]
    whole, empty = build_tables(tables(), seed=seed), build_tables(PolicyTables(), seed=seed)
    return {
        "whole": b"\0" + whole,
        "repaired": b"\1" + whole,
        "empty": b"\0" + empty,
        "many-grants": b"\1" + build_tables(tables(9), seed=seed),
        "cut": b"\0" + whole[:-64],
        "header-only": b"\0" + whole[:320],
    }


def snapshot_seeds() -> dict[str, bytes]:
    built = build_tables(tables(), seed=wire.dummy("seed")[:16])

    def file(now: int = wire.TIME, version: int = 1, floor: int = 0, scope: str = "broker", of: bytes = built) -> bytes:
        image = encode_snapshot(
            of,
            KnownSigner(),
            trust_domain="fuzz.test",
            version=version,
            log_position=2,
            created_at_ms=wire.TIME,
            alarm_after_ms=1_000,
            refuse_after_ms=2_000,
            scope=scope,
        )
        return struct.pack("<Q", now)[:6] + bytes([floor, 2]) + image

    whole = file()
    return {
        "whole": whole,
        "old": file(now=wire.TIME + 2_001),
        "future": file(now=wire.TIME - 30_001),
        "below-floor": file(floor=2),
        "other-scope": file(scope=wire.CLIENT),
        "other-tables": whole[:-1] + b"\1",
        "no-tables": file(of=b"\0" * 64),
        "cut": whole[:200],
    }


# --- journal ----------------------------------------------------------------------------------------------------------

_KINDS = {"intent": 1, "outcome": 2, "refusal": 3, "commit": 16, "start": 17, "snapshot": 18, "stop": 19}
_SALT = wire.dummy("salt")[:16]


def crc32c(data: bytes) -> int:
    """Castagnoli's polynomial, bit by bit."""
    value = 0xFFFFFFFF
    for byte in data:
        value ^= byte
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


def segment(records: list[tuple[str, bytes]], size: int = 3072) -> bytes:
    """A journal segment as docs/formats.md has it, holding these records from sequence 1 on."""
    head = struct.pack("<8sQQQqQQ16s32s20x", b"GVBJRNL1", size, 1, 1, wire.TIME, 3, 1, _SALT, bytes(32))
    out, chain = head + struct.pack("<I", crc32c(head)), bytes(32)
    for sequence, (kind, payload) in enumerate(records, 1):
        middle = struct.pack("<QI", sequence, _KINDS[kind])
        length = struct.pack("<I", len(payload))
        chain = sha256(chain + length + middle + payload).digest()
        crc = crc32c(_SALT + length + middle + chain + payload)
        out += length + struct.pack("<I", crc) + middle + chain + payload
    return out.ljust(size, b"\0")


def _parts(*parts: bytes) -> bytes:
    return b"".join(struct.pack("<H", len(part)) + part for part in parts)


def _commit(records: int, leaves: int) -> tuple[str, bytes]:
    return "commit", struct.pack("<IIq", records, leaves, wire.TIME + 10).ljust(144, b"\7")


def journal_records() -> list[tuple[str, bytes]]:
    """A start, a call that ended, a refusal, a call that is still open, a snapshot, a clean stop."""
    header = encode_request_header(wire.request())
    answer = encode_response_header(wire.response())
    intent = _parts(encode_admission(wire.ADMISSION), header, b"signature", struct.pack("<Q", 77))
    outcome = _parts(encode_receipt(wire.RECEIPT), answer, b"signature")
    refusal = _parts(encode_refusal(wire.REFUSAL), header, b"signature")
    return [
        ("start", _parts(b"gate key", b"signature") + struct.pack("<QQQ", 3, 1, 0)),
        _commit(1, 0),
        ("intent", intent),
        ("refusal", refusal),
        ("outcome", outcome),
        _commit(3, 2),
        ("snapshot", struct.pack("<QQQ", 4, 2, 0)),
        ("intent", intent),
        _commit(2, 1),
        ("stop", b""),
        _commit(1, 0),
    ]


def journal_seeds() -> dict[str, bytes]:
    records = journal_records()
    whole = segment(records)
    torn = segment(records[:8])
    used = len(torn.rstrip(b"\0"))
    short = {
        "start": _parts(b"gate key", b"signature") + bytes(16),
        "snapshot": bytes(8),
        "intent": records[2][1][:40],
        "outcome": _parts(b"receipt"),
        "refusal": b"\xff\xff",
        "commit": bytes(143),
    }
    return {
        **{
            f"short-{kind}": b"\2\1" + segment([(kind, payload), _commit(1, 0)], 640) for kind, payload in short.items()
        },
        "whole": b"\0\1" + whole,
        "older": b"\0\0" + whole,
        "repaired": b"\1\1" + whole,
        "empty": b"\0\1" + segment([]),
        "torn": b"\0\1" + torn,
        "torn-sector": b"\0\1" + whole[:1024] + bytes(512) + whole[1536:],
        "damaged": b"\0\1" + whole[:300] + b"\xff" + whole[301:],
        "damaged-commit": b"\0\1" + whole[: used - 5] + b"\xff" + whole[used - 4 :],
        "wrong-count": b"\0\1" + segment([*records[:5], _commit(4, 2)]),
    }
