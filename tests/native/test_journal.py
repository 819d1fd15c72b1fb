"""The journal: what is acknowledged is on disk, provable one by one, and in one order for ever."""

import random
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from native import _fast
from native._batch_py import verify_batch as twin_verify
from native._ecdsa_py import PublicKey as TwinKey
from native.codec import decode_admission, decode_receipt, decode_signature
from native.digest import ADMISSION_TYPE, RECEIPT_TYPE, REQUEST_TYPE, RESPONSE_TYPE, body_commitment, header_digest
from native.journal import (
    CleanStop,
    JournalError,
    Outcome,
    ProcessStart,
    RefusedRequest,
    SnapshotServed,
    find_call,
    load_segments,
)
from tests.native.journals import (
    REQUEST_SIGNATURE,
    RESPONSE_BYTES,
    RESPONSE_SIGNATURE,
    Broker,
    call,
    done,
    request,
)
from tests.native.samples import BROKER, CLIENT, octets


@pytest.fixture
def broker(tmp_path: Path) -> Broker:
    return Broker(tmp_path)


def test_crc32c_is_the_published_function_on_every_processor() -> None:
    chance = random.Random("govbus crc")
    for by_table in (False, True):
        assert _fast.crc32c(b"123456789", by_table) == 0xE3069283  # RFC 3720 B.4 family
        assert _fast.crc32c(bytes(32), by_table) == 0x8A9136AA
    for n in range(80):
        data = chance.randbytes(n)
        assert _fast.crc32c(data) == _fast.crc32c(data, True)


def test_an_acknowledged_call_is_on_disk_with_all_that_proves_it(broker: Broker) -> None:
    journal = broker.open(merge_delay_ms=5_000)
    header = request()
    intent = journal.submit_intent(header, REQUEST_SIGNATURE, snapshot_version=9).wait()
    outcome = done(journal, header, intent, released=octets(3), released_bytes=77).wait()
    # Still open: what was acknowledged is in the file already.
    found = find_call(load_segments(broker.directory), header[2:18])
    assert found is not None
    assert found.outcome is not None
    assert (found.intent.admission_bytes, found.admission_signature) == intent[2:]
    assert (found.outcome.receipt_bytes, found.receipt_signature) == outcome[2:]
    assert (found.intent.request_bytes, found.intent.signature_bytes, found.intent.counted_bytes) == (
        header,
        REQUEST_SIGNATURE,
        None,
    )
    assert (found.outcome.response_bytes, found.outcome.signature_bytes) == (RESPONSE_BYTES, RESPONSE_SIGNATURE)
    admission, receipt = found.intent.admission, found.outcome.receipt
    assert (admission.broker, admission.snapshot_version) == (BROKER, 9)
    assert admission.request_digest == receipt.request_digest == header_digest(REQUEST_TYPE, header)
    assert admission.request_signature_digest == sha256(REQUEST_SIGNATURE).digest()
    assert receipt.response_digest == header_digest(RESPONSE_TYPE, RESPONSE_BYTES)
    assert receipt.response_signature_digest == sha256(RESPONSE_SIGNATURE).digest()
    assert (receipt.intent_sequence, receipt.outcome_sequence) == (intent[0], outcome[0])
    assert (receipt.intent_time_ms, receipt.outcome_time_ms) == (intent[1], outcome[1])
    assert receipt.merge_deadline_ms == outcome[1] + 5_000
    assert receipt.released_commitment == body_commitment(receipt.entry_salt, octets(3))
    assert (receipt.messages_released, receipt.bytes_released, receipt.outcome, receipt.reason) == (1, 77, 1, 0)
    assert admission.entry_salt != receipt.entry_salt
    journal.close()


