"""Evidence: what is whole holds, and whatever is changed names the step that broke (bus.evidence.verify)."""

import os
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256

import pytest

from bus.evidence.bundle import Bundle, BundleError, encode_bundle, parse_bundle
from bus.evidence.entries import INTENT, OUTCOME, ledger_entry
from bus.evidence.verify import LEDGER_STEPS, STEPS, EvidenceInvalid, verify_bundle
from native.batch import sign_batch
from native.codec import (
    decode_admission,
    decode_receipt,
    decode_request_header,
    encode_admission,
    encode_receipt,
    encode_request_header,
)
from native.digest import ADMISSION_TYPE, RECEIPT_TYPE, REQUEST_TYPE, RESPONSE_TYPE, frame, header_digest
from native.ecdsa import PrivateKey
from native.policy import build_tables
from native.snapshot import encode_snapshot
from pki.gatekey import make_gate_key
from pki.keys import generate_private_key
from pki.signer import FileSigner, KeySigner
from tests.support.nation import BROKER, CALLER, OTHER, PROVIDER, make_small_nation
from tests.support.recorded_call import RecordedCall, bundle_of, record_call, signer_of


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> RecordedCall:
    return record_call(make_small_nation(tmp_path_factory.mktemp("nation") / "state"))


@pytest.fixture
def bundle(call: RecordedCall) -> Bundle:
    return bundle_of(call)


def test_a_whole_bundle_holds(call: RecordedCall, bundle: Bundle) -> None:
    found = verify_bundle(encode_bundle(bundle), call.instance.policy_key_point)
    assert [step.name for step in found.steps] == list(STEPS)
    assert tuple(step.name for step in found.steps if not step.present) == LEDGER_STEPS
    assert found.pinned
    assert found.request == call.header
    assert found.outcome == "DONE"


def test_it_holds_without_bodies(call: RecordedCall, bundle: Bundle) -> None:
    bare = replace(
        bundle, request_salt=b"", request_frames=b"", response_salt=b"", response_frames=b"", grpc_message=b""
    )
    found = verify_bundle(encode_bundle(bare), call.instance.policy_key_point)
    assert [step.name for step in found.steps if not step.present] == ["request body", "response body", *LEDGER_STEPS]


def test_it_holds_with_the_receipt_alone(call: RecordedCall, bundle: Bundle) -> None:
    bare = replace(bundle, admission=b"", admission_signature=b"", intent_entry=b"")
    found = verify_bundle(encode_bundle(bare), call.instance.policy_key_point)
    assert found.intent_time_ms == verify_bundle(encode_bundle(bundle), None).intent_time_ms


def test_it_holds_with_the_admission_alone(call: RecordedCall, bundle: Bundle) -> None:
    bare = replace(bundle, receipt=b"", receipt_signature=b"", outcome_entry=b"")
    assert verify_bundle(encode_bundle(bare), call.instance.policy_key_point).outcome is None


def test_a_call_without_answer_is_evidence_too(tmp_path_factory: pytest.TempPathFactory) -> None:
    failed = record_call(make_small_nation(tmp_path_factory.mktemp("nation") / "state"), ends="failed")
    assert verify_bundle(encode_bundle(bundle_of(failed)), failed.instance.policy_key_point).outcome == "FAILED"


def test_without_a_pinned_key_it_says_so(bundle: Bundle) -> None:
    assert not verify_bundle(encode_bundle(bundle), None).pinned


def failing_step(data: bytes, policy_key: bytes | None) -> str | None:
    """The name of the step that fails; None when all hold."""
    try:
        verify_bundle(data, policy_key)
    except EvidenceInvalid as error:
        return error.name
    return None


