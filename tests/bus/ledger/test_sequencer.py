"""One writer, never two histories: crashes, forks, rollbacks, damaged files (bus.ledger.sequencer)."""

import itertools
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bus.ledger.checkpoint import CheckpointInvalid, LedgerInconsistent, sign_checkpoint, verify_checkpoint
from bus.ledger.head import Head, HeadInvalid, encode_head, parse_head
from bus.ledger.index import find_entry
from bus.ledger.keys import load_or_create_signer
from bus.ledger.note import NoteSigner
from bus.ledger.reader import EntryUnknown, LedgerReader, SizeUnknown
from bus.ledger.sequencer import Sequencer, SequencerBroken
from bus.ledger.storage import LedgerLocked
from bus.ledger.tree import TreeDamaged, leaf_of
from native.merkle import verify_consistency, verify_inclusion
from tests.bus.ledger.crash_child import TOTAL, integrate
from tests.bus.ledger.support import ORIGIN, entries, grown, ledger, signer


@pytest.fixture
def key() -> NoteSigner:
    return signer()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "ledger"


def test_a_new_ledger_is_an_empty_tree(home: Path, key: NoteSigner) -> None:
    with Sequencer(home, key) as sequencer:
        assert sequencer.checkpoint.size == 0
    assert verify_checkpoint((home / "checkpoint").read_bytes(), key.verifier).size == 0


def test_what_is_integrated_is_there_after_a_restart(home: Path, key: NoteSigner) -> None:
    several = entries(600)
    with Sequencer(home, key) as sequencer:
        sequencer.integrate(several[:10], {"a": {"at": 10}})
        last = sequencer.integrate(several[10:], {"b": {"at": 590}})
    with Sequencer(home, key) as sequencer:
        assert sequencer.checkpoint == last
        assert sequencer.positions == {"a": {"at": 10}, "b": {"at": 590}}
        assert sequencer.audit() == 600
    reader = LedgerReader(home, key.verifier)
    for index in (0, 9, 10, 255, 256, 599):
        proof = reader.prove_entry(several[index])
        assert proof.index == index
        verify_inclusion(leaf_of(several[index]), 600, index, proof.path, last.root)


def test_the_files_are_those_of_tlog_tiles(home: Path, key: NoteSigner) -> None:
    ledger(home, key, 200, 100)
    found = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
    assert found == {
        *("checkpoint", "head", "lock", "index.sqlite", "ledger-key.txt"),
        *("tile/0/000", "tile/entries/000", "tile/0/001.p/44", "tile/entries/001.p/44", "tile/1/000.p/1"),
    }
    assert {(home / name).stat().st_mode & 0o777 for name in ("head", "lock", "index.sqlite")} == {0o600}


def test_positions_move_without_a_new_checkpoint(home: Path, key: NoteSigner) -> None:
    with Sequencer(home, key) as sequencer:
        before = sequencer.checkpoint
        assert sequencer.integrate([], {"a": {"at": 1}}) == before
    with Sequencer(home, key) as sequencer:
        assert sequencer.positions == {"a": {"at": 1}}


def test_every_checkpoint_is_a_prefix_of_the_next(home: Path, key: NoteSigner) -> None:
    notes = [verify_checkpoint(note, key.verifier) for note in ledger(home, key, 1, 255, 1, 300, 88)]
    reader = LedgerReader(home, key.verifier)
    for earlier, later in itertools.pairwise(notes):
        path, newest = reader.prove_consistency(earlier.size, later.size)
        verify_consistency(earlier.size, later.size, earlier.root, later.root, path)
        assert newest == notes[-1]


@pytest.mark.parametrize(("first", "second"), [(0, 1), (3, 2), (1, 11), (11, 0)])
def test_sizes_that_are_not_there_are_refused(home: Path, key: NoteSigner, first: int, second: int) -> None:
    ledger(home, key, 10)
    with pytest.raises(SizeUnknown):
        LedgerReader(home, key.verifier).prove_consistency(first, second)