def test_every_proof_of_a_group_verifies_alone_with_the_twin(broker: Broker) -> None:
    broker.segment_bytes = 1 << 20
    journal = broker.open()
    pending = [journal.submit_intent(request(), REQUEST_SIGNATURE) for _ in range(50)]
    intents = [each.wait() for each in pending]
    key = TwinKey.from_point(broker.gate.public_key.point)
    sizes = set()
    for _, _, admission, proof in intents:
        signature = decode_signature(proof)
        sizes.add(signature.size)
        twin_verify(key, ADMISSION_TYPE, admission, signature)
    assert max(sizes) > 1
    header = request()
    _, outcome = call(journal, header)
    twin_verify(key, RECEIPT_TYPE, outcome[2], decode_signature(outcome[3]))
    journal.close()


def test_sequences_and_times_only_rise_over_restarts_and_segments(broker: Broker) -> None:
    seen: list[tuple[int, int]] = []
    for _ in range(4):
        journal = broker.open()
        for _ in range(30):
            intent, outcome = call(journal)
            seen += [intent[:2], outcome[:2]]
        journal.close()
    assert seen == sorted(seen)
    assert len({sequence for sequence, _ in seen}) == len(seen)
    assert len(broker.segments()) > 2
    sequences = [record.sequence for record in broker.records()]
    assert sequences == sorted(set(sequences))


def test_a_process_starts_with_its_certified_key_and_ends_clean(broker: Broker) -> None:
    broker.open().close()
    broker.open().close()
    first, second = broker.entries(ProcessStart)
    assert first.gate_key.broker == BROKER
    assert first.gate_key.public_key != second.gate_key.public_key == broker.gate.public_key.point
    assert len(broker.entries(CleanStop)) == 2


def test_ids_of_the_last_90_seconds_come_back_at_start(broker: Broker) -> None:
    journal = broker.open()
    ids = [octets(i, 16) for i in (3, 5)]
    for each in ids:
        call(journal, request(each))
    journal.submit_refusal(request(octets(9, 16)), REQUEST_SIGNATURE, 80).wait()
    journal.close()
    journal = broker.open()
    assert [(client, each) for client, each, _ in journal.seen] == [(CLIENT, i) for i in (*ids, octets(9, 16))]
    assert all(80_000 < remaining <= 90_000 for _, _, remaining in journal.seen)
    journal.close()


def test_the_highest_snapshot_served_survives(broker: Broker) -> None:
    journal = broker.open()
    journal.submit_snapshot(7, 30).wait()
    journal.submit_snapshot(6, 31).wait()
    for _ in range(60):
        call(journal)  # into later segments
    journal.close()
    journal = broker.open()
    assert (journal.recovered()["snapshot_version"], journal.recovered()["log_position"]) == (7, 31)
    journal.close()
    assert len(broker.entries(SnapshotServed)) == 2


def test_refusals_are_recorded_without_proof(broker: Broker) -> None:
    journal = broker.open()
    header = request()
    sequence, _, record, proof = journal.submit_refusal(header, REQUEST_SIGNATURE, 70, snapshot_version=4).wait()
    journal.close()
    (refused,) = broker.entries(RefusedRequest)
    assert proof == b""
    assert refused.refusal_bytes == record
    assert (refused.refusal.sequence, refused.refusal.reason, refused.refusal.snapshot_version) == (sequence, 70, 4)
    assert refused.request_bytes == header


def test_a_refusal_bears_the_time_of_its_decision_and_the_journal_goes_on_by_its_own(broker: Broker) -> None:
    journal = broker.open()
    before = journal.submit_intent(request(), REQUEST_SIGNATURE).wait()
    now = before[1]
    refusals = [journal.submit_refusal(request(), REQUEST_SIGNATURE, 70, decided_ms=at) for at in (now - 40, now - 90)]
    answers = [pending.wait() for pending in refusals]
    assert [sequence for sequence, *_ in answers] == [before[0] + 2, before[0] + 3]  # behind the intent's commit
    assert [time for _, time, *_ in answers] == [now - 40, now - 90]
    after = journal.submit_intent(request(), REQUEST_SIGNATURE).wait()
    assert after[1] >= now
    last = journal.last_time_ms
    journal.close()
    assert [entry.refusal.time_ms for entry in broker.entries(RefusedRequest)] == [now - 40, now - 90]
    commits = [group.commit.time_ms for group in broker.groups()]
    assert commits == sorted(commits)
    journal = broker.open()
    assert journal.recovered()["last_time_ms"] >= last
    journal.close()