def flipped(data: bytes, position: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= 1 << (position % 8)
    return bytes(changed)


def test_a_flipped_byte_is_noticed_wherever_it_is(call: RecordedCall, bundle: Bundle) -> None:
    data, pinned = encode_bundle(bundle), call.instance.policy_key_point
    assert failing_step(data, pinned) is None
    for position in range(random.Random(len(data)).randrange(7), len(data), 7):
        assert failing_step(flipped(data, position), pinned) is not None, position


@pytest.mark.soak
def test_every_flipped_byte_is_noticed(call: RecordedCall, bundle: Bundle) -> None:
    data, pinned = encode_bundle(bundle), call.instance.policy_key_point
    assert [position for position in range(len(data)) if failing_step(flipped(data, position), pinned) is None] == []


def test_what_is_cut_off_is_noticed_unless_it_is_a_body(call: RecordedCall, bundle: Bundle) -> None:
    data, pinned = encode_bundle(bundle), call.instance.policy_key_point
    whole = [length for length in range(len(data)) if failing_step(data[:length], pinned) is None]
    for length in whole:
        absent = [step.name for step in verify_bundle(data[:length], pinned).steps if not step.present]
        assert "response body" in absent
        assert set(absent) <= {"request body", "response body", *LEDGER_STEPS}
    assert len(whole) == 2


def test_random_bytes_are_no_evidence() -> None:
    source = random.Random(7)
    for _ in range(200):
        with pytest.raises(EvidenceInvalid) as caught:
            verify_bundle(source.randbytes(source.randrange(400)), None)
        assert caught.value.step == 1


def test_the_file_has_one_form_only(bundle: Bundle) -> None:
    data = encode_bundle(bundle)
    for other in (data + b"\xf8\x7f\x01", data + data[:2], data[2:] + data[:2]):
        with pytest.raises(BundleError):
            parse_bundle(other)
    with pytest.raises(BundleError, match="empty"):
        parse_bundle(b"")


def resigned(bundle: Bundle, call: RecordedCall, **changes: object) -> Bundle:
    """Another request header, signed again by the client."""
    header = encode_request_header(replace(decode_request_header(bundle.request_header), **changes))  # type: ignore[arg-type]  # names and values by the test
    (signature,) = sign_batch(signer_of(call.instance, CALLER), [(REQUEST_TYPE, header)])
    return replace(bundle, request_header=header, request_signature=signature)


def other_admission(bundle: Bundle, call: RecordedCall, **changes: object) -> Bundle:
    """Another admission, signed again by the gate key: a dishonest broker."""
    admission = encode_admission(replace(decode_admission(bundle.admission), **changes))  # type: ignore[arg-type]  # as above
    signature = by_gate(call, ADMISSION_TYPE, admission)
    return replace(
        bundle, admission=admission, admission_signature=signature, intent_entry=ledger_entry(INTENT, admission)
    )


def other_receipt(bundle: Bundle, call: RecordedCall, **changes: object) -> Bundle:
    """As other_admission."""
    receipt = encode_receipt(replace(decode_receipt(bundle.receipt), **changes))  # type: ignore[arg-type]  # as above
    signature = by_gate(call, RECEIPT_TYPE, receipt)
    return replace(bundle, receipt=receipt, receipt_signature=signature, outcome_entry=ledger_entry(OUTCOME, receipt))


def by_gate(call: RecordedCall, type_: str, record: bytes) -> bytes:
    (signature,) = sign_batch(PrivateKey.from_der(call.gate_key.private_key_der), [(type_, record)])
    return signature


def by(signer: KeySigner, type_: str, record: bytes) -> bytes:
    (signature,) = sign_batch(signer, [(type_, record)])
    return signature


def ungranted(bundle: Bundle, call: RecordedCall, **changes: object) -> Bundle:
    """A request beyond its client's grants, admitted by a dishonest broker; nothing was answered yet."""
    asked = resigned(bundle, call, **changes)
    alone = replace(
        asked, receipt=b"", receipt_signature=b"", outcome_entry=b"", response_header=b"", response_signature=b""
    )
    alone = replace(alone, response_salt=b"", response_frames=b"", grpc_message=b"")
    return other_admission(
        alone,
        call,
        request_digest=header_digest(REQUEST_TYPE, asked.request_header),
        request_signature_digest=sha256(asked.request_signature).digest(),
    )


def later(call: RecordedCall) -> bytes:
    """The next version, in which the grant of the call is gone: it was permitted then all the same."""
    tables = call.instance.policy().tables
    built = build_tables(replace(tables, grants=()))
    signer = FileSigner.load(call.instance.state / "policy-signing-key.pem")
    now_ms = int(datetime.now(UTC).timestamp() * 1000)
    return encode_snapshot(
        built,
        signer,
        trust_domain=call.instance.trust_domain,
        version=call.instance.version + 1,
        log_position=call.instance.version + 1,
        created_at_ms=now_ms,
        alarm_after_ms=1,
        refuse_after_ms=2,
    )


def test_later_snapshot_than_the_judging_one_proves_no_permission_and_says_so(
    call: RecordedCall, bundle: Bundle
) -> None:
    judging = verify_bundle(encode_bundle(bundle), None)
    assert judging.snapshot_version == judging.judged_by
    assert judging.steps[-1].text == f"grant-1 permits it by version {judging.judged_by}"
    found = verify_bundle(encode_bundle(replace(bundle, snapshot=later(call))), None)
    assert (found.judged_by, found.snapshot_version) == (judging.judged_by, judging.judged_by + 1)
    assert f"later than version {judging.judged_by}, which judged the call" in found.steps[1].text
    assert (found.steps[-1].name, found.steps[-1].present) == ("grant", False)


def stranger_gate(bundle: Bundle, call: RecordedCall) -> Bundle:
    """A gate key that names the broker but is certified by somebody else."""
    signer = signer_of(call.instance, OTHER)
    forged = make_gate_key(call.instance.subsystem_id(BROKER), signer, now=datetime.now(UTC))
    return replace(bundle, gate_key=forged.gate_key, gate_key_signature=forged.signature)


def other_gate(bundle: Bundle, call: RecordedCall) -> Bundle:
    """The broker's own, but not the one that signed."""
    other = make_gate_key(call.instance.subsystem_id(BROKER), signer_of(call.instance, BROKER), now=datetime.now(UTC))
    return replace(bundle, gate_key=other.gate_key, gate_key_signature=other.signature)


STRANGER = KeySigner(generate_private_key())
Change = Callable[[Bundle, RecordedCall], Bundle]
CHANGES: list[tuple[str, str, Change]] = [
    ("a bundle of another instance", "policy snapshot", lambda b, c: replace(b, policy_key=STRANGER.public_point)),
    ("a snapshot older than the call", "policy snapshot", lambda b, c: other_admission(b, c, snapshot_version=9)),
    (
        "a header that is not canonical",
        "request header",
        lambda b, c: replace(b, request_header=b.request_header + b"\0"),
    ),
    (
        "a client key that nobody registered",
        "client key",
        lambda b, c: replace(b, request_signature=by(STRANGER, REQUEST_TYPE, b.request_header)),
    ),
    (
        "a request signed by another member",
        "client key",
        lambda b, c: replace(b, request_signature=by(signer_of(c.instance, PROVIDER), REQUEST_TYPE, b.request_header)),
    ),
    ("a call before the key was valid", "client key", lambda b, c: other_admission(b, c, intent_time_ms=1_000)),
    (
        "a request that says another purpose",
        "client signature",
        lambda b, c: replace(b, request_header=b.request_header.replace(b"civil.birth", b"civil.death")),
    ),
    ("a gate key certified by a stranger", "gate key", stranger_gate),
    ("an admission of another request", "admission", lambda b, c: resigned(b, c, case_id="case-a2")),
    ("an admission of another signature", "admission", lambda b, c: resigned(b, c)),
    ("an admission by another gate key", "admission signature", other_gate),
    (
        "an admission signed as a receipt",
        "admission signature",
        lambda b, c: replace(b, admission_signature=by_gate(c, RECEIPT_TYPE, b.admission)),
    ),
    (
        "an admission of a request long over",
        "admission",
        lambda b, c: other_admission(b, c, intent_time_ms=c.header.not_after_ms + 30_001),
    ),
    ("a receipt of another intent", "receipt", lambda b, c: other_admission(b, c, sequence=99)),
    (
        "a receipt of an outcome before the intent",
        "receipt",
        lambda b, c: other_receipt(b, c, outcome_time_ms=decode_receipt(b.receipt).intent_time_ms - 1),
    ),
    (
        "a receipt without its answer",
        "receipt",
        lambda b, c: replace(
            b, response_header=b"", response_signature=b"", response_salt=b"", response_frames=b"", grpc_message=b""
        ),
    ),
    (
        "another answer signed by the provider",
        "receipt",
        lambda b, c: replace(
            b, response_signature=by(signer_of(c.instance, PROVIDER), RESPONSE_TYPE, b.response_header)
        ),
    ),
    (
        "a receipt signed as an admission",
        "receipt signature",
        lambda b, c: replace(b, receipt_signature=by_gate(c, ADMISSION_TYPE, b.receipt)),
    ),
    ("another request body", "request body", lambda b, c: replace(b, request_frames=frame(b"who lives there?"))),
    ("a request body cut short", "request body", lambda b, c: replace(b, request_frames=b.request_frames[:-1])),
    ("another request salt", "request body", lambda b, c: replace(b, request_salt=os.urandom(32))),
    ("an answer without one message", "response body", lambda b, c: replace(b, response_frames=frame(b"nobody"))),
    ("another status text", "response body", lambda b, c: replace(b, grpc_message=b"bad")),
    ("a call by a grant that nobody has", "grant", lambda b, c: ungranted(b, c, grant_id="grant-9")),
    ("a call for a purpose that is not granted", "grant", lambda b, c: ungranted(b, c, purpose="civil.death")),
    ("a call of a method that is not granted", "grant", lambda b, c: ungranted(b, c, method="/other.v1.Service/Get")),
    ("another entry", "ledger entries", lambda b, c: replace(b, outcome_entry=b.intent_entry)),
]


@pytest.mark.parametrize(("what", "step", "change"), CHANGES, ids=[what for what, _, _ in CHANGES])
def test_the_first_broken_step_is_named(
    call: RecordedCall, bundle: Bundle, what: str, step: str, change: Change
) -> None:
    with pytest.raises(EvidenceInvalid) as caught:
        verify_bundle(encode_bundle(change(bundle, call)), call.instance.policy_key_point)
    assert caught.value.name == step, what
    assert len(caught.value.passed) == caught.value.step - 1


def test_without_a_receipt_the_answer_is_judged_by_its_own_signature(call: RecordedCall, bundle: Bundle) -> None:
    bare = replace(bundle, receipt=b"", receipt_signature=b"", outcome_entry=b"")
    forged = by(STRANGER, RESPONSE_TYPE, bare.response_header)
    with pytest.raises(EvidenceInvalid) as caught:
        verify_bundle(encode_bundle(replace(bare, response_signature=forged)), None)
    assert caught.value.name == "provider key"
    twisted = replace(bare, response_header=bare.response_header[:-1] + bytes([bare.response_header[-1] ^ 1]))
    with pytest.raises(EvidenceInvalid) as caught:
        verify_bundle(encode_bundle(twisted), None)
    assert caught.value.name == "provider signature"


@pytest.mark.parametrize("part", ["snapshot", "request_header", "request_signature", "gate_key", "policy_key"])
def test_a_bundle_without_a_necessary_part_is_not_written(bundle: Bundle, part: str) -> None:
    with pytest.raises(BundleError, match=part):
        encode_bundle(replace(bundle, **{part: b""}))


def test_nothing_of_a_body_is_shown_by_accident(bundle: Bundle) -> None:
    assert "lives" not in repr(bundle)
    assert bundle.request_salt.hex() not in repr(bundle)
