"""Evidence out of the journal, and out of what a client was told (bus.evidence.export)."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bus.edge.instance import Instance
from bus.evidence.bundle import encode_bundle, parse_bundle
from bus.evidence.export import Body, NotInJournal, OtherCall, bundle_of_call, completed, export_call, parse_request_id
from bus.evidence.verify import LEDGER_STEPS, verify_bundle
from bus.exchange.evidence import CallEvidence
from native.journal import JournalDamaged, JournalWriter
from pki.gatekey import make_gate_key
from tests.support.nation import BROKER, CALLER, make_small_nation
from tests.support.recorded_call import RecordedCall, bundle_of, record_call, signer_of


@pytest.fixture
def instance(tmp_path: Path) -> Instance:
    return make_small_nation(tmp_path / "state")


def snapshot_of(instance: Instance) -> bytes:
    return (instance.home(CALLER) / "snapshot.bin").read_bytes()


def exported(call: RecordedCall, **bodies: Body) -> bytes:
    bundle = export_call(
        call.header.request_id,
        call.journal,
        snapshot=snapshot_of(call.instance),
        policy_key=call.instance.policy_key_point,
        ledger=None,
        **bodies,
    )
    return encode_bundle(bundle)


def test_what_is_exported_holds(instance: Instance) -> None:
    found = verify_bundle(exported(record_call(instance)), instance.policy_key_point)
    assert found.outcome == "DONE"
    assert [step.name for step in found.steps if not step.present] == ["request body", "response body", *LEDGER_STEPS]


def test_with_the_holders_bodies_it_is_the_whole_bundle(instance: Instance) -> None:
    call = record_call(instance)
    bodies = {
        "request_body": Body(call.request_salt, call.request_frames),
        "response_body": Body(call.response_salt, call.response_frames, b"fine"),
    }
    assert exported(call, **bodies) == encode_bundle(bundle_of(call))


def test_what_the_caller_kept_completes_it(instance: Instance) -> None:
    call = record_call(instance)
    held = bundle_of(call)
    bare = replace(held, admission=b"", admission_signature=b"", intent_entry=b"")  # a caller may have no admission
    for holder in (held, bare):
        assert encode_bundle(completed(parse_bundle(exported(call)), holder)) == encode_bundle(held)


def test_callers_judging_policy_stands_in_for_one_that_the_broker_keeps_no_more(instance: Instance) -> None:
    call = record_call(instance)
    held = bundle_of(call)
    instance.publish(now=datetime.now(UTC))
    later = parse_bundle(exported(call))
    assert later.snapshot != held.snapshot
    assert completed(later, held).snapshot == held.snapshot
    assert completed(later, later).snapshot == later.snapshot
    assert completed(held, later).snapshot == held.snapshot


def test_bodies_of_another_call_or_answer_are_not_put_in(instance: Instance) -> None:
    call, other = record_call(instance), record_call(instance)
    bundle, held = parse_bundle(exported(call)), bundle_of(call)
    for wrong, what in (
        (bundle_of(other), "another request"),
        (replace(held, response_header=bundle_of(other).response_header), "another answer"),
        (replace(held, policy_key=bytes(65)), "another policy key"),
    ):
        with pytest.raises(OtherCall, match=what):
            completed(bundle, wrong)


def test_one_of_many_calls_is_found(instance: Instance) -> None:
    calls = [record_call(instance) for _ in range(5)]
    for call in calls:
        found = verify_bundle(exported(call), instance.policy_key_point)
        assert found.request.request_id == call.header.request_id


def test_a_call_that_a_killed_broker_left_open_is_evidence_of_that(instance: Instance) -> None:
    call = record_call(instance, ends="killed")
    gate_key = make_gate_key(instance.subsystem_id(BROKER), signer_of(instance, BROKER), now=datetime.now(UTC))
    JournalWriter(
        str(call.journal), call.header.broker, gate_key.private_key_der, gate_key.gate_key, gate_key.signature
    ).close()
    found = verify_bundle(exported(call), instance.policy_key_point)
    assert found.outcome == "UNKNOWN"


def test_a_call_that_nobody_admitted_is_not_there(instance: Instance) -> None:
    call = record_call(instance)
    call.header = type(call.header)(
        **{name: getattr(call.header, name) for name in call.header.__slots__} | {"request_id": os.urandom(16)}
    )
    with pytest.raises(NotInJournal):
        exported(call)


def test_a_damaged_journal_gives_no_evidence(instance: Instance) -> None:
    call = record_call(instance)
    (segment,) = call.journal.glob("journal-*.seg")
    data = bytearray(segment.read_bytes())
    data[data.index(call.request)] ^= 1
    segment.write_bytes(data)
    with pytest.raises((JournalDamaged, NotInJournal)):
        exported(call)


def test_a_client_makes_the_same_of_what_it_was_told(instance: Instance) -> None:
    call = record_call(instance)
    told = CallEvidence(
        request_header=call.request,
        request_signature=call.request_signature,
        request_salt=call.request_salt,
        request_messages=(call.request_frames[5:],),
        response_header=call.response,
        response_signature=call.response_signature,
        response_salt=call.response_salt,
        response_messages=(b"nobody", b"anymore"),
        grpc_message=b"fine",
        admission=call.admission,
        admission_signature=call.admission_signature,
        receipt=call.receipt,
        receipt_signature=call.receipt_signature,
        gate_key=call.gate_key.gate_key,
        gate_key_signature=call.gate_key.signature,
    )
    made = bundle_of_call(told, snapshot=snapshot_of(instance), policy_key=instance.policy_key_point)
    assert encode_bundle(made) == encode_bundle(bundle_of(call))


@pytest.mark.parametrize("text", ["0190c0ffee007abc8def0123456789ab", "0190c0ff-ee00-7abc-8def-0123456789ab"])
def test_a_request_id_is_hex_or_a_uuid(text: str) -> None:
    assert parse_request_id(text).hex() == "0190c0ffee007abc8def0123456789ab"


@pytest.mark.parametrize("text", ["", "0190", "x" * 32])
def test_anything_else_is_no_request_id(text: str) -> None:
    with pytest.raises(ValueError, match="hex digits"):
        parse_request_id(text)