def test_an_unknown_entry_is_not_proved(home: Path, key: NoteSigner) -> None:
    ledger(home, key, 10)
    with pytest.raises(EntryUnknown):
        LedgerReader(home, key.verifier).prove_entry(entries(1)[0])


def test_a_second_writer_is_refused(home: Path, key: NoteSigner) -> None:
    with Sequencer(home, key), pytest.raises(LedgerLocked):
        Sequencer(home, key)


def test_a_ledger_of_another_key_is_refused(home: Path, key: NoteSigner) -> None:
    ledger(home, key, 10)
    with pytest.raises(CheckpointInvalid):
        Sequencer(home, signer())


def test_killed_at_every_point_nothing_is_lost_doubled_or_forked(tmp_path: Path) -> None:
    key = tmp_path / "key.pem"
    done = subprocess.run(
        [sys.executable, "-m", "tests.bus.ledger.crash_child", str(tmp_path), str(key)],
        check=True,
        capture_output=True,
        text=True,
    )
    points = int(done.stdout)
    assert points > 60
    whole, _ = grown(entries(TOTAL, seed=9))
    for point in range(points):
        home, acked = tmp_path / str(point), tmp_path / f"{point}.acked"
        known = acked.read_bytes().split(b"\0")[:-1] if acked.exists() else []
        with Sequencer(home, load_or_create_signer(key, ORIGIN), known=known) as sequencer:
            assert sequencer.checkpoint.size == sequencer.positions.get("source", {"at": 0})["at"]
        integrate(home, key, None)
        with Sequencer(home, load_or_create_signer(key, ORIGIN), known=known) as sequencer:
            assert (sequencer.checkpoint.size, sequencer.checkpoint.root) == (TOTAL, whole.root)
            assert sequencer.audit() == TOTAL
        assert find_entry(home / "index.sqlite", entries(TOTAL, seed=9)[-1]) == TOTAL - 1
        shutil.rmtree(home)


def test_a_rolled_back_head_is_noticed_with_both_checkpoints(home: Path, key: NoteSigner) -> None:
    with Sequencer(home, key) as sequencer:
        smaller = sequencer.integrate(entries(5), {})
        old = (home / "head").read_bytes()
        larger = sequencer.integrate(entries(5), {})
    (home / "head").write_bytes(old)
    with pytest.raises(LedgerInconsistent) as caught:
        Sequencer(home, key)
    assert (caught.value.smaller, caught.value.larger) == (smaller.note, larger.note)


def test_a_rolled_back_directory_is_noticed_by_who_kept_a_checkpoint(
    home: Path, key: NoteSigner, tmp_path: Path
) -> None:
    ledger(home, key, 5)
    shutil.copytree(home, tmp_path / "copy")
    kept = ledger(home, key, 5)[0]
    shutil.rmtree(home)
    (tmp_path / "copy").rename(home)
    home.chmod(0o700)
    with pytest.raises(LedgerInconsistent) as caught:
        Sequencer(home, key, known=[kept])
    assert caught.value.larger == kept


def test_a_fork_is_noticed_with_both_checkpoints(home: Path, key: NoteSigner, tmp_path: Path) -> None:
    ledger(home, key, 300)
    (mine,) = ledger(tmp_path / "other", key, 300)
    with pytest.raises(LedgerInconsistent) as caught:
        Sequencer(home, key, known=[mine])
    assert caught.value.smaller == mine
    assert verify_checkpoint(caught.value.larger, key.verifier).size == 300


def test_a_head_that_is_gone_is_not_begun_anew(home: Path, key: NoteSigner) -> None:
    (note,) = ledger(home, key, 5)
    (home / "head").unlink()
    with pytest.raises(LedgerInconsistent) as caught:
        Sequencer(home, key)
    assert caught.value.larger == note


