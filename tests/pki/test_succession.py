"""Another issuing CA, another root, the end of a root: whatever was believed stays so as long as it is needed."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509

import pki.files
from pki.authority import Authority
from pki.certificates import build_csr
from pki.errors import ProfileError, ProfileReason
from pki.identity import SubsystemId
from pki.keys import generate_private_key
from pki.profiles import verify_tls_certificate
from pki.succession import add_issuer, add_root, ca_id, retire_root
from pki.trust import parse_pem_certificates

DOMAIN = "bus.test.example"
NOW = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
SUBSYSTEM = SubsystemId(DOMAIN, "gov", "mps", "population")


@pytest.fixture
def state(tmp_path: Path) -> Path:
    Authority.open(tmp_path / "state", DOMAIN, now=NOW)
    return tmp_path / "state"


def opened(state: Path) -> Authority:
    return Authority.open(state, DOMAIN, now=NOW)


def issued(state: Path) -> bytes:
    return opened(state).issue_from_csr(build_csr(generate_private_key(), SUBSYSTEM), SUBSYSTEM, now=NOW).der


def believed(state: Path, der: bytes) -> None:
    verify_tls_certificate(der, trust=opened(state).trust, now=NOW, expected=SUBSYSTEM)


def test_new_issuing_ca_issues_and_the_former_ones_certificates_stay_believed(state: Path) -> None:
    before, former = opened(state), issued(state)
    made = add_issuer(state, DOMAIN, now=NOW)
    after = opened(state)
    assert after.issuer.certificate == made != before.issuer.certificate
    assert after.issuer.root == before.issuer.root
    believed(state, former)
    believed(state, issued(state))
    assert set(before.trust.roots) == set(after.trust.roots)


def test_new_root_is_believed_before_anything_is_issued_under_it(state: Path) -> None:
    before, former = opened(state), issued(state)
    root = add_root(state, DOMAIN, now=NOW)
    between = opened(state)
    assert set(between.trust.roots) == {*before.trust.roots, root}
    assert between.issuer.root == before.issuer.root
    # Who has only the bundle of this moment believes what comes later.
    add_issuer(state, DOMAIN, now=NOW)
    assert opened(state).issuer.root == root
    chain = opened(state).issue_from_csr(build_csr(generate_private_key(), SUBSYSTEM), SUBSYSTEM, now=NOW).chain_pem
    _, issuing = parse_pem_certificates(chain)
    x509.load_der_x509_certificate(issuing).verify_directly_issued_by(root)
    believed(state, former)


def test_former_root_leaves_with_all_that_is_under_it(state: Path) -> None:
    former = issued(state)
    root = opened(state).issuer.root
    with pytest.raises(ProfileError) as refused:
        retire_root(state, DOMAIN, ca_id(root), now=NOW)
    assert refused.value.reason is ProfileReason.CA_PROFILE
    with pytest.raises(ProfileError) as unknown:
        retire_root(state, DOMAIN, bytes(32), now=NOW)
    assert unknown.value.reason is ProfileReason.UNKNOWN_ISSUER
    add_root(state, DOMAIN, now=NOW)
    add_issuer(state, DOMAIN, now=NOW)
    bundle = retire_root(state, DOMAIN, ca_id(root), now=NOW)
    assert bundle.pem == opened(state).trust.pem
    believed(state, issued(state))
    with pytest.raises(ProfileError) as gone:
        believed(state, former)
    assert gone.value.reason is ProfileReason.UNKNOWN_ISSUER


def test_root_key_in_a_safe_is_asked_for(state: Path) -> None:
    (state / "authority" / "root-key.pem").unlink()
    with pytest.raises(FileNotFoundError):
        add_issuer(state, DOMAIN, now=NOW)
    believed(state, issued(state))


@pytest.mark.parametrize("change", [add_issuer, add_root])
@pytest.mark.parametrize("writes", [0, 1, 2])
def test_crash_after_any_write_leaves_an_authority_that_issues(
    state: Path, change: Callable[..., x509.Certificate], writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    former, real, done = issued(state), pki.files.write_atomic, [0]

    def crashing(path: Path, data: bytes, *, mode: int = pki.files.PRIVATE) -> None:
        if done[0] == writes:
            raise KeyboardInterrupt
        done[0] += 1
        real(path, data, mode=mode)

    with monkeypatch.context() as patched:
        patched.setattr(pki.files, "write_atomic", crashing)
        with pytest.raises(KeyboardInterrupt):
            change(state, DOMAIN, now=NOW)
    believed(state, former)
    believed(state, issued(state))
    change(state, DOMAIN, now=NOW)
    believed(state, issued(state))
