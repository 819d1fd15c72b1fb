"""Notes, checkpoints and proofs are read strictly: hostile spellings, wrong keys, wrong ledgers."""

import base64
import random
from collections.abc import Callable

import pytest

from bus.ledger.checkpoint import (
    EMPTY_ROOT,
    CheckpointInvalid,
    SignedCheckpoint,
    sign_checkpoint,
    verify_checkpoint,
)
from bus.ledger.note import NoteInvalid, NoteSigner, NoteVerifier, parse_verifier
from bus.ledger.proof import EntryProof, ProofInvalid, encode_proof, parse_proof, verify_entry
from bus.ledger.tree import TreeReader
from tests.bus.ledger.support import ORIGIN, entries, grown, signer

ROOT = bytes(range(32))


@pytest.fixture(scope="module")
def key() -> NoteSigner:
    return signer()


def signed(key: NoteSigner, text: str) -> bytes:
    """The ledger's own key under any text: what a dishonest or broken ledger might publish."""
    return key.sign(text)


def test_the_key_of_another_ecosystems_log_is_read() -> None:
    # The public key of Go's checksum database: its key id is computed as ours are.
    text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
    assert parse_verifier(text).text == text


def test_a_checkpoint_is_what_was_signed(key: NoteSigner) -> None:
    found = sign_checkpoint(key, 7, ROOT)
    assert verify_checkpoint(found.note, key.verifier) == found
    assert found.note.decode().split("\n")[:3] == [ORIGIN, "7", base64.b64encode(ROOT).decode()]


def test_a_verifier_key_survives_its_text(key: NoteSigner) -> None:
    assert parse_verifier(key.verifier.text) == key.verifier
    for text in ("", "a+b", key.verifier.text[:-2], "x" + key.verifier.text, key.verifier.text.replace("+", "-")):
        with pytest.raises(NoteInvalid):
            parse_verifier(text)


def test_a_key_of_small_order_is_no_verifier() -> None:
    with pytest.raises(NoteInvalid):
        NoteVerifier.create(ORIGIN, bytes(32))


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("another ledger", f"other.example\n7\n{base64.b64encode(ROOT).decode()}\n"),
        ("a leading zero", f"{ORIGIN}\n07\n{base64.b64encode(ROOT).decode()}\n"),
        ("a sign", f"{ORIGIN}\n+7\n{base64.b64encode(ROOT).decode()}\n"),
        ("other digits", f"{ORIGIN}\n\N{ARABIC-INDIC DIGIT SEVEN}\n{base64.b64encode(ROOT).decode()}\n"),
        ("too large a size", f"{ORIGIN}\n{1 << 63}\n{base64.b64encode(ROOT).decode()}\n"),
        ("an empty size", f"{ORIGIN}\n\n{base64.b64encode(ROOT).decode()}\n"),
        ("a short root", f"{ORIGIN}\n7\n{base64.b64encode(ROOT[1:]).decode()}\n"),
        ("an unpadded root", f"{ORIGIN}\n7\n{base64.b64encode(ROOT).decode().rstrip('=')}\n"),
        ("loose bits in the root", f"{ORIGIN}\n7\n{base64.b64encode(ROOT).decode()[:-2]}9=\n"),
        ("a url alphabet", f"{ORIGIN}\n7\n{base64.urlsafe_b64encode(bytes([255] * 32)).decode()}\n"),
        ("a root of an empty tree", f"{ORIGIN}\n7\n{base64.b64encode(EMPTY_ROOT).decode()}\n"),
        ("a root for nothing", f"{ORIGIN}\n0\n{base64.b64encode(ROOT).decode()}\n"),
        ("an extension line", f"{ORIGIN}\n7\n{base64.b64encode(ROOT).decode()}\nmore\n"),
        ("a missing line", f"{ORIGIN}\n7\n"),
    ],
)
def test_a_checkpoint_with(key: NoteSigner, what: str, text: str) -> None:
    """... is refused although the ledger's key signed it."""
    with pytest.raises(CheckpointInvalid):
        verify_checkpoint(signed(key, text), key.verifier)


