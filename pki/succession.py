"""Another issuing CA, another root, and the end of a former root, in an authority that goes on issuing (protocol.md 1).

An issuing CA is replaced in one step: everybody believes its root, and leaves bring it with them. A root takes three:

1. `add_root`: the new root is believed beside the former one. The bundle goes to everybody; who has been away for a day
   must enrol again anyway.
2. `add_issuer`, a day later or when everybody has the bundle: the new root's first issuing CA. All that is issued or
   renewed from now on is under the new root, and within a day everything is.
3. `retire_root`: the former root and its issuing CAs leave the bundle; refused while the current one is under it.

Certificates are written before the key that makes them current, and leave in the opposite order: whatever moment a
crash or a reader finds, key and certificates fit (pki.authority). A replaced private key is gone. One change at a time.
"""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pki import files
from pki.authority import ISSUER_LIFETIME, ROOT_LIFETIME, Authority, load_bundle
from pki.certificates import build_issuer, build_root
from pki.errors import ProfileError, ProfileReason
from pki.keys import encode_private_key, encode_spki, generate_private_key, load_private_key, signing_key_id
from pki.trust import TrustBundle

__all__ = ["add_issuer", "add_root", "ca_id", "retire_root"]

_MOST: Final = 8


def ca_id(certificate: x509.Certificate) -> bytes:
    """SHA-256(SPKI) of a CA: what the registry calls an issuing CA."""
    key = certificate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)  # noqa: S101 (the bundle's profile says so)
    return signing_key_id(encode_spki(key))


def add_issuer(state: Path, trust_domain: str, *, now: datetime) -> x509.Certificate:
    """Another issuing CA, of the newest root, which issues from now on; the former ones stay believed."""
    with _changing(state) as directory:
        bundle = load_bundle(directory, trust_domain)
        root_key = load_private_key(files.read_private(directory / "root-key.pem"))
        root = next((one for one in bundle.roots if one.public_key() == root_key.public_key()), None)
        if root is None:
            raise ProfileError(
                ProfileReason.KEY_MISMATCH, "root-key.pem is of no root in root.pem; bring the right one"
            )
        key = generate_private_key()
        issuer = build_issuer(
            key.public_key(),
            trust_domain,
            root=root,
            root_key=root_key,
            now=now,
            lifetime=min(ISSUER_LIFETIME, root.not_valid_after_utc - now),
            serial=x509.random_serial_number(),
        )
        issuers = [issuer, *(one.certificate for one in bundle.issuers)]
        _store(directory, bundle.trust_domain, bundle.roots, issuers)
        files.write_atomic(directory / "issuing-key.pem", encode_private_key(key))
        return issuer


def add_root(state: Path, trust_domain: str, *, now: datetime) -> x509.Certificate:
    """Another root, believed from now on; the next issuing CA is its."""
    with _changing(state) as directory:
        bundle = load_bundle(directory, trust_domain)
        key = generate_private_key()
        root = build_root(key, trust_domain, now=now, lifetime=ROOT_LIFETIME, serial=x509.random_serial_number())
        _store(directory, trust_domain, (root, *bundle.roots), [one.certificate for one in bundle.issuers])
        files.write_atomic(directory / "root-key.pem", encode_private_key(key))
        return root


def retire_root(state: Path, trust_domain: str, root_id: bytes, *, now: datetime) -> TrustBundle:
    """The bundle without this root and its issuing CAs; ProfileError while it issues, or if there is none."""
    with _changing(state) as directory:
        bundle = load_bundle(directory, trust_domain)
        leaving = [one for one in bundle.roots if ca_id(one) == root_id]
        if not leaving:
            raise ProfileError(ProfileReason.UNKNOWN_ISSUER, "no root has this id; list them")
        if Authority.open(state, trust_domain, now=now).issuer.root in leaving:
            raise ProfileError(
                ProfileReason.CA_PROFILE, "certificates are still issued under this root; make a new issuing CA first"
            )
        issuers = [one.certificate for one in bundle.issuers if one.root not in leaving]
        roots = [one for one in bundle.roots if one not in leaving]
        _write(directory / "issuing.pem", issuers)
        _write(directory / "root.pem", roots)
        return load_bundle(directory, trust_domain)


def _store(
    directory: Path, trust_domain: str, roots: Sequence[x509.Certificate], issuers: Sequence[x509.Certificate]
) -> None:
    """Verified as every reader will; a root stands there before an issuing CA of it does."""
    if max(len(roots), len(issuers)) > _MOST:
        raise ProfileError(ProfileReason.CA_PROFILE, f"no more than {_MOST} at a time; retire a former root first")
    TrustBundle.verify(trust_domain, roots=_der(roots), issuers=_der(issuers))
    _write(directory / "root.pem", roots)
    _write(directory / "issuing.pem", issuers)


def _write(path: Path, certificates: Sequence[x509.Certificate]) -> None:
    pem = b"".join(one.public_bytes(Encoding.PEM) for one in certificates)
    files.write_atomic(path, pem, mode=files.PUBLIC)


def _der(certificates: Sequence[x509.Certificate]) -> list[bytes]:
    return [one.public_bytes(Encoding.DER) for one in certificates]


@contextmanager
def _changing(state: Path) -> Iterator[Path]:
    """The authority's directory, changed by nobody else."""
    directory = files.ensure_private_directory(state / "authority")
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield directory
    finally:
        os.close(descriptor)