@pytest.mark.parametrize(
    "name", ["tile/0/001.p/44", "tile/entries/001.p/44", "tile/1/000.p/1", "tile/0/000", "tile/entries/000"]
)
@pytest.mark.parametrize("damage", ["flipped", "truncated", "missing"])
def test_a_damaged_tile_is_noticed_when_it_opens(home: Path, key: NoteSigner, name: str, damage: str) -> None:
    (note,) = ledger(home, key, 300)
    data = (home / name).read_bytes()
    if damage == "flipped":
        (home / name).write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    elif damage == "truncated":
        (home / name).write_bytes(data[:-1])
    else:
        (home / name).unlink()
    with pytest.raises(LedgerInconsistent) as caught:
        Sequencer(home, key)
    assert caught.value.larger == note


def test_a_flipped_bit_deep_in_the_past_gives_no_proof_and_no_audit(home: Path, key: NoteSigner) -> None:
    several = entries(1000)
    with Sequencer(home, key) as sequencer:
        sequencer.integrate(several, {})
        tile = home / "tile/0/000"
        tile.write_bytes(b"x" + tile.read_bytes()[1:])
        with pytest.raises(LedgerInconsistent):
            sequencer.audit()
    reader = LedgerReader(home, key.verifier)
    with pytest.raises((LedgerInconsistent, TreeDamaged)):
        reader.prove_entry(several[1])
    assert reader.prove_entry(several[999]).index == 999


def test_a_lost_broken_or_foreign_index_is_made_again(home: Path, key: NoteSigner) -> None:
    several, index = entries(600), home / "index.sqlite"
    with Sequencer(home, key) as sequencer:
        sequencer.integrate(several, {})
    for damage in (b"", b"not a database" * 100, None):
        if damage is None:
            ledger(home.parent / "longer", key, 700)
            shutil.copy(home.parent / "longer/index.sqlite", index)
        else:
            index.write_bytes(damage)
        Sequencer(home, key).close()
        assert [find_entry(index, several[at]) for at in (0, 256, 599)] == [0, 256, 599]


def test_after_a_failed_write_nothing_more_is_written(home: Path, key: NoteSigner) -> None:
    sequencer = Sequencer(home, key)
    sequencer.integrate(entries(5), {})
    (home / "head").unlink()
    (home / "head").mkdir()
    (home / "head" / "in the way").touch()
    with pytest.raises(OSError, match="directory"):
        sequencer.integrate(entries(5), {})
    with pytest.raises(SequencerBroken):
        sequencer.integrate(entries(5), {})
    sequencer.close()
    assert verify_checkpoint((home / "checkpoint").read_bytes(), key.verifier).size == 5


def test_a_head_has_one_form() -> None:
    data = encode_head(Head(sign_checkpoint(signer(), 0, grown()[0].root).note, {"a": {"at": 1, "hash": "00"}}))
    assert encode_head(parse_head(data)) == data
    value = json.loads(data)
    for hostile in (
        b"",
        b"[]",
        data[:-1],
        data + b" ",
        json.dumps({**value, "version": 2}).encode(),
        json.dumps({**value, "sources": {"a": {"at": 1.5}}}).encode(),
        json.dumps({**value, "sources": {"a": [1]}}).encode(),
        json.dumps({**value, "sources": None}).encode(),
        os.urandom(50),
    ):
        with pytest.raises(HeadInvalid):
            parse_head(hostile)


def test_a_reader_of_an_older_checkpoint_finds_its_tiles_in_the_full_one(home: Path, key: NoteSigner) -> None:
    several = entries(256)
    with Sequencer(home, key) as sequencer:
        old = sequencer.integrate(several[:100], {})
        sequencer.integrate(several[100:], {})
    (home / "checkpoint").write_bytes(old.note)
    proof = LedgerReader(home, key.verifier).prove_entry(several[42])
    verify_inclusion(leaf_of(several[42]), 100, 42, proof.path, old.root)


@pytest.mark.soak
def test_a_day_of_small_batches_stays_fast(home: Path, key: NoteSigner) -> None:
    began = time.monotonic()
    with Sequencer(home, key) as sequencer:
        for _ in range(2_000):
            sequencer.integrate(entries(50), {})
        assert sequencer.audit() == 100_000
    assert time.monotonic() - began < 600