def without_last(note: bytes) -> bytes:
    return note[:-1]


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("no signature", lambda n: n.partition(b"\n\n")[0] + b"\n\n"),
        ("no end", without_last),
        ("a carriage return", lambda n: n.replace(b"\n", b"\r\n")),
        ("something behind", lambda n: n + b"more\n"),
        ("an empty line behind", lambda n: n + b"\n"),
        ("its signature twice", lambda n: n + n.rpartition(b"\n\n")[2]),
        ("a hyphen for a dash", lambda n: n.replace("\N{EM DASH}".encode(), b"-")),
        ("two spaces", lambda n: n.replace("\N{EM DASH} ".encode(), "\N{EM DASH}  ".encode())),
        ("not UTF-8", lambda n: b"\xff" + n),
        ("too long", lambda n: n + "\N{EM DASH} x AAAAAAA=\n".encode() * 10_000),
    ],
)
def test_a_note_with(key: NoteSigner, what: str, change: Callable[[bytes], bytes]) -> None:
    """... is refused."""
    with pytest.raises(CheckpointInvalid):
        verify_checkpoint(change(sign_checkpoint(key, 7, ROOT).note), key.verifier)


def test_another_key_of_the_same_name_is_not_believed(key: NoteSigner) -> None:
    with pytest.raises(CheckpointInvalid):
        verify_checkpoint(sign_checkpoint(signer(), 7, ROOT).note, key.verifier)


def test_a_witness_signature_beside_ours_changes_nothing(key: NoteSigner) -> None:
    note = sign_checkpoint(key, 7, ROOT).note
    other = signer("witness.example").sign(note.decode().partition("\n\n")[0] + "\n")
    both = note + other.rpartition(b"\n\n")[2]
    assert verify_checkpoint(both, key.verifier).size == 7


def test_every_flipped_bit_and_cut_is_refused(key: NoteSigner) -> None:
    note = sign_checkpoint(key, 1234, ROOT).note
    for at in range(len(note) * 8):
        changed = bytearray(note)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(CheckpointInvalid):
            verify_checkpoint(bytes(changed), key.verifier)
    for length in range(len(note)):
        with pytest.raises(CheckpointInvalid):
            verify_checkpoint(note[:length], key.verifier)


@pytest.fixture(scope="module")
def proven(key: NoteSigner) -> tuple[EntryProof, bytes, SignedCheckpoint]:
    several = entries(300, seed=1)
    edge, tiles = grown(several)
    checkpoint = sign_checkpoint(key, edge.size, edge.root)
    path = TreeReader(edge.size, tiles.__getitem__).inclusion(77)
    return EntryProof(77, tuple(path), checkpoint.note), several[77], checkpoint


def test_a_proof_survives_its_text(key: NoteSigner, proven: tuple[EntryProof, bytes, SignedCheckpoint]) -> None:
    proof, entry, checkpoint = proven
    assert verify_entry(parse_proof(encode_proof(proof)), entry, key.verifier) == checkpoint


def test_a_proof_of_another_entry_index_or_path_is_refused(
    key: NoteSigner, proven: tuple[EntryProof, bytes, SignedCheckpoint]
) -> None:
    proof, entry, _ = proven
    for wrong, of in (
        (proof, entries(1)[0]),
        (EntryProof(76, proof.path, proof.checkpoint), entry),
        (EntryProof(77, proof.path[:-1], proof.checkpoint), entry),
        (EntryProof(77, (*proof.path, bytes(32)), proof.checkpoint), entry),
        (EntryProof(1 << 62, proof.path, proof.checkpoint), entry),
        (EntryProof(77, proof.path, sign_checkpoint(key, 300, ROOT).note), entry),
        (EntryProof(77, proof.path, sign_checkpoint(signer(), 300, ROOT).note), entry),
    ):
        with pytest.raises(ProofInvalid):
            verify_entry(wrong, of, key.verifier)


def test_a_proof_text_has_one_form(key: NoteSigner, proven: tuple[EntryProof, bytes, SignedCheckpoint]) -> None:
    proof, entry, _ = proven
    data = encode_proof(proof)
    source = random.Random(3)
    for at in range(data.index(b"\n\n") * 8):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        with pytest.raises(ProofInvalid):
            verify_entry(parse_proof(bytes(changed)), entry, key.verifier)
    for hostile in (
        b"",
        source.randbytes(300),
        data.replace(b"index 77", b"index 077"),
        data.replace(b"index", b"extra AAAA\nindex"),
        data.replace(b"index 77", b"index 77\n" + b"\n".join([base64.b64encode(ROOT)] * 70)),
        bytes(200_000),
    ):
        with pytest.raises(ProofInvalid):
            verify_entry(parse_proof(hostile), entry, key.verifier)
