"""A snapshot is served only if the pinned key signed it, for this instance, no older than what was served before."""

import random
import struct
from collections.abc import Callable
from typing import Any

import pytest

from native import _fast
from native.batch import sign_batch
from native.codec import encode_snapshot_header
from native.ecdsa import PrivateKey
from native.headers import SnapshotHeader
from native.policy import PolicyTables, build_tables
from native.snapshot import SnapshotError, encode_snapshot, verify_snapshot
from tests.native.policies import SEED, small_tables
from tests.native.samples import CLIENT, NOW, octets

KEY = PrivateKey.generate()
OTHER = PrivateKey.generate()
HOUR = 3_600_000
MADE: dict[str, Any] = {
    "trust_domain": "gov.example",
    "version": 7,
    "log_position": 21,
    "created_at_ms": NOW,
    "alarm_after_ms": HOUR,
    "refuse_after_ms": 24 * HOUR,
}
FITS: dict[str, Any] = {
    "policy_key_point": KEY.public_key.point,
    "trust_domain": "gov.example",
    "scope": "broker",
    "now_ms": NOW + HOUR,
    "floor_version": 7,
    "floor_log_position": 21,
}
FILE = encode_snapshot(build_tables(PolicyTables(), seed=SEED), KEY, **MADE)


def in_python(data: bytes, **pins: Any) -> str:
    """The reason for which Python refuses the file, or nothing."""
    try:
        verify_snapshot(data, **pins)
    except SnapshotError as error:
        return error.reason
    return ""


def in_the_gate(data: bytes, **pins: Any) -> str:
    """The reason for which the gate refuses it."""
    return _fast.open_snapshot(data, *pins.values())[0]


READERS = pytest.mark.parametrize("reader", [in_python, in_the_gate])
Reader = Callable[..., str]


@READERS
def test_a_snapshot_made_for_us_is_served(reader: Reader) -> None:
    assert reader(encode_snapshot(small_tables(), KEY, **MADE), **FITS) == ""


def test_what_was_verified_answers() -> None:
    verified = verify_snapshot(encode_snapshot(small_tables(), KEY, **MADE), **FITS)
    assert (verified.header.version, verified.header.log_position) == (7, 21)
    assert verified.policy.find_subsystem(CLIENT) == 0


@READERS
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"policy_key_point": OTHER.public_key.point}, "signature"),
        ({"trust_domain": "gov.example.org"}, "trust_domain"),
        ({"scope": CLIENT}, "scope"),
        ({"floor_version": 8}, "version"),
        ({"floor_log_position": 22}, "log_position"),
        ({"now_ms": NOW - 30_001}, "future"),
        ({"now_ms": NOW - 30_000}, ""),
        ({"now_ms": NOW + 24 * HOUR}, ""),
        ({"now_ms": NOW + 24 * HOUR + 1}, "stale"),
    ],
)
def test_a_snapshot_that_does_not_fit_is_refused(reader: Reader, changes: dict[str, Any], reason: str) -> None:
    assert reader(FILE, **(FITS | changes)) == reason


@READERS
def test_a_file_cut_anywhere_is_refused(reader: Reader) -> None:
    for n in range(len(FILE)):
        assert reader(FILE[:n], **FITS), n


@READERS
def test_a_byte_more_is_refused(reader: Reader) -> None:
    assert reader(FILE + b"\0", **FITS) == "digest"


def test_a_flipped_byte_is_refused_for_the_same_reason_by_both() -> None:
    chance = random.Random("govbus snapshot flips")
    for at in range(len(FILE)):
        flipped = bytearray(FILE)
        flipped[at] ^= chance.choice((1, 0x20, 0xFF))
        reason = in_the_gate(bytes(flipped), **FITS)
        assert reason, at
        assert in_python(bytes(flipped), **FITS) == reason, at


def signed(header: SnapshotHeader, tables: bytes) -> bytes:
    """A file whose header says what it likes, rightly signed."""
    encoded = encode_snapshot_header(header)
    (signature,) = sign_batch(KEY, [("govbus/snapshot/v1", encoded)])
    head = b"GVBSNAP1" + struct.pack("<I", len(encoded)) + encoded + struct.pack("<I", len(signature)) + signature
    return head + bytes(-len(head) % 64) + tables


@READERS
def test_other_tables_below_a_signed_header_are_refused(reader: Reader) -> None:
    tables = small_tables()
    header = SnapshotHeader(**MADE, scope="broker", tables_digest=octets(1), tables_size=len(tables))
    assert reader(signed(header, tables), **FITS) == "digest"


@READERS
def test_signed_tables_out_of_order_are_refused(reader: Reader) -> None:
    assert reader(encode_snapshot(b"GVBPOL03" + bytes(400), KEY, **MADE), **FITS) == "tables"


@READERS
def test_a_signature_for_another_purpose_is_no_snapshot_signature(reader: Reader) -> None:
    encoded = FILE[12 : 12 + struct.unpack_from("<I", FILE, 8)[0]]
    (signature,) = sign_batch(KEY, [("govbus/request/v1", encoded)])
    at = 12 + len(encoded)
    file = FILE[:at] + struct.pack("<I", len(signature)) + signature + FILE[at + 4 + len(signature) :]
    assert reader(file, **FITS) == "signature"
