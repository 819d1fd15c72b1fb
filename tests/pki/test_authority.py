"""The authority is made once, kept private, and issues only what its readers accept."""

import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from pki.authority import Authority
from pki.certificates import build_csr
from pki.errors import ProfileError, ProfileReason
from pki.files import FilePermissionError
from pki.identity import IdentityError
from pki.keys import encode_spki, generate_private_key
from pki.profiles import MAX_TLS_VALIDITY, verify_tls_certificate
from pki.trust import parse_pem_certificates
from tests.support.authority import NOW, TRUST_DOMAIN, Instance

R = ProfileReason
TOP = Path(__file__).resolve().parents[2]


def open_authority(state: Path) -> Authority:
    return Authority.open(state, TRUST_DOMAIN, now=NOW)


def fresh_spki() -> bytes:
    return encode_spki(generate_private_key().public_key())


def test_second_start_finds_the_first_authority(state: Path) -> None:
    assert open_authority(state).trust == open_authority(state).trust


def test_everything_secret_is_private(state: Path) -> None:
    open_authority(state)
    assert state.stat().st_mode & 0o777 == 0o700
    directory = state / "authority"
    assert directory.stat().st_mode & 0o777 == 0o700
    for key in directory.glob("*-key.pem"):
        assert key.stat().st_mode & 0o777 == 0o600
    assert sorted(p.name for p in directory.iterdir()) == [
        "issuing-key.pem",
        "issuing.pem",
        "root-key.pem",
        "root.pem",
    ]


def test_starts_at_the_same_moment_share_one_authority(state: Path) -> None:
    state.mkdir(mode=0o700)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: open_authority(state).trust, range(8)))
    assert all(trust == found[0] for trust in found)
    assert [p.name for p in state.iterdir()] == ["authority"]


MAKES_AUTHORITIES = """
import itertools, pathlib, sys
from tests.support.authority import Instance
for number in itertools.count():
    Instance(pathlib.Path(sys.argv[1]) / str(number))
"""


@pytest.mark.parametrize("round_", range(4))
def test_killed_at_any_moment_it_starts_again_with_a_whole_authority(tmp_path: Path, round_: int) -> None:
    child = subprocess.Popen([sys.executable, "-c", MAKES_AUTHORITIES, tmp_path], cwd=TOP)
    try:
        deadline = time.monotonic() + 30
        while len(list(tmp_path.iterdir())) < 5 + round_ and time.monotonic() < deadline:
            time.sleep(0.0003)
    finally:
        child.kill()
        child.wait()
    made = list(tmp_path.iterdir())
    assert len(made) >= 5 + round_
    for directory in made:
        Instance(directory).leaf()


@pytest.mark.parametrize("name", ["root-key.pem", "issuing-key.pem"])
def test_key_open_to_group_is_refused_with_the_remedy(state: Path, name: str) -> None:
    open_authority(state)
    (state / "authority" / name).chmod(0o640)
    with pytest.raises(FilePermissionError, match="chmod 600"):
        open_authority(state)


@pytest.mark.parametrize("folder", [".", "authority"])
def test_directory_open_to_others_is_refused_with_the_remedy(state: Path, folder: str) -> None:
    open_authority(state)
    (state / folder).chmod(0o755)
    with pytest.raises(FilePermissionError, match="chmod 700"):
        open_authority(state)


def test_state_of_another_trust_domain_is_refused(state: Path) -> None:
    open_authority(state)
    with pytest.raises(ProfileError) as caught:
        Authority.open(state, "elsewhere.example", now=NOW)
    assert caught.value.reason is R.TRUST_DOMAIN


def test_bad_trust_domain_makes_no_state(state: Path) -> None:
    with pytest.raises(IdentityError):
        Authority.open(state, "Not A Domain", now=NOW)
    assert not state.exists()


