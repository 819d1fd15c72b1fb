"""One question, asked for requests, answers, admissions, receipts and gate keys alike: did this key's owner sign these
bytes, at a time when the key was valid? Pure: bytes, keys and times in; nothing or a named failure out.

Order (protocol.md 4, checks 5 and 6): known, of the expected owner, valid at the time, path, signature. A remembered
success is used only after the first three, so a revoked key is refused even where its signature is still remembered.
"""

import enum

from bus.exchange.view import KeyRecord
from native.batch import BatchPathInvalid, SignatureCache, SignatureInvalid, verify_batch
from native.ecdsa import PublicKey
from native.headers import Signature

__all__ = ["SignatureFailure", "SignatureRefused", "verify_by_owner", "verify_by_point"]


class SignatureFailure(enum.Enum):
    """The first thing wrong."""

    KEY_UNKNOWN = "key-unknown"
    KEY_NOT_OF_OWNER = "key-not-of-owner"
    KEY_NOT_VALID = "key-not-valid"
    PATH = "path"
    SIGNATURE = "signature"


class SignatureRefused(Exception):
    """`failure` says which of the five."""

    def __init__(self, failure: SignatureFailure) -> None:
        super().__init__(failure.value)
        self.failure = failure


def verify_by_owner(
    type_: str,
    header: bytes,
    signature: Signature,
    *,
    key: KeyRecord | None,
    owner: str,
    at_ms: int,
    cache: SignatureCache | None,
) -> None:
    """Raise SignatureRefused unless `owner` signed `header`, with a key registered and valid at `at_ms`."""
    if key is None:
        raise SignatureRefused(SignatureFailure.KEY_UNKNOWN)
    if key.owner != owner:
        raise SignatureRefused(SignatureFailure.KEY_NOT_OF_OWNER)
    if not key.not_before_ms <= at_ms <= key.not_after_ms:
        raise SignatureRefused(SignatureFailure.KEY_NOT_VALID)
    verify_by_point(type_, header, signature, key.public_key, cache)


def verify_by_point(
    type_: str, header: bytes, signature: Signature, public_key: PublicKey, cache: SignatureCache | None
) -> None:
    """Raise SignatureRefused unless `public_key` signed `header`; validity was the caller's question."""
    try:
        verify_batch(public_key, type_, header, signature, cache)
    except BatchPathInvalid as error:
        raise SignatureRefused(SignatureFailure.PATH) from error
    except SignatureInvalid as error:
        raise SignatureRefused(SignatureFailure.SIGNATURE) from error
