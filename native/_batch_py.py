"""The readable twin of native.batch. Never used in production.

Works with the keys of native._ecdsa_py; its cache forgets nothing, because what a cache forgets only costs time.
"""

from collections.abc import Iterable

from native import _codec_py as codec
from native import _merkle_py as merkle
from native._digest_py import leaf_hash, pae
from native._ecdsa_py import PrivateKey, PublicKey
from native.errors import BatchPathInvalid, MerkleError, SignatureInvalid
from native.headers import Signature


class SignatureCache:
    """Signatures that verified."""

    def __init__(self) -> None:
        self.known: set[tuple[bytes, bytes, bytes]] = set()
        self.hits = 0
        self.misses = 0


class Batch:
    """Headers that one signature will cover."""

    def __init__(self, items: Iterable[tuple[str, bytes]]) -> None:
        self._leaves = [leaf_hash(type_, header) for type_, header in items]
        if not 1 <= len(self._leaves) <= 1024:
            raise ValueError("a batch has 1 to 1,024 headers: split it")
        self.message = signed_bytes(len(self._leaves), merkle.root(self._leaves))

    def __len__(self) -> int:
        return len(self._leaves)

    def encode(self, key_id: bytes, value: bytes) -> list[bytes]:
        """One encoded Signature for each header, in order."""
        if len(key_id) != 32 or len(value) != 64:
            raise ValueError("a key id is 32 bytes, a signature 64")
        return [codec.encode(Signature, self._signature(index, key_id, value)) for index in range(len(self))]

    def _signature(self, index: int, key_id: bytes, value: bytes) -> Signature:
        path = b"".join(merkle.path(self._leaves, index))
        return Signature(key_id=key_id, size=len(self), index=index, path=path, value=value)


def signed_bytes(size: int, root: bytes) -> bytes:
    """What the one signature signs."""
    return pae("govbus/batch/v1", size.to_bytes(2, "big") + root)


def sign_batch(key: PrivateKey, items: Iterable[tuple[str, bytes]]) -> list[bytes]:
    """One signature by key over (type, header) pairs: an encoded Signature for each, in order."""
    batch = Batch(items)
    return batch.encode(key.key_id, key.sign(batch.message))


def verify_batch(
    public_key: PublicKey, type_: str, header: bytes, signature: Signature, cache: SignatureCache | None = None
) -> None:
    """Verifies a Signature over a header with a key that the caller found valid now."""
    if type(signature) is not Signature:
        raise TypeError("expected Signature")
    if not 1 <= signature.size <= 1024 or len(signature.path) % 32:
        raise BatchPathInvalid
    path = [signature.path[at : at + 32] for at in range(0, len(signature.path), 32)]
    try:
        root = merkle.root_from_path(leaf_hash(type_, header), signature.size, signature.index, path)
    except MerkleError:
        raise BatchPathInvalid from None
    if signature.algorithm != 1 or signature.key_id != public_key.key_id:
        raise SignatureInvalid
    message = signed_bytes(signature.size, root)
    remembered = (public_key.key_id, message, signature.value)
    if cache is not None and remembered in cache.known:
        cache.hits += 1
        return
    if cache is not None:
        cache.misses += 1
    public_key.verify(message, signature.value)
    if cache is not None:
        cache.known.add(remembered)
