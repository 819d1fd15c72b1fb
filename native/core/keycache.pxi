# Public keys prepared for libcrypto, kept for signers that were just verified. Needs sync.pxi, ecdsa.pxi, batch.pxi.
#
#  1. Policy holds a point of 65 bytes for each key; what libcrypto verifies with takes 2.7 KB and 20 us to make. A key is
#     therefore made when a signature of it is verified for the first time, and a bounded number is kept.
#  2. Whoever verifies takes the key out of its place and puts it back: nobody else has it meanwhile, so nothing is
#     counted. Two at once make two keys, and one of them stays.
#  3. A place goes to whoever was verified last. Ids are hashes of points: who made keys that meet in one place has those
#     keys made anew each time, a third of a verification, and nobody is refused for it.

ctypedef struct gb_keycache:
    gb_mutex lock
    gb_pubkey** places
    u32 mask


cdef inline gb_keycache* gb_keycache_new(u32 log2_keys) noexcept nogil:
    """Room for 2^log2_keys keys, at most 2^16; NULL without memory."""
    cdef gb_keycache* c
    if log2_keys > 16:
        return NULL
    c = <gb_keycache*>calloc(1, sizeof(gb_keycache))
    if c == NULL:
        return NULL
    c.places = <gb_pubkey**>calloc(<size_t>1 << log2_keys, sizeof(gb_pubkey*))
    if c.places == NULL:
        free(c)
        return NULL
    gb_mutex_init(&c.lock)
    c.mask = (<u32>1 << log2_keys) - 1
    return c


cdef inline void gb_keycache_free(gb_keycache* c) noexcept nogil:
    cdef u32 i
    if c != NULL:
        for i in range(c.mask + 1):
            gb_pubkey_free(c.places[i])
        free(c.places)
        gb_mutex_destroy(&c.lock)
        free(c)


cdef inline gb_pubkey* gb_keycache_swap(gb_keycache* c, u32 place, gb_pubkey* key) noexcept nogil:
    """What stood in that place."""
    cdef gb_pubkey* stood
    gb_mutex_lock(&c.lock)
    stood = c.places[place]
    c.places[place] = key
    gb_mutex_unlock(&c.lock)
    return stood


cdef inline int gb_keycache_verify(gb_keycache* c, const u8* point65, const gb_signature* sig, gb_sigcache* cache,
                                   const u8* root32) noexcept nogil:
    """gb_batch_end by the key with this point, whose id gb_batch_begin found in the signature; also GB_BATCH_MEMORY."""
    cdef u32 place = gb_ld32(sig.key_id.p) & c.mask
    cdef gb_pubkey* key = gb_keycache_swap(c, place, NULL)
    cdef int answer
    if key != NULL and memcmp(key.point, point65, 65) != 0:
        gb_pubkey_free(key)
        key = NULL
    if key == NULL:
        key = gb_pubkey_new(point65)
    if key == NULL:
        return GB_BATCH_MEMORY
    answer = gb_batch_end(key, sig, cache, root32)
    gb_pubkey_free(gb_keycache_swap(c, place, key))
    return answer