def test_a_refusal_is_never_dated_behind_its_own_group(broker: Broker) -> None:
    journal = broker.open()
    _, time, *_ = journal.submit_refusal(request(), REQUEST_SIGNATURE, 70, decided_ms=1 << 60).wait()
    assert time == journal.last_time_ms
    journal.close()


def test_a_refused_id_is_held_from_its_decision_on(broker: Broker) -> None:
    journal = broker.open()
    now = journal.submit_intent(request(octets(1, 16)), REQUEST_SIGNATURE).wait()[1]
    for number, age in ((2, 60_000), (3, 91_000)):
        journal.submit_refusal(request(octets(number, 16)), REQUEST_SIGNATURE, 80, decided_ms=now - age).wait()
    journal.close()
    journal = broker.open()
    held = {each: remaining for _, each, remaining in journal.seen}
    assert set(held) == {octets(1, 16), octets(2, 16)}
    assert held[octets(2, 16)] <= 30_000 < held[octets(1, 16)]
    journal.close()


@pytest.mark.parametrize("outcome", [2, 3])
def test_an_outcome_without_an_answer_carries_none(broker: Broker, outcome: int) -> None:
    journal = broker.open()
    header = request()
    intent = journal.submit_intent(header, REQUEST_SIGNATURE).wait()
    journal.submit_outcome(header, intent[0], intent[1], outcome=outcome, reason=116).wait()
    journal.close()
    (entry,) = broker.entries(Outcome)
    assert (entry.receipt.outcome, entry.receipt.reason, entry.receipt.response_digest) == (outcome, 116, b"")
    assert (entry.response_bytes, entry.signature_bytes) == (b"", b"")


def test_what_cannot_be_a_record_is_refused_and_costs_nothing(broker: Broker) -> None:
    journal = broker.open()
    header = request()
    attempts: list[Callable[[], object]] = [
        lambda: journal.submit_intent(b"", REQUEST_SIGNATURE),
        lambda: journal.submit_intent(header, b""),
        lambda: journal.submit_intent(header + bytes(2049), REQUEST_SIGNATURE),
        lambda: journal.submit_intent(header, bytes(513)),
        lambda: journal.submit_intent(header, REQUEST_SIGNATURE, snapshot_version=0),
        lambda: journal.submit_refusal(header, REQUEST_SIGNATURE, 0),
        lambda: journal.submit_outcome(header, 3, 5, outcome=2, reason=1),  # no intent is open
        lambda: journal.submit_snapshot(0, 1),
    ]
    for wrong in attempts:
        with pytest.raises(JournalError) as refused:
            wrong()
        assert refused.value.reason == "invalid"
    intent = journal.submit_intent(header, REQUEST_SIGNATURE).wait()
    for outcome, answer in ((0, b""), (5, b""), (1, b""), (2, RESPONSE_BYTES)):
        with pytest.raises(JournalError) as refused:
            journal.submit_outcome(
                header, intent[0], intent[1], outcome=outcome, response_header=answer, signature=RESPONSE_SIGNATURE
            )
        assert refused.value.reason == "invalid"
    # A number that the codec refuses is found by the writer; the journal goes on.
    with pytest.raises(JournalError) as refused:
        journal.submit_outcome(header, intent[0], 2**62, outcome=2, reason=1).wait()
    assert refused.value.reason == "invalid"
    call(journal)
    journal.close()


