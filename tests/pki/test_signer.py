"""Signatures have exactly one form, and a signing key is never overwritten."""

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from pki.errors import ProfileError, ProfileReason
from pki.files import FilePermissionError
from pki.keys import signing_key_id, spki_from_point
from pki.signer import FileSigner, Signer

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def test_signature_verifies_and_has_low_s(tmp_path: Path) -> None:
    signer: Signer = FileSigner.create(tmp_path / "signing-key.pem")
    public = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), signer.public_point)
    for number in range(64):  # half of all plain ECDSA signatures have a high s
        message = number.to_bytes(4, "big")
        signature = signer.sign(message)
        assert len(signature) == 64
        r, s = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
        assert 0 < s <= ORDER // 2
        public.verify(encode_dss_signature(r, s), message, ec.ECDSA(hashes.SHA256()))


def test_key_id_names_the_public_point(tmp_path: Path) -> None:
    signer = FileSigner.create(tmp_path / "signing-key.pem")
    assert signer.key_id == signing_key_id(spki_from_point(signer.public_point))


def test_second_start_finds_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "signing-key.pem"
    first = FileSigner.load_or_create(path)
    assert FileSigner.load_or_create(path).key_id == first.key_id
    assert FileSigner.load(path).key_id == first.key_id
    with pytest.raises(FileExistsError):
        FileSigner.create(path)


def test_missing_key_is_not_invented_on_load(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        FileSigner.load(tmp_path / "signing-key.pem")
    assert os.listdir(tmp_path) == []


def test_key_open_to_others_is_refused_and_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "signing-key.pem"
    FileSigner.create(path)
    before = path.read_bytes()
    path.chmod(0o644)
    with pytest.raises(FilePermissionError):
        FileSigner.load_or_create(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"garbage", b"-----BEGIN PRIVATE KEY-----\n"])
def test_damaged_key_is_refused_and_not_replaced(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "signing-key.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(ProfileError) as caught:
        FileSigner.load_or_create(path)
    assert caught.value.reason is ProfileReason.MALFORMED
    assert path.read_bytes() == content


def test_signer_does_not_show_its_key(tmp_path: Path) -> None:
    signer = FileSigner.create(tmp_path / "signing-key.pem")
    assert signer.key_id.hex() in repr(signer)
    assert "PRIVATE" not in repr(signer)
