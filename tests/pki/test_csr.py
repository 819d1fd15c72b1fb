"""A CSR proves that its maker holds the key, and asks for its own names and nothing else."""

from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import AttributeOID, NameOID

from pki.certificates import EMPTY_NAME, build_csr, subsystem_names
from pki.errors import ProfileError, ProfileReason
from pki.identity import SubsystemId
from pki.keys import encode_spki, generate_private_key
from pki.profiles import verify_csr
from tests.support.authority import flip

R = ProfileReason
POPULATION = SubsystemId("bus.gov.example", "gov", "mps", "population")
OTHER = SubsystemId("bus.gov.example", "gov", "moj", "civil-status")
ELSEWHERE = SubsystemId("elsewhere.example", "gov", "mps", "population")
KEY = generate_private_key()
NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "population")])

Builder = x509.CertificateSigningRequestBuilder


def draft(
    subsystem: SubsystemId | None = POPULATION,
    *,
    subject: x509.Name = EMPTY_NAME,
    extra: x509.ExtensionType | None = None,
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = KEY,
    change: Callable[[Builder], Builder] = lambda builder: builder,
    digest: hashes.SHA256 | hashes.SHA384 | None = None,
) -> bytes:
    builder = Builder().subject_name(subject)
    if subsystem is not None:
        builder = builder.add_extension(subsystem_names(subsystem), critical=True)
    if extra is not None:
        builder = builder.add_extension(extra, critical=False)
    return change(builder).sign(key, digest or hashes.SHA256()).public_bytes(Encoding.DER)


def forged_signature() -> bytes:
    """A lawful CSR in which somebody else's key stands in place of the signer's."""
    mine, theirs = (encode_spki(key.public_key()) for key in (KEY, generate_private_key()))
    return build_csr(KEY, POPULATION).replace(mine, theirs)


REFUSED: dict[str, tuple[Callable[[], bytes], ProfileReason]] = {
    "empty": (lambda: b"", R.MALFORMED),
    "trailing byte": (lambda: draft() + b"\0", R.MALFORMED),
    "other key than the signer's": (forged_signature, R.PROOF_OF_POSSESSION),
    "another subsystem": (lambda: draft(OTHER), R.UNEXPECTED_IDENTITY),
    "another trust domain": (lambda: draft(ELSEWHERE), R.TRUST_DOMAIN),
    "no SAN": (lambda: draft(None), R.URI_SAN),
    "common name": (lambda: draft(subject=NAME), R.SUBJECT_NOT_EMPTY),
    "asks to be a CA": (lambda: draft(extra=x509.BasicConstraints(True, None)), R.EXTENSION_NOT_ALLOWED),
    "challenge password": (
        lambda: draft(change=lambda b: b.add_attribute(AttributeOID.CHALLENGE_PASSWORD, b"secret")),
        R.EXTENSION_NOT_ALLOWED,
    ),
    "RSA": (lambda: draft(key=rsa.generate_private_key(65537, 2048)), R.KEY_NOT_P256),
    "P-384": (lambda: draft(key=ec.generate_private_key(ec.SECP384R1())), R.KEY_NOT_P256),
    "trivial key": (lambda: draft(key=ec.derive_private_key(3, ec.SECP256R1())), R.KEY_WEAK),
    "SHA-384": (lambda: draft(digest=hashes.SHA384()), R.SIGNATURE_ALGORITHM),
}


def test_own_request_is_verified() -> None:
    request = verify_csr(build_csr(KEY, POPULATION), expected=POPULATION)
    assert request.subsystem == POPULATION
    assert request.spki == encode_spki(KEY.public_key())


@pytest.mark.parametrize("name", REFUSED)
def test_other_request_is_refused(name: str) -> None:
    make, reason = REFUSED[name]
    with pytest.raises(ProfileError) as caught:
        verify_csr(make(), expected=POPULATION)
    assert caught.value.reason is reason


def test_request_truncated_or_with_any_bit_flipped_is_refused() -> None:
    der = build_csr(KEY, POPULATION)
    broken = [der[:end] for end in range(len(der))]
    broken += [flip(der, bit) for bit in range(len(der) * 8)]
    for candidate in broken:
        with pytest.raises(ProfileError):
            verify_csr(candidate, expected=POPULATION)
