"""The numbered checks of pki.profiles, each by a certificate that is right but for one thing."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pki.errors import ProfileError, ProfileReason
from pki.keys import generate_private_key
from pki.profiles import BACKDATE, LEAF_KEY_USAGE, MAX_TLS_VALIDITY, TlsIdentity, verify_tls_certificate
from pki.trust import CA_KEY_USAGE
from tests.support.authority import NOW, Instance, LeafDraft, flip, wrong_leaves

Change = Callable[[LeafDraft], LeafDraft]
R = ProfileReason
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "population")])
SECOND = timedelta(seconds=1)


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


def verify(instance: Instance, der: bytes, *, now: datetime = NOW, expected: str | None = None) -> TlsIdentity:
    return verify_tls_certificate(
        der,
        trust=instance.authority.trust,
        now=now,
        expected=instance.subsystem(expected) if expected else None,
    )


def test_right_certificate_gives_its_subsystem(instance: Instance) -> None:
    found = verify(instance, instance.leaf().sign(), expected="gov/mps/population")
    assert found.subsystem == instance.subsystem("gov/mps/population")
    assert found.not_after - found.not_before == MAX_TLS_VALIDITY + BACKDATE


@pytest.mark.parametrize("now", [NOW - BACKDATE, NOW + MAX_TLS_VALIDITY])
def test_certificate_is_valid_at_both_ends_of_its_validity(instance: Instance, now: datetime) -> None:
    verify(instance, instance.leaf().sign(), now=now)


WRONG: dict[str, tuple[Change, ProfileReason]] = {
    "2 signed with SHA-384": (lambda c: c.wrong(digest=hashes.SHA384()), R.SIGNATURE_ALGORITHM),
    "2 counted serial": (lambda c: c.wrong(serial=1), R.SERIAL),
    "2 serial of 63 bits": (lambda c: c.wrong(serial=(1 << 63) - 1), R.SERIAL),
    "3 other issuer name": (lambda c: c.wrong(issuer_name=NAME), R.UNKNOWN_ISSUER),
    "3 issuer's name, other key": (lambda c: c.wrong(issuer_key=generate_private_key()), R.BAD_SIGNATURE),
    "3 no authority key identifier": (
        lambda c: c.wrong(left_out=(x509.AuthorityKeyIdentifier.oid,)),
        R.UNKNOWN_ISSUER,
    ),
    "5 valid for a second too long": (lambda c: c.wrong(not_after=c.not_after + SECOND), R.VALIDITY_TOO_LONG),
    "5 ended a second ago": (lambda c: c.wrong(not_after=NOW - SECOND), R.EXPIRED),
    "5 starts in a second": (lambda c: c.wrong(not_before=NOW + SECOND), R.NOT_YET_VALID),
    "6 RSA": (lambda c: c.wrong(public_key=rsa.generate_private_key(65537, 2048).public_key()), R.KEY_NOT_P256),
    "6 P-384": (lambda c: c.wrong(public_key=ec.generate_private_key(ec.SECP384R1()).public_key()), R.KEY_NOT_P256),
    "6 Ed25519": (
        lambda c: c.wrong(public_key=ed25519.Ed25519PrivateKey.generate().public_key()),
        R.KEY_NOT_P256,
    ),
    "6 trivial key": (
        lambda c: c.wrong(public_key=ec.derive_private_key(2, ec.SECP256R1()).public_key()),
        R.KEY_WEAK,
    ),
    "7 common name": (lambda c: c.wrong(subject=NAME), R.SUBJECT_NOT_EMPTY),
    "7 CA": (lambda c: c.wrong(ca=True), R.BASIC_CONSTRAINTS),
    "7 no basicConstraints": (lambda c: c.wrong(left_out=(x509.BasicConstraints.oid,)), R.BASIC_CONSTRAINTS),
    "7 CA's key usage": (lambda c: c.wrong(key_usage=CA_KEY_USAGE), R.KEY_USAGE),
    "7 no key usage": (lambda c: c.wrong(left_out=(x509.KeyUsage.oid,)), R.KEY_USAGE),
    "7 client only": (
        lambda c: c.wrong(extended_key_usage=(ExtendedKeyUsageOID.CLIENT_AUTH,)),
        R.EXTENDED_KEY_USAGE,
    ),
    "7 server only": (
        lambda c: c.wrong(extended_key_usage=(ExtendedKeyUsageOID.SERVER_AUTH,)),
        R.EXTENDED_KEY_USAGE,
    ),
    "7 any usage too": (
        lambda c: c.wrong(
            extended_key_usage=(*c.extended_key_usage, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE),
        ),
        R.EXTENDED_KEY_USAGE,
    ),
    "7 usage twice": (lambda c: c.wrong(extended_key_usage=c.extended_key_usage * 2), R.EXTENDED_KEY_USAGE),
    "7 no extended usage": (lambda c: c.wrong(left_out=(x509.ExtendedKeyUsage.oid,)), R.EXTENDED_KEY_USAGE),
    "7 unknown extension": (
        lambda c: c.wrong(added=(x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\5\0"),)),
        R.EXTENSION_NOT_ALLOWED,
    ),
    "7 SAN not critical": (lambda c: c.wrong(san_critical=False), R.EXTENSION_NOT_ALLOWED),
    "8 no SAN": (lambda c: c.wrong(left_out=(x509.SubjectAlternativeName.oid,)), R.URI_SAN),
    "8 no URI": (lambda c: c.wrong(names=c.names[1:]), R.URI_SAN),
    "8 no DNS name": (lambda c: c.wrong(names=c.names[:1]), R.DNS_SAN),
    "8 same URI twice": (lambda c: c.wrong(names=(c.names[0], *c.names)), R.URI_SAN),
    "8 second DNS name": (
        lambda c: c.wrong(names=(*c.names, x509.DNSName("civil-status.moj.gov.bus.gov.example"))),
        R.DNS_SAN,
    ),
    "8 wildcard": (lambda c: c.wrong(names=(c.names[0], x509.DNSName("*.mps.gov.bus.gov.example"))), R.DNS_NOT_DERIVED),
    "8 neighbour's DNS name": (
        lambda c: c.wrong(names=(c.names[0], x509.DNSName("civil-status.moj.gov.bus.gov.example"))),
        R.DNS_NOT_DERIVED,
    ),
    "8 upper-case DNS name": (
        lambda c: c.wrong(names=(c.names[0], x509.DNSName("Population.mps.gov.bus.gov.example"))),
        R.DNS_NOT_DERIVED,
    ),
    "8 mail address": (lambda c: c.wrong(names=(*c.names, x509.RFC822Name("a@bus.gov.example"))), R.OTHER_SAN),
    "8 directory name": (lambda c: c.wrong(names=(*c.names, x509.DirectoryName(NAME))), R.OTHER_SAN),
    "8 web URI": (lambda c: c.wrong(names=(uri("https://bus.gov.example/"), c.names[1])), R.IDENTITY_MALFORMED),
    "8 upper-case id": (
        lambda c: c.wrong(names=(uri("spiffe://bus.gov.example/gov/MPS/population"), c.names[1])),
        R.IDENTITY_MALFORMED,
    ),
    "9 other trust domain": (
        lambda c: c.wrong(
            names=(
                uri("spiffe://elsewhere.example/gov/mps/population"),
                x509.DNSName("population.mps.gov.elsewhere.example"),
            )
        ),
        R.TRUST_DOMAIN,
    ),
    "9 other subsystem": (
        lambda c: c.wrong(
            names=(
                uri("spiffe://bus.gov.example/gov/moj/civil-status"),
                x509.DNSName("civil-status.moj.gov.bus.gov.example"),
            )
        ),
        R.UNEXPECTED_IDENTITY,
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_certificate_wrong_in_one_thing_is_refused_for_it(instance: Instance, name: str) -> None:
    change, reason = WRONG[name]
    with pytest.raises(ProfileError) as caught:
        verify(instance, change(instance.leaf()).sign(), expected="gov/mps/population")
    assert caught.value.reason is reason


def test_certificate_of_another_instance_with_the_same_domain_is_refused(instance: Instance, foreign: Instance) -> None:
    with pytest.raises(ProfileError) as caught:
        verify(instance, foreign.leaf().sign())
    assert caught.value.reason is R.UNKNOWN_ISSUER


def test_leaf_signed_by_the_root_itself_is_refused(instance: Instance) -> None:
    root = instance.authority.trust.roots[0]
    with pytest.raises(ProfileError) as caught:
        verify(instance, instance.leaf().wrong(issuer=root, issuer_key=instance.root_key).sign())
    assert caught.value.reason is R.UNKNOWN_ISSUER


def test_issuing_ca_is_no_subsystem(instance: Instance) -> None:
    ca = instance.authority.trust.issuers[0].certificate
    with pytest.raises(ProfileError) as caught:
        verify(instance, ca.public_bytes(Encoding.DER))
    assert caught.value.reason is R.UNKNOWN_ISSUER


def test_leaf_of_an_expired_issuing_ca_is_refused(instance: Instance) -> None:
    later = NOW + timedelta(days=2000)
    leaf = instance.leaf().wrong(not_before=later - BACKDATE, not_after=later + SECOND)
    with pytest.raises(ProfileError) as caught:
        verify(instance, leaf.sign(), now=later)
    assert caught.value.reason is R.ISSUER_NOT_VALID_NOW


def test_certificate_truncated_or_with_any_bit_flipped_is_refused(instance: Instance) -> None:
    der = instance.leaf().sign()
    broken = [der[:end] for end in range(len(der))]
    broken += [flip(der, bit) for bit in range(len(der) * 8)]
    broken += [der + b"\0", b"\0" * 500, b"\x30" * 500]
    for candidate in broken:
        with pytest.raises(ProfileError):
            verify(instance, candidate)


def test_key_with_compressed_point_is_refused(instance: Instance) -> None:
    """The point is respelled inside the signed bytes, and the CA signs again."""
    draft = instance.leaf()
    certificate = x509.load_der_x509_certificate(draft.sign())
    tbs = certificate.tbs_certificate_bytes
    at = tbs.index(bytes.fromhex("3059301306072a8648ce3d0201"))
    point = tbs[at + 26 : at + 91]
    short = bytes([2 + point[-1] % 2]) + point[1:33]
    spki = bytes.fromhex("3039301306072a8648ce3d020106082a8648ce3d030107032200") + short
    body = tbs[:at] + spki + tbs[at + 91 :]
    assert body[:2] == b"\x30\x82"
    body = b"\x30\x82" + (len(body) - 4).to_bytes(2, "big") + body[4:]
    signature = instance.issuer_key.sign(body, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    bits = b"\x03" + bytes([len(signature) + 1]) + b"\0" + signature
    inner = body + algorithm + bits
    der = b"\x30\x82" + len(inner).to_bytes(2, "big") + inner
    with pytest.raises(ProfileError) as caught:
        verify(instance, der)
    assert caught.value.reason is R.KEY_MALFORMED


def test_naive_time_is_a_programming_error(instance: Instance) -> None:
    with pytest.raises(ValueError, match="aware"):
        verify(instance, instance.leaf().sign(), now=NOW.replace(tzinfo=None))


@pytest.mark.parametrize(
    "name", ["expired", "not-yet-valid", "client-only", "two-dns-names", "name-not-derived", "rsa", "p384"]
)
def test_ready_made_wrong_leaf_is_refused(instance: Instance, name: str) -> None:
    """The set that other rooms present to real TLS listeners."""
    der = wrong_leaves(instance)[name]()
    with pytest.raises(ProfileError):
        verify(instance, der)


def test_leaf_key_usage_is_digital_signature_alone() -> None:
    assert LEAF_KEY_USAGE.digital_signature
    assert not LEAF_KEY_USAGE.key_agreement
    assert not LEAF_KEY_USAGE.key_cert_sign
