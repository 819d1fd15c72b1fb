"""What grants used, by the readable definition of the journal: what recovery's counters are held against."""

import struct
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

from native._fast import QuotaTable, crc32c
from native.codec import encode_request_header
from native.journal import JournalError, JournalWriter
from native.journal_records import Intent, Outcome
from tests.native.journals import REQUEST_SIGNATURE, Broker, done
from tests.native.samples import REQUEST, octets

DAY_MS = 86_400_000
GRANTS = tuple(f"grant-{i}" for i in range(7))
UNCOUNTED = "grant-free"
COUNTERS = "counters"
Counts = dict[str, tuple[int, int, int]]


def request_by(grant: str, request_id: bytes) -> bytes:
    return encode_request_header(replace(REQUEST, request_id=request_id, grant_id=grant))


def counted_call(
    journal: JournalWriter, table: QuotaTable, grant: str, now_ms: int, request_bytes: int, released: int, id: bytes
) -> tuple[int, int]:
    """A whole call that counts: sequences of its intent and its outcome."""
    header = request_by(grant, id)
    while True:
        answer, _, call = table.take(grant, 1, now_ms, calls=1 << 40)
        assert answer == 0
        assert call is not None
        assert call.add_bytes(0, request_bytes, now_ms) == 0
        try:
            pending = journal.submit_intent(header, REQUEST_SIGNATURE, counted=call)
            break
        except JournalError as error:  # a slow disk has not reserved the next segment yet
            if error.reason != "full":
                raise
            time.sleep(0.01)
    intent = pending.wait()
    outcome = done(journal, header, intent, intent=pending, released=octets(1), released_bytes=released).wait()
    return intent[0], outcome[0]


def used(broker: Broker, day: int) -> Counts:
    """(day, calls, bytes) of each grant on its newest day from `day` on, from every record of the journal."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    open_intents: dict[int, tuple[str, int]] = {}
    for entry in (one for kind in (Intent, Outcome) for one in broker.entries(kind)):
        if isinstance(entry, Intent):
            if entry.counted_bytes is None:
                continue
            grant, its_day = entry.request.grant_id, entry.admission.intent_time_ms // DAY_MS
            open_intents[entry.admission.sequence] = grant, its_day
            row = found[grant]
            if its_day > row[0]:
                row[:] = [its_day, 0, 0]
            row[1] += 1
            row[2] += entry.counted_bytes
        elif entry.receipt.intent_sequence in open_intents:
            grant, its_day = open_intents[entry.receipt.intent_sequence]
            if found[grant][0] == its_day:
                found[grant][2] += entry.receipt.bytes_released
    return {grant: (row[0], row[1], row[2]) for grant, row in found.items() if row[0] >= day}


def recovered(broker: Broker) -> Counts:
    """What a process that starts on this directory finds its grants to have used."""
    table = QuotaTable(8)
    broker.open(quota=table).close()
    rows = {grant: table.row(grant) for grant in (*GRANTS, UNCOUNTED)}
    assert all(row[3:] == (0, 0) for row in rows.values() if row is not None), "nothing is pending in a new process"
    return {grant: (row[0], row[1], row[2]) for grant, row in rows.items() if row is not None}


def counters_of(directory: Path) -> tuple[int, int, Counts]:
    """What a counters file says: the sequence it reflects, the segment at which reading begins, its rows."""
    data = (directory / COUNTERS).read_bytes()
    assert data[:8] == b"GVBCNTR1"
    assert struct.unpack("<I", data[-4:])[0] == crc32c(data[:-4])
    sequence, begin = struct.unpack_from("<QQ", data, 8)
    at, rows = 56, {}
    while data[at]:
        name = data[at + 1 : at + 1 + data[at]].decode("ascii")
        at += 1 + data[at]
        day, calls, size, _ = struct.unpack_from("<IQQQ", data, at)
        rows[name] = (day, calls, size)
        at += 28
    assert struct.unpack_from("<Q", data, at + 1)[0] == len(rows)
    assert at + 13 == len(data)
    return sequence, begin, rows
