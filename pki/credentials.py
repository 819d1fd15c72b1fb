"""One subsystem's credentials as files: TLS key and chain, trust bundle, signing key.

    <directory>/            0700
      trust.pem             roots, then issuing CAs
      signing-key.pem       0600, the registered signing key; never a TLS key
      signing-public.pem    its public half, for the policy
      tls -> tls-<id>/      the current generation, swapped by renaming the link
        key.pem  chain.pem  0600; always from one issuing

A renewal writes a new generation and swaps the link, so a reader (ours, or Envoy's watched
directory) never sees the key of one certificate beside the chain of another.
"""

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509

from pki import files
from pki.authority import Authority
from pki.certificates import build_csr
from pki.errors import ProfileError, ProfileReason
from pki.identity import SubsystemId
from pki.keys import encode_private_key, encode_public_pem, generate_private_key, load_private_key
from pki.profiles import MAX_TLS_VALIDITY, TlsIdentity, verify_tls_certificate
from pki.signer import FileSigner, Signer
from pki.trust import TrustBundle, parse_pem_certificates

__all__ = ["Credentials", "issue_credentials", "load_credentials", "store_credentials", "store_tls"]

_KEPT_GENERATIONS = 2


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a client or provider runtime needs to connect and to sign."""

    identity: TlsIdentity
    trust: TrustBundle
    tls_key_pem: bytes
    tls_chain_pem: bytes
    signer: Signer

    @property
    def subsystem(self) -> SubsystemId:
        """Whose credentials these are."""
        return self.identity.subsystem

    def __repr__(self) -> str:  # the default would print the private key
        return f"Credentials({self.subsystem})"


def issue_credentials(
    authority: Authority,
    subsystem: SubsystemId,
    directory: Path,
    *,
    now: datetime,
    lifetime: timedelta = MAX_TLS_VALIDITY,
) -> Credentials:
    """Make or renew the files of `subsystem` beside its authority (same machine).

    A new TLS key each time; the signing key is made once and then kept.
    """
    files.ensure_private_directory(directory)
    key = generate_private_key()
    issued = authority.issue_from_csr(build_csr(key, subsystem), subsystem, now=now, lifetime=lifetime)

    FileSigner.load_or_create(directory / "signing-key.pem")
    store_credentials(directory, encode_private_key(key), issued.chain_pem, authority.trust.pem)
    return load_credentials(directory, authority.trust_domain, now=now)


def store_credentials(directory: Path, key_pem: bytes, chain_pem: bytes, trust_pem: bytes) -> None:
    """Make these the current generation, beside the signing key that is there; readers see the old or the new."""
    signer = FileSigner.load(directory / "signing-key.pem")
    public = encode_public_pem(signer.public_point)
    files.write_atomic(directory / "signing-public.pem", public, mode=files.PUBLIC)
    store_tls(directory, key_pem, chain_pem, trust_pem)


def store_tls(directory: Path, key_pem: bytes, chain_pem: bytes, trust_pem: bytes) -> None:
    """Of store_credentials what has to do with TLS: for a directory of somebody who never signs."""

    def fill(generation: Path) -> None:
        files.write_atomic(generation / "key.pem", key_pem)
        files.write_atomic(generation / "chain.pem", chain_pem)

    name = f"tls-{sha256(parse_pem_certificates(chain_pem)[0]).hexdigest()[:16]}"
    files.write_atomic(directory / "trust.pem", trust_pem, mode=files.PUBLIC)
    files.publish_directory(directory / name, fill)
    files.replace_link(directory / "tls", name)
    _remove_old_generations(directory)


def load_credentials(directory: Path, trust_domain: str, *, now: datetime) -> Credentials:
    """Read and check the files of issue_credentials.

    Raises FilePermissionError for files open to others, ProfileError for a certificate that
    is outside its profile or validity, of another trust domain, or without its key.
    """
    files.ensure_private_directory(directory)
    trust = TrustBundle.verify_pem(trust_domain, (directory / "trust.pem").read_bytes())
    generation = (directory / "tls").resolve(strict=True)
    chain_pem = files.read_private(generation / "chain.pem")
    key_pem = files.read_private(generation / "key.pem")
    leaf = parse_pem_certificates(chain_pem)[0]
    identity = verify_tls_certificate(leaf, trust=trust, now=now)
    key = load_private_key(key_pem)
    if x509.load_der_x509_certificate(leaf).public_key() != key.public_key():
        raise ProfileError(ProfileReason.KEY_MISMATCH, f"key and chain under {generation} differ: renew them")
    signer = FileSigner.load(directory / "signing-key.pem")
    if signer.key_id == identity.key_id:
        raise ProfileError(ProfileReason.KEY_MISMATCH, "the TLS key must never be the signing key: renew it")
    return Credentials(identity, trust, key_pem, chain_pem, signer)


def _remove_old_generations(directory: Path) -> None:
    """Keep the current generation and the one before: a reader may be inside it."""
    found = [path for path in directory.glob("tls-*") if path.is_dir()]
    found.sort(key=lambda path: path.stat().st_mtime_ns, reverse=True)
    for path in found[_KEPT_GENERATIONS:]:
        shutil.rmtree(path)
