# Python's side of batch.pxi and sigcache.pxi.

from native.errors import BatchPathInvalid


cdef class SignatureCache:
    """Remembers signatures that verified; bounded per signer, for any number of threads. See sigcache.pxi."""

    cdef gb_sigcache* cache

    def __cinit__(self, unsigned int log2_signers=10):
        self.cache = gb_sigcache_new(log2_signers)
        if self.cache == NULL:
            raise ValueError("log2_signers is 2 to 20")

    def __dealloc__(self):
        gb_sigcache_free(self.cache)

    @property
    def hits(self):
        cdef u64 hits, misses
        gb_sigcache_counts(self.cache, &hits, &misses)
        return hits

    @property
    def misses(self):
        cdef u64 hits, misses
        gb_sigcache_counts(self.cache, &hits, &misses)
        return misses


cdef class Batch:
    """Headers that one signature will cover: sign `message`, then `encode` the value into one Signature for each."""

    cdef gb_merkle_tree tree
    cdef u8* buffer

    def __cinit__(self, items):
        cdef list checked = [(gb_type_name(<str?>type_), <bytes?>header) for type_, header in items]
        cdef u32 n = <u32>min(len(checked), GB_MAX_BATCH + 1), i
        if n < 1 or n > GB_MAX_BATCH:
            raise ValueError("a batch has 1 to 1,024 headers: split it")
        self.buffer = <u8*>malloc(gb_tree_bytes(n))
        if self.buffer == NULL:
            raise MemoryError
        for i in range(n):
            type_, header = checked[i]
            gb_leaf(gb_bytes_span(<bytes>type_), gb_bytes_span(<bytes>header), self.buffer + <size_t>i * 32)
        with nogil:
            gb_merkle_tree_build(&self.tree, self.buffer, n, self.buffer)

    def __dealloc__(self):
        free(self.buffer)

    def __len__(self):
        return self.tree.size

    @property
    def message(self):
        """The bytes to sign: PAE("govbus/batch/v1", size as u16 big-endian || root)."""
        cdef u8 out[63]
        gb_batch_message(self.tree.size, gb_merkle_tree_root(&self.tree), out)
        return PyBytes_FromStringAndSize(<const char*>out, GB_BATCH_MESSAGE)

    def encode(self, bytes key_id not None, bytes value not None):
        """One encoded Signature for each header, in order; value is the 64-byte signature of `message`."""
        cdef u8 out[512]
        cdef ssize_t n
        cdef u32 i
        cdef list encoded = []
        if len(key_id) != 32 or len(value) != 64:
            raise ValueError("a key id is 32 bytes, a signature 64")
        for i in range(self.tree.size):
            n = gb_batch_encode(
                &self.tree, i, <const u8*><const char*>key_id, <const u8*><const char*>value, out, sizeof(out)
            )
            encoded.append(PyBytes_FromStringAndSize(<const char*>out, n))
        return encoded


def sign_batch(key, items):
    """
    One signature by key over (type, header) pairs: an encoded Signature for each, in order.

    key is anything with key_id and sign(message) -> 64 bytes.
    """
    batch = Batch(items)
    return batch.encode(key.key_id, key.sign(batch.message))


def verify_batch(
    PublicKey public_key not None, str type_ not None, bytes header not None, signature, SignatureCache cache=None
):
    """
    Verifies a Signature over a header with a key that the caller found valid now.

    Raises BatchPathInvalid, or SignatureInvalid for a wrong value, a high s, another key id or algorithm.
    """
    cdef gb_signature s
    cdef gb_sigcache* remembered = NULL if cache is None else cache.cache
    cdef u8 leaf[32]
    cdef bytes name = gb_type_name(type_)
    cdef bytes key_id, path, value
    cdef int outcome
    if type(signature) is not Signature:
        raise TypeError("expected Signature")
    key_id, path, value = signature.key_id, signature.path, signature.value
    if not 1 <= signature.size <= GB_MAX_BATCH or not 0 <= signature.index < signature.size:
        raise BatchPathInvalid()
    s.key_id = gb_bytes_span(key_id)
    s.algorithm = 1 if signature.algorithm == 1 else 0
    s.size = signature.size
    s.index = signature.index
    s.path = gb_bytes_span(path)
    s.value = gb_bytes_span(value)
    gb_leaf(gb_bytes_span(name), gb_bytes_span(header), leaf)
    with nogil:
        outcome = gb_batch_verify(public_key.key, &s, leaf, remembered)
    if outcome == GB_BATCH_PATH:
        raise BatchPathInvalid()
    if outcome != GB_BATCH_OK:
        raise SignatureInvalid()
