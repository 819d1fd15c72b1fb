"""Evidence with the ledger's proofs: whole it holds, and whatever is changed names the step (steps 17 to 19).

The call's journal is integrated into a real ledger; the bundle is what `govbus evidence export --ledger` writes.
"""

import json
import random
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bus.evidence.bundle import Bundle, BundleError, encode_bundle
from bus.evidence.export import export_call, prove_in_ledger
from bus.evidence.verify import EvidenceIncomplete, EvidenceInvalid, verify_bundle
from bus.exchange.trust import SnapshotFile
from bus.ledger.checkpoint import sign_checkpoint
from bus.ledger.journal_source import JournalSource
from bus.ledger.ledger import Ledger
from bus.ledger.note import NoteSigner
from bus.ledger.proof import encode_proof, parse_proof
from bus.ledger.reader import EntryUnknown, LedgerReader
from bus.ledger.sequencer import Sequencer
from native.ecdsa import PublicKey
from tests.bus.ledger.support import entries, signer
from tests.support.nation import BROKER, TRUST_DOMAIN, make_small_nation
from tests.support.recorded_call import RecordedCall, bundle_of, record_call

KEY = signer()


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory) -> RecordedCall:
    return record_call(make_small_nation(tmp_path_factory.mktemp("nation") / "state"))


