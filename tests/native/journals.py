"""A broker and its journal for tests: real keys, real files, and a child process that can be killed."""

import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from native.batch import sign_batch
from native.codec import encode_gate_key, encode_request_header, encode_response_header
from native.ecdsa import PrivateKey
from native.headers import GateKey
from native.journal import Group, JournalWriter, Record, load_segments, parse_record, read_groups
from tests.native.samples import BROKER, NOW, REQUEST, RESPONSE

SMALL = 64 * 1024
CLIENT_KEY = PrivateKey.generate()
BROKER_KEY = PrivateKey.generate()


@dataclass
class Broker:
    """One journal directory; each open() is a process start with a gate key of its own."""

    directory: Path
    segment_bytes: int = SMALL
    gate: PrivateKey = field(default_factory=PrivateKey.generate)

    def open(self, **options: Any) -> JournalWriter:
        self.gate = PrivateKey.generate()
        key = encode_gate_key(
            GateKey(
                broker=BROKER,
                public_key=self.gate.public_key.point,
                not_before_ms=NOW,
                not_after_ms=NOW + 86_400_000,
            )
        )
        (signature,) = sign_batch(BROKER_KEY, [("govbus/gatekey/v1", key)])
        options = {"segment_bytes": self.segment_bytes} | options
        return JournalWriter(str(self.directory), BROKER, self.gate.to_der(), key, signature, **options)

    def groups(self) -> list[Group]:
        return list(read_groups(load_segments(self.directory)))

    def records(self) -> list[Record]:
        return [record for group in self.groups() for record in group.records]

    def entries(self, kind: type) -> list[Any]:
        return [entry for entry in map(parse_record, self.records()) if isinstance(entry, kind)]

    def segments(self) -> list[Path]:
        return sorted(self.directory.glob("journal-*.seg"))


def request(request_id: bytes | None = None) -> bytes:
    """A request header nobody sent before."""
    return encode_request_header(replace(REQUEST, request_id=request_id or os.urandom(16)))


def signature_over(header: bytes) -> bytes:
    return sign_batch(CLIENT_KEY, [("govbus/request/v1", header)])[0]


REQUEST_SIGNATURE = signature_over(request())
RESPONSE_BYTES = encode_response_header(RESPONSE)
RESPONSE_SIGNATURE = sign_batch(CLIENT_KEY, [("govbus/response/v1", RESPONSE_BYTES)])[0]


def done(journal: JournalWriter, header: bytes, answer: tuple[int, int, bytes, bytes], **more: Any) -> Any:
    """Submits the outcome of an intent whose provider answered."""
    return journal.submit_outcome(
        header, answer[0], answer[1], response_header=RESPONSE_BYTES, signature=RESPONSE_SIGNATURE, messages=1, **more
    )


def call(journal: JournalWriter, header: bytes | None = None) -> tuple[Any, Any]:
    """One whole call: its intent's answer and its outcome's."""
    header = header or request()
    intent = journal.submit_intent(header, REQUEST_SIGNATURE).wait()
    return intent, done(journal, header, intent).wait()


def start_child(broker: Broker, seed: int) -> "subprocess.Popen[str]":
    """A process that writes calls as fast as it can and prints each acknowledgement, until it is killed."""
    return subprocess.Popen(
        [
            sys.executable,
            "-m",
            "tests.native.journal_child",
            str(broker.directory),
            str(broker.segment_bytes),
            str(seed),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