def test_key_of_another_authority_is_refused(state: Path, foreign: Instance) -> None:
    open_authority(state)
    shutil.copy(foreign.directory / "state/authority/issuing-key.pem", state / "authority/issuing-key.pem")
    with pytest.raises(ProfileError) as caught:
        open_authority(state)
    assert caught.value.reason is R.KEY_MISMATCH


def test_damaged_certificate_is_refused(state: Path) -> None:
    open_authority(state)
    (state / "authority" / "issuing.pem").write_bytes(b"")
    with pytest.raises(ProfileError) as caught:
        open_authority(state)
    assert caught.value.reason is R.MALFORMED


def test_authority_issues_while_its_root_key_is_in_a_safe(state: Path) -> None:
    open_authority(state)
    (state / "authority" / "root-key.pem").unlink()
    authority = open_authority(state)
    authority.issue_tls(fresh_spki(), Instance(state.parent / "x").subsystem("gov/ndc/broker-1"), now=NOW)


def test_issued_chain_is_leaf_then_issuing_ca(instance: Instance) -> None:
    broker = instance.subsystem("gov/ndc/broker-1")
    issued = instance.authority.issue_tls(fresh_spki(), broker, now=NOW)
    leaf, ca = parse_pem_certificates(issued.chain_pem)
    assert leaf == issued.der
    assert x509.load_der_x509_certificate(ca) == instance.authority.trust.issuers[0].certificate
    assert issued.identity == verify_tls_certificate(
        issued.der, trust=instance.authority.trust, now=NOW, expected=broker
    )
    assert issued.identity.not_after == NOW + MAX_TLS_VALIDITY


def test_serials_are_not_guessable_from_each_other(instance: Instance) -> None:
    serials = {
        x509.load_der_x509_certificate(
            instance.authority.issue_tls(fresh_spki(), instance.subsystem("gov/a/b"), now=NOW).der
        ).serial_number
        for _ in range(20)
    }
    assert len(serials) == 20
    assert max(serials).bit_length() > 140


@pytest.mark.parametrize("lifetime", [timedelta(), timedelta(seconds=-1), MAX_TLS_VALIDITY + timedelta(seconds=1)])
def test_lifetime_outside_the_profile_is_not_issued(instance: Instance, lifetime: timedelta) -> None:
    with pytest.raises(ProfileError) as caught:
        instance.authority.issue_tls(fresh_spki(), instance.subsystem("gov/a/b"), now=NOW, lifetime=lifetime)
    assert caught.value.reason is R.VALIDITY_TOO_LONG


def test_certificate_that_outlives_its_issuing_ca_is_not_issued(instance: Instance) -> None:
    end = instance.authority.trust.issuers[0].certificate.not_valid_after_utc
    with pytest.raises(ProfileError) as caught:
        instance.authority.issue_tls(fresh_spki(), instance.subsystem("gov/a/b"), now=end - timedelta(hours=1))
    assert caught.value.reason is R.ISSUER_NOT_VALID_NOW


def test_identity_of_another_trust_domain_is_not_issued(tmp_path: Path, instance: Instance) -> None:
    elsewhere = Instance(tmp_path / "elsewhere", trust_domain="elsewhere.example")
    with pytest.raises(ProfileError) as caught:
        instance.authority.issue_tls(fresh_spki(), elsewhere.subsystem("gov/a/b"), now=NOW)
    assert caught.value.reason is R.TRUST_DOMAIN


def test_csr_for_another_subsystem_is_not_issued(instance: Instance) -> None:
    mine, theirs = instance.subsystem("gov/mps/population"), instance.subsystem("gov/moj/civil-status")
    csr = build_csr(generate_private_key(), theirs)
    assert instance.authority.issue_from_csr(csr, theirs, now=NOW).identity.subsystem == theirs
    with pytest.raises(ProfileError) as caught:
        instance.authority.issue_from_csr(csr, mine, now=NOW)
    assert caught.value.reason is R.UNEXPECTED_IDENTITY