@pytest.fixture(scope="module")
def ledger(call: RecordedCall, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("ledger") / "ledger"
    integrate(call, home)
    return home


def integrate(call: RecordedCall, home: Path, key: NoteSigner = KEY) -> None:
    """The call's journal behind some other entries."""
    instance = call.instance
    point = PublicKey.from_point(instance.policy_key_point)
    policy = SnapshotFile(instance.broker_home(BROKER) / "snapshot.bin", point, TRUST_DOMAIN, "broker")
    source = JournalSource(call.journal, call.header.broker, policy.load().key, time.monotonic)
    with Sequencer(home, key) as sequencer, Ledger(sequencer, [source], lambda: 0, patience_s=30) as loop:
        sequencer.integrate(entries(300), {})
        loop.round()
        assert loop.status().sources[source.name].error == ""
        sequencer.integrate(entries(10), {})


@pytest.fixture
def bundle(call: RecordedCall, ledger: Path) -> Bundle:
    return prove_in_ledger(bundle_of(call), LedgerReader.open(ledger))


def failing(bundle: Bundle, call: RecordedCall) -> str:
    with pytest.raises(EvidenceInvalid) as caught:
        verify_bundle(encode_bundle(bundle), call.instance.policy_key_point, ledger_key=KEY.verifier)
    return caught.value.name


def test_a_bundle_with_proofs_holds_in_every_step(call: RecordedCall, bundle: Bundle) -> None:
    found = verify_bundle(encode_bundle(bundle), call.instance.policy_key_point, ledger_key=KEY.verifier)
    assert [step.name for step in found.steps if not step.present] == []
    assert (found.ledger, found.ledger_pinned) == (KEY.verifier, True)
    texts = [step.text for step in found.steps[16:19]]
    assert texts == [f"312 entries of {KEY.verifier.name}", "entry 300", "entry 301"]


def test_without_a_pinned_key_it_says_so(bundle: Bundle) -> None:
    found = verify_bundle(encode_bundle(bundle), None)
    assert (found.ledger, found.ledger_pinned) == (KEY.verifier, False)


def test_an_open_call_is_proved_by_its_intent(call: RecordedCall, bundle: Bundle) -> None:
    bare = replace(bundle, receipt=b"", receipt_signature=b"", outcome_entry=b"", outcome_proof=b"")
    found = verify_bundle(encode_bundle(bare), call.instance.policy_key_point, ledger_key=KEY.verifier)
    assert [step.name for step in found.steps if not step.present][-1] == "outcome in ledger"


@pytest.mark.parametrize(
    ("left_out", "step"),
    [
        (("ledger_key", "intent_proof", "outcome_proof"), "ledger checkpoint"),
        (("intent_proof",), "intent in ledger"),
        (("outcome_proof",), "outcome in ledger"),
    ],
)
def test_proofs_left_out_do_not_pass_before_who_pins_the_ledger(
    call: RecordedCall, bundle: Bundle, left_out: tuple[str, ...], step: str
) -> None:
    """A call forged with a stolen key stands in no ledger: its bundle would simply say nothing of one."""
    stripped = replace(bundle, **dict.fromkeys(left_out, b""))
    with pytest.raises(EvidenceIncomplete) as caught:
        verify_bundle(encode_bundle(stripped), call.instance.policy_key_point, ledger_key=KEY.verifier)
    assert caught.value.name == caught.value.missing[0].name == step
    assert len(caught.value.missing) == len(left_out)
    assert [one.number for one in caught.value.found.steps] == list(range(1, 21))
    verify_bundle(encode_bundle(stripped), call.instance.policy_key_point)


def test_a_broken_part_behind_a_missing_proof_is_told_as_broken(call: RecordedCall, bundle: Bundle) -> None:
    """Who reads "incomplete, not contradicted" may rely on the second half."""
    other = encode_proof(replace(parse_proof(bundle.outcome_proof), index=299))
    broken = replace(bundle, intent_proof=b"", outcome_proof=other)
    with pytest.raises(EvidenceInvalid) as caught:
        verify_bundle(encode_bundle(broken), call.instance.policy_key_point, ledger_key=KEY.verifier)
    assert not isinstance(caught.value, EvidenceIncomplete)
    assert caught.value.name == "outcome in ledger"


def test_a_call_that_is_not_in_the_ledger_yet_is_told(call: RecordedCall, tmp_path: Path) -> None:
    with Sequencer(tmp_path / "ledger", KEY) as sequencer:
        sequencer.integrate(entries(5), {})
    with pytest.raises(EntryUnknown):
        prove_in_ledger(bundle_of(call), LedgerReader.open(tmp_path / "ledger"))


def test_what_is_changed_names_the_step(call: RecordedCall, bundle: Bundle, tmp_path: Path) -> None:
    intent = parse_proof(bundle.intent_proof)
    forged = sign_checkpoint(KEY, 312, bytes(32)).note
    stranger = signer()
    other = sign_checkpoint(stranger, 312, bytes(32)).note
    behind = intent.checkpoint + other.rpartition(b"\n\n")[2]

    def led_to(note: bytes) -> Bundle:
        proofs = [encode_proof(replace(parse_proof(one), checkpoint=note)) for one in _proofs(bundle)]
        return replace(bundle, intent_proof=proofs[0], outcome_proof=proofs[1])

    for step, changed in (
        ("intent in ledger", replace(bundle, intent_proof=encode_proof(replace(intent, index=299)))),
        ("intent in ledger", replace(bundle, intent_proof=bundle.outcome_proof)),
        ("outcome in ledger", replace(bundle, outcome_proof=bundle.intent_proof)),
        ("intent in ledger", led_to(forged)),
        ("ledger checkpoint", led_to(other)),
        ("ledger checkpoint", led_to(behind)),
        ("ledger checkpoint", replace(led_to(other), ledger_key=stranger.verifier.text.encode())),
        ("ledger checkpoint", replace(bundle, intent_proof=b"c2sp.org/tlog-proof@v1\n")),
        ("ledger checkpoint", replace(bundle, ledger_key=bundle.ledger_key + b"\n")),
        ("ledger checkpoint", replace(bundle, ledger_key=b"\xff")),
        ("ledger checkpoint", replace(bundle, outcome_proof=encode_proof(replace(intent, checkpoint=forged)))),
    ):
        assert failing(changed, call) == step


def test_a_flipped_byte_is_noticed_wherever_it_is(call: RecordedCall, bundle: Bundle) -> None:
    data = encode_bundle(bundle)
    start = data.index(bundle.ledger_key) - 4
    for position in range(start + random.Random(5).randrange(3), len(data), 3):
        changed = bytearray(data)
        changed[position] ^= 1 << position % 8
        with pytest.raises(EvidenceInvalid):
            verify_bundle(bytes(changed), call.instance.policy_key_point)


@pytest.mark.parametrize("part", ["ledger_key", "intent_entry"])
def test_proofs_do_not_come_without_what_they_need(bundle: Bundle, part: str) -> None:
    without = replace(bundle, **{part: b""})
    if part == "intent_entry":
        without = replace(without, admission=b"", admission_signature=b"")
    with pytest.raises(BundleError):
        encode_bundle(without)


def test_the_commands_export_and_verify_it(call: RecordedCall, ledger: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.evidence"
    exported = ("--journal", str(call.journal), "--ledger", str(ledger), "--out", str(out))
    done = govbus("evidence", "export", call.header.request_id.hex(), *exported)
    assert (done.returncode, done.stderr) == (0, "")
    pinned = ("--policy-key", str(call.instance.state / "policy-key.pem"))
    unpinned = govbus("verify", str(out), *pinned)
    assert (unpinned.returncode, "--ledger-key" in unpinned.stderr) == (0, True)
    done = govbus("verify", str(out), *pinned, "--ledger-key", str(ledger / "ledger-key.txt"), "--json")
    found = json.loads(done.stdout)
    assert (found["verified"], found["ledger_key_pinned"], found["ledger_key"]) == (True, True, KEY.verifier.text)
    (tmp_path / "other.txt").write_text(signer().verifier.text)
    done = govbus("verify", str(out), *pinned, "--ledger-key", str(tmp_path / "other.txt"))
    assert (done.returncode, "step 17 (ledger checkpoint)" in done.stderr) == (1, True)


def test_an_export_from_a_ledger_that_is_none_is_one_line(call: RecordedCall, tmp_path: Path) -> None:
    exported = ("--journal", str(call.journal), "--ledger", str(tmp_path), "--out", str(tmp_path / "out"))
    done = govbus("evidence", "export", call.header.request_id.hex(), *exported)
    assert (done.returncode, done.stderr.count("\n"), done.stdout) == (2, 1, "")


def test_the_export_of_a_call_carries_its_proofs(call: RecordedCall, ledger: Path, bundle: Bundle) -> None:
    found = export_call(
        call.header.request_id,
        call.journal,
        snapshot=bundle.snapshot,
        policy_key=bundle.policy_key,
        ledger=LedgerReader.open(ledger),
    )
    assert (found.ledger_key, *_proofs(found)) == (bundle.ledger_key, *_proofs(bundle))


def _proofs(bundle: Bundle) -> tuple[bytes, bytes]:
    return bundle.intent_proof, bundle.outcome_proof


def govbus(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-c", "from bus.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