def test_an_outcome_may_follow_its_intent_into_the_queue(broker: Broker) -> None:
    """A client that leaves before its intent is on disk: the pair is written in order, one outcome for the intent."""
    broker.segment_bytes = 1 << 20
    journal = broker.open()
    pairs = []
    for _ in range(30):
        header = request()
        intent = journal.submit_intent(header, REQUEST_SIGNATURE)
        pairs.append((intent, journal.submit_outcome(header, 0, 0, intent=intent, outcome=3)))
    for intent, outcome in pairs:
        receipt = decode_receipt(outcome.wait()[2])
        sequence, time_ms, _, _ = intent.wait()
        assert (receipt.intent_sequence, receipt.intent_time_ms, receipt.outcome) == (sequence, time_ms, 3)
    assert journal.stats()["open_intents"] == 0
    journal.close()


def test_an_intent_has_one_outcome(broker: Broker) -> None:
    journal = broker.open()
    header = request()
    intent = journal.submit_intent(header, REQUEST_SIGNATURE)
    other = journal.submit_intent(request(), REQUEST_SIGNATURE)
    first = journal.submit_outcome(header, 0, 0, intent=intent, outcome=3)
    with pytest.raises(JournalError) as refused:
        journal.submit_outcome(header, 0, 0, intent=intent, outcome=2, reason=1)
    assert refused.value.reason == "invalid"
    first.wait()
    journal.submit_outcome(header, 0, 0, intent=other, outcome=3).wait()
    sequence, time_ms, _, _ = intent.wait()
    with pytest.raises(JournalError) as refused:
        journal.submit_outcome(header, sequence, time_ms, outcome=3)  # every intent has its outcome
    assert refused.value.reason == "invalid"
    journal.close()
    assert len(broker.entries(Outcome)) == 2


def test_one_directory_has_one_writer(broker: Broker) -> None:
    journal = broker.open()
    with pytest.raises(JournalError) as refused:
        broker.open()
    assert refused.value.reason == "locked"
    journal.close()
    broker.open().close()


def test_a_closed_journal_takes_nothing(broker: Broker) -> None:
    journal = broker.open()
    pending = [journal.submit_intent(request(), REQUEST_SIGNATURE) for _ in range(20)]
    journal.close()
    assert all(each.wait()[0] for each in pending)  # what was taken was settled
    with pytest.raises(JournalError) as refused:
        journal.submit_intent(request(), REQUEST_SIGNATURE)
    assert refused.value.reason == "stopped"


def test_a_lone_intent_is_not_held_back_and_lone_refusals_are_gathered(broker: Broker) -> None:
    journal = broker.open()
    call(journal)
    time.sleep(0.02)
    before = journal.stats()["groups"]
    for pending in [journal.submit_refusal(request(), REQUEST_SIGNATURE, 70) for _ in range(10)]:
        pending.wait()
    assert journal.stats()["groups"] - before <= 2
    journal.close()


def test_load_is_grouped_and_every_record_counted(broker: Broker) -> None:
    broker.segment_bytes = 32 << 20  # all 4,000 calls fit at once: no slow disk can make this journal full
    journal = broker.open()
    before = journal.stats()
    _fast.run_journal_load(journal, request(), RESPONSE_BYTES, REQUEST_SIGNATURE, 4_000, 8_000)
    after = journal.stats()
    assert after["leaves"] - before["leaves"] == 8_000
    assert after["open_intents"] == 0
    assert after["groups"] - before["groups"] < 4_000
    journal.close()
    leaves = sum(group.commit.leaves for group in broker.groups())
    assert leaves == 8_000


def test_the_clock_of_records_never_goes_back(broker: Broker) -> None:
    journal = broker.open()
    _, outcome = call(journal)
    assert journal.last_time_ms == outcome[1]
    journal.close()
    journal = broker.open()
    assert journal.recovered()["last_time_ms"] >= outcome[1]
    journal.close()


def test_admissions_name_what_decides_evidence(broker: Broker) -> None:
    journal = broker.open()
    intent, outcome = call(journal)
    journal.close()
    admission, receipt = decode_admission(intent[2]), decode_receipt(outcome[2])
    assert admission.sequence == receipt.intent_sequence
    assert admission.intent_time_ms == receipt.intent_time_ms <= receipt.outcome_time_ms
