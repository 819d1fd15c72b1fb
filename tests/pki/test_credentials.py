"""A subsystem's files always hold one consistent set, through renewal and damage."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from pki.credentials import issue_credentials, load_credentials
from pki.errors import ProfileError, ProfileReason
from pki.files import FilePermissionError
from pki.keys import encode_spki, verify_signing_key_spki
from tests.support.authority import NOW, TRUST_DOMAIN, Instance

R = ProfileReason


@pytest.fixture
def directory(tmp_path: Path, instance: Instance) -> Path:
    path = tmp_path / "population"
    issue_credentials(instance.authority, instance.subsystem("gov/mps/population"), path, now=NOW)
    return path


def test_loaded_credentials_are_those_issued(directory: Path, instance: Instance) -> None:
    found = load_credentials(directory, TRUST_DOMAIN, now=NOW)
    assert found.subsystem == instance.subsystem("gov/mps/population")
    assert found.trust == instance.authority.trust
    assert "PRIVATE" not in repr(found)


def test_public_half_of_the_signing_key_lies_beside_it(directory: Path) -> None:
    found = load_credentials(directory, TRUST_DOMAIN, now=NOW)
    public = serialization.load_pem_public_key((directory / "signing-public.pem").read_bytes())
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert verify_signing_key_spki(encode_spki(public)) == found.signer.public_point


def test_renewal_changes_the_tls_key_and_keeps_the_signing_key(directory: Path, instance: Instance) -> None:
    before = load_credentials(directory, TRUST_DOMAIN, now=NOW)
    for hours in range(1, 5):
        later = NOW + timedelta(hours=hours)
        after = issue_credentials(instance.authority, before.subsystem, directory, now=later)
        assert after.identity.key_id != before.identity.key_id
        assert after.signer.key_id == before.signer.key_id
    assert len(list(directory.glob("tls-*"))) == 2


def test_expired_credentials_are_refused(directory: Path) -> None:
    with pytest.raises(ProfileError) as caught:
        load_credentials(directory, TRUST_DOMAIN, now=NOW + timedelta(days=2))
    assert caught.value.reason is R.EXPIRED


def test_key_beside_another_certificate_is_refused(directory: Path, tmp_path: Path, instance: Instance) -> None:
    other = tmp_path / "other"
    issue_credentials(instance.authority, instance.subsystem("gov/mps/agent"), other, now=NOW)
    shutil.copy(other / "tls/key.pem", directory / "tls/key.pem")
    with pytest.raises(ProfileError) as caught:
        load_credentials(directory, TRUST_DOMAIN, now=NOW)
    assert caught.value.reason is R.KEY_MISMATCH


def test_tls_key_used_as_signing_key_is_refused(directory: Path) -> None:
    shutil.copy(directory / "tls/key.pem", directory / "signing-key.pem")
    with pytest.raises(ProfileError) as caught:
        load_credentials(directory, TRUST_DOMAIN, now=NOW)
    assert caught.value.reason is R.KEY_MISMATCH


def test_bundle_of_another_instance_is_refused(directory: Path, foreign: Instance) -> None:
    (directory / "trust.pem").write_bytes(foreign.authority.trust.pem)
    with pytest.raises(ProfileError) as caught:
        load_credentials(directory, TRUST_DOMAIN, now=NOW)
    assert caught.value.reason is R.UNKNOWN_ISSUER


@pytest.mark.parametrize("name", ["tls/key.pem", "tls/chain.pem", "signing-key.pem"])
def test_file_open_to_others_is_refused(directory: Path, name: str) -> None:
    (directory / name).chmod(0o644)
    with pytest.raises(FilePermissionError, match="chmod 600"):
        load_credentials(directory, TRUST_DOMAIN, now=NOW)


def test_missing_credentials_are_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        load_credentials(tmp_path / "nobody", TRUST_DOMAIN, now=NOW)
