"""A trust bundle holds only CAs of its own trust domain, each made as the profile says."""

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pki.certificates import build_issuer, build_root
from pki.errors import ProfileError, ProfileReason
from pki.keys import generate_private_key
from pki.profiles import verify_tls_certificate
from pki.trust import CA_KEY_USAGE, TrustBundle, parse_pem_certificates
from tests.support.authority import NOW, TRUST_DOMAIN, Instance

R = ProfileReason
YEAR = timedelta(days=365)
ROOT_KEY = generate_private_key()


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def root(
    *,
    trust_domain: str = TRUST_DOMAIN,
    key: ec.EllipticCurvePrivateKey = ROOT_KEY,
    lifetime: timedelta = YEAR,
    serial: int | None = None,
) -> x509.Certificate:
    return build_root(key, trust_domain, now=NOW, lifetime=lifetime, serial=serial or x509.random_serial_number())


def issuer(
    above: x509.Certificate,
    *,
    trust_domain: str = TRUST_DOMAIN,
    root_key: ec.EllipticCurvePrivateKey = ROOT_KEY,
) -> x509.Certificate:
    return build_issuer(
        generate_private_key().public_key(),
        trust_domain,
        root=above,
        root_key=root_key,
        now=NOW,
        lifetime=YEAR,
        serial=x509.random_serial_number(),
    )


def refusal(*, roots: list[bytes], issuers: list[bytes]) -> ProfileReason:
    with pytest.raises(ProfileError) as caught:
        TrustBundle.verify(TRUST_DOMAIN, roots=roots, issuers=issuers)
    return caught.value.reason


def test_bundle_survives_its_pem_text(instance: Instance) -> None:
    trust = instance.authority.trust
    again = TrustBundle.verify_pem(TRUST_DOMAIN, trust.pem)
    assert again == trust
    assert parse_pem_certificates(trust.roots_pem) == [der(trust.roots[0])]


def test_old_and_new_authority_overlap_in_one_bundle(instance: Instance, foreign: Instance) -> None:
    both = TrustBundle.verify_pem(TRUST_DOMAIN, instance.authority.trust.pem + foreign.authority.trust.pem)
    for leaf in (instance.leaf().sign(), foreign.leaf().sign()):
        verify_tls_certificate(leaf, trust=both, now=NOW)


def test_bundle_without_root_is_refused() -> None:
    assert refusal(roots=[], issuers=[]) is R.CA_PROFILE


def test_root_of_another_trust_domain_is_refused() -> None:
    assert refusal(roots=[der(root(trust_domain="elsewhere.example"))], issuers=[]) is R.TRUST_DOMAIN


def test_root_that_lives_too_long_is_refused() -> None:
    assert refusal(roots=[der(root(lifetime=11 * YEAR))], issuers=[]) is R.VALIDITY_TOO_LONG


def test_root_with_counted_serial_is_refused() -> None:
    assert refusal(roots=[der(root(serial=7))], issuers=[]) is R.SERIAL


def test_root_on_another_curve_is_refused() -> None:
    key = ec.generate_private_key(ec.SECP384R1())
    assert refusal(roots=[der(root(key=key))], issuers=[]) is R.KEY_NOT_P256


def test_root_that_did_not_sign_itself_is_refused() -> None:
    good = der(root())
    assert refusal(roots=[good[:-1] + bytes([good[-1] ^ 1])], issuers=[]) is R.BAD_SIGNATURE


def test_issuing_ca_in_the_place_of_a_root_is_refused() -> None:
    above = root()
    assert refusal(roots=[der(issuer(above))], issuers=[]) is R.EXTENSION_NOT_ALLOWED


def test_root_in_the_place_of_an_issuing_ca_is_refused() -> None:
    above = root()
    assert refusal(roots=[der(above)], issuers=[der(above)]) is R.EXTENSION_NOT_ALLOWED


def test_issuing_ca_under_a_strange_root_is_refused() -> None:
    strange_key = generate_private_key()
    strange = issuer(root(key=strange_key), root_key=strange_key)
    assert refusal(roots=[der(root())], issuers=[der(strange)]) is R.UNKNOWN_ISSUER


def test_issuing_ca_that_borrows_the_roots_name_is_refused() -> None:
    good = der(issuer(root()))
    forged = good[:-1] + bytes([good[-1] ^ 1])
    assert refusal(roots=[der(root())], issuers=[forged]) is R.BAD_SIGNATURE


def test_issuing_ca_below_an_issuing_ca_is_refused() -> None:
    middle_key = generate_private_key()
    above = root()
    lower = issuer(root(key=middle_key), root_key=middle_key)
    assert refusal(roots=[der(above)], issuers=[der(issuer(above)), der(lower)]) is R.UNKNOWN_ISSUER


@pytest.mark.parametrize(
    "constraints",
    [
        None,
        x509.NameConstraints([x509.DNSName("gov.example"), x509.UniformResourceIdentifier(TRUST_DOMAIN)], None),
        x509.NameConstraints([x509.DNSName(TRUST_DOMAIN)], None),
        x509.NameConstraints(None, [x509.DNSName("elsewhere.example")]),
    ],
    ids=["none", "wider", "no URI", "excluding only"],
)
def test_issuing_ca_without_its_name_constraints_is_refused(constraints: x509.NameConstraints | None) -> None:
    above = root()
    template = issuer(above)
    builder = (
        x509.CertificateBuilder()
        .subject_name(template.subject)
        .issuer_name(above.subject)
        .public_key(template.public_key())
        .serial_number(template.serial_number)
        .not_valid_before(template.not_valid_before_utc)
        .not_valid_after(template.not_valid_after_utc)
    )
    for extension in template.extensions:
        if extension.oid != x509.NameConstraints.oid:
            builder = builder.add_extension(extension.value, extension.critical)
        elif constraints is not None:
            builder = builder.add_extension(constraints, critical=True)
    wide = builder.sign(ROOT_KEY, hashes.SHA256())
    expected = R.EXTENSION_NOT_ALLOWED if constraints is None else R.CA_PROFILE
    assert refusal(roots=[der(above)], issuers=[der(wide)]) is expected


def test_ca_key_usage_signs_certificates_only() -> None:
    assert CA_KEY_USAGE.key_cert_sign
    assert not CA_KEY_USAGE.digital_signature


@pytest.mark.parametrize(
    "pem", [b"", b"no certificate", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
def test_text_without_certificates_is_refused(pem: bytes) -> None:
    with pytest.raises(ProfileError) as caught:
        TrustBundle.verify_pem(TRUST_DOMAIN, pem)
    assert caught.value.reason is R.MALFORMED
