"""What a runtime keeps by itself: when a key is due, which key file counts, which version it never goes below."""

from pathlib import Path

import pytest

from bus.exchange.rotation import is_due
from bus.exchange.signing_key import SigningKeyFile
from bus.exchange.view import KeyRecord
from native.ecdsa import PublicKey
from pki.files import replace_file
from pki.keys import generate_private_key
from pki.signer import FileSigner, KeySigner

DAY = 86_400_000
POINT = KeySigner(generate_private_key()).public_point


def record(start: int, end: int) -> KeyRecord:
    return KeyRecord("spiffe://bus.test.example/gov/moh/x", start, end, PublicKey.from_point(POINT))


@pytest.mark.parametrize(
    ("now", "due"),
    [(0, False), (200 * DAY - 1, False), (200 * DAY, True), (300 * DAY, True), (300 * DAY + 1, False)],
)
def test_key_is_due_from_two_thirds_of_its_life_to_its_end(now: int, due: bool) -> None:
    assert is_due(record(0, 300 * DAY), now, 0.0) is due


def test_those_of_one_hour_do_not_all_come_in_one_minute() -> None:
    assert not is_due(record(0, 300 * DAY), 201 * DAY, 0.01)
    assert is_due(record(0, 300 * DAY), 203 * DAY, 0.01)


def test_key_that_no_policy_knows_is_not_due() -> None:
    """What it signs would be refused: it is not published yet, or over."""
    assert not is_due(None, 10**15, 0.0)


def test_replaced_key_signs_from_then_on_and_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "signing-key.pem"
    former = FileSigner.create(path)
    key = SigningKeyFile(path)
    assert (key.key_id, key.refresh()) == (former.key_id, False)
    coming = FileSigner.create(tmp_path / "next-signing-key.pem")
    replace_file(tmp_path / "next-signing-key.pem", path)
    assert key.refresh()
    assert key.key_id == coming.key_id
    PublicKey.from_point(coming.public_point).verify(b"message", key.sign(b"message"))
    for bad in (b"no key", b""):
        path.write_bytes(bad)
        assert not key.refresh()
        assert key.key_id == coming.key_id
    path.unlink()
    assert not key.refresh()
