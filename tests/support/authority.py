"""A test authority: whole instances in a temporary folder, and certificates that are wrong.

Everything real comes from pki itself. Wrong certificates are made by taking the right one and
changing one thing, so that a refusal can only be about that thing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from pki import certificates
from pki.authority import Authority
from pki.credentials import Credentials, issue_credentials
from pki.identity import SubsystemId
from pki.keys import generate_private_key, load_private_key
from pki.profiles import BACKDATE, LEAF_EXTENDED_KEY_USAGE, LEAF_KEY_USAGE, MAX_TLS_VALIDITY

NOW = datetime(2026, 11, 20, 8, 0, 0, tzinfo=UTC)
"""The time of tests that need no real clock."""
TRUST_DOMAIN = "bus.gov.example"

SubjectKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class Instance:
    """One govbus instance: an authority, and credentials of subsystems on request."""

    def __init__(self, directory: Path, *, trust_domain: str = TRUST_DOMAIN, now: datetime = NOW) -> None:
        self.directory = directory
        self.now = now
        self.authority = Authority.open(directory / "state", trust_domain, now=now)

    def subsystem(self, path: str) -> SubsystemId:
        """`gov/mps/population` in this instance's trust domain."""
        return SubsystemId(self.authority.trust_domain, *path.split("/"))

    def credentials(self, path: str) -> Credentials:
        """Fresh TLS credentials and a signing key of `path`."""
        folder = self.directory / path.replace("/", "-")
        return issue_credentials(self.authority, self.subsystem(path), folder, now=self.now)

    @property
    def issuer_key(self) -> ec.EllipticCurvePrivateKey:
        """The issuing CA's private key, for making what the authority refuses to make."""
        return load_private_key((self.directory / "state/authority/issuing-key.pem").read_bytes())

    @property
    def root_key(self) -> ec.EllipticCurvePrivateKey:
        """The root's private key."""
        return load_private_key((self.directory / "state/authority/root-key.pem").read_bytes())

    def leaf(self, path: str = "gov/mps/population") -> "LeafDraft":
        """The draft of a right certificate of `path`, signed by this instance's issuing CA."""
        subsystem = self.subsystem(path)
        return LeafDraft(
            issuer=self.authority.trust.issuers[0].certificate,
            issuer_key=self.issuer_key,
            not_before=self.now - BACKDATE,
            not_after=self.now + MAX_TLS_VALIDITY,
            names=(x509.UniformResourceIdentifier(subsystem.spiffe_id), x509.DNSName(subsystem.dns_name)),
        )


@dataclass(frozen=True)
class LeafDraft:
    """A TLS certificate before it is signed. `wrong(...)` changes one thing."""

    issuer: x509.Certificate
    issuer_key: ec.EllipticCurvePrivateKey
    not_before: datetime
    not_after: datetime
    names: tuple[x509.GeneralName, ...]
    public_key: SubjectKey = field(default_factory=lambda: generate_private_key().public_key())
    serial: int = field(default_factory=x509.random_serial_number)
    subject: x509.Name = certificates.EMPTY_NAME
    issuer_name: x509.Name | None = None
    ca: bool = False
    key_usage: x509.KeyUsage = LEAF_KEY_USAGE
    extended_key_usage: tuple[x509.ObjectIdentifier, ...] = LEAF_EXTENDED_KEY_USAGE
    san_critical: bool = True
    left_out: tuple[x509.ObjectIdentifier, ...] = ()
    added: tuple[x509.ExtensionType, ...] = ()
    digest: hashes.SHA256 | hashes.SHA384 = field(default_factory=hashes.SHA256)

    def wrong(self, **changes: object) -> "LeafDraft":
        """The same draft with these fields changed."""
        return replace(self, **changes)  # type: ignore[arg-type]  # the tests name real fields

    def sign(self) -> bytes:
        """The DER certificate."""
        builder = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(self.issuer_name or self.issuer.subject)
            .public_key(self.public_key)
            .serial_number(self.serial)
            .not_valid_before(self.not_before)
            .not_valid_after(self.not_after)
        )
        for extension, critical in self._extensions():
            if extension.oid not in self.left_out:
                builder = builder.add_extension(extension, critical)
        return builder.sign(self.issuer_key, self.digest).public_bytes(Encoding.DER)

    def _extensions(self) -> Iterable[tuple[x509.ExtensionType, bool]]:
        yield x509.BasicConstraints(ca=self.ca, path_length=None), True
        yield self.key_usage, True
        yield x509.ExtendedKeyUsage(self.extended_key_usage), False
        yield x509.SubjectAlternativeName(self.names), self.san_critical
        identifier = self.issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
        yield x509.AuthorityKeyIdentifier(identifier, None, None), False
        for extension in self.added:
            yield extension, False


def wrong_leaves(instance: Instance) -> dict[str, Callable[[], bytes]]:
    """TLS certificates that a peer might present, each wrong in one way, made when called."""
    leaf = instance.leaf()
    uri, dns = leaf.names
    day = timedelta(days=1)
    neighbour = x509.DNSName(instance.subsystem("gov/moj/civil-status").dns_name)
    return {
        "expired": leaf.wrong(not_before=leaf.not_before - 2 * day, not_after=leaf.not_after - 2 * day).sign,
        "not-yet-valid": leaf.wrong(not_before=leaf.not_before + day, not_after=leaf.not_after + day).sign,
        "client-only": leaf.wrong(extended_key_usage=LEAF_EXTENDED_KEY_USAGE[1:]).sign,
        "two-dns-names": leaf.wrong(names=(uri, dns, neighbour)).sign,
        "name-not-derived": leaf.wrong(names=(uri, neighbour)).sign,
        "rsa": leaf.wrong(public_key=rsa.generate_private_key(65537, 2048).public_key()).sign,
        "p384": leaf.wrong(public_key=ec.generate_private_key(ec.SECP384R1()).public_key()).sign,
    }


def flip(data: bytes, bit: int) -> bytes:
    """`data` with one bit changed, counted from the first byte's lowest."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
