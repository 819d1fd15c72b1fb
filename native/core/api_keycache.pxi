# Python's view of the prepared keys, for tests. Needs keycache.pxi, api_batch.pxi.

cdef class KeyCache:
    """Room for 2^log2_keys prepared keys, as the gate has it. Thread-safe."""
    cdef gb_keycache* keys

    def __cinit__(self, u32 log2_keys):
        self.keys = gb_keycache_new(log2_keys)
        if self.keys == NULL:
            raise ValueError("no key cache of that size can be made; use at most 2^16")

    def __dealloc__(self):
        gb_keycache_free(self.keys)

    def verify(self, bytes point not None, bytes key_id not None, bytes message63 not None, bytes value not None):
        """True when value is the signature of a batch's message by the key with that point and id."""
        cdef gb_signature s
        cdef bint good
        if len(point) != 65 or len(key_id) != 32 or len(message63) != GB_BATCH_MESSAGE or len(value) != 64:
            raise ValueError("a point has 65 bytes, an id 32, a message 63, a signature 64")
        s.key_id = gb_bytes_span(key_id)
        s.value = gb_bytes_span(value)
        s.size = (<u32>(<u8>message63[29]) << 8) | <u8>message63[30]
        cdef bytes tail = message63[31:]
        cdef gb_span p = gb_bytes_span(point), root = gb_bytes_span(tail)
        with nogil:
            good = gb_keycache_verify(self.keys, p.p, &s, NULL, root.p) == GB_BATCH_OK
        return good
