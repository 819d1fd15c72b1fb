# Signatures that verified a moment ago, so that the calls of one batch cost one verification. Needs base.pxi,
# sync.pxi, sha256.pxi.
#
# 1. Only successes are remembered, under (key id, size, root, signature bytes), by a 128-bit hash keyed with a secret
#    of this table: nobody outside can make two entries collide.
# 2. Bounded per signer: each signing key has a row of its own, a busy one drives out only what it put there itself.
#    Rows are found by a keyed hash; where more signers than ways meet in a set, the one used longest ago makes room.
# 3. Whether the key is valid now is not remembered: the caller finds that out anew before asking.
# 4. Any thread may ask; one short lock per stripe.

cdef enum:
    GB_CACHE_WAYS = 4        # signers that may meet in one set
    GB_CACHE_GROUPS = 32     # entries of a signer: 32 groups of 4
    GB_CACHE_STRIPES = 64

ctypedef struct gb_cache_row:
    u8 key_id[32]
    u64 used                     # stripe clock at the last use; 0 = free
    u64 tags[256]                # GROUPS x 4 entries x 2 words
    u8 next[32]                  # entry of a group to be overwritten next

ctypedef struct gb_cache_stripe:
    gb_mutex lock
    u64 clock
    u64 hits
    u64 misses

ctypedef struct gb_sigcache:
    gb_cache_row* rows
    u32 mask                     # sets - 1
    u8 secret[32]
    gb_cache_stripe stripes[64]


cdef void gb_sigcache_free(gb_sigcache* c) noexcept nogil:
    cdef int i
    if c != NULL:
        for i in range(GB_CACHE_STRIPES):
            gb_mutex_destroy(&c.stripes[i].lock)
        free(c.rows)
        free(c)


cdef gb_sigcache* gb_sigcache_new(u32 log2_signers) noexcept nogil:
    """A table for 2^log2_signers signing keys (2..20), 2 KB each once used; NULL when memory or randomness fails."""
    cdef gb_sigcache* c
    cdef int i
    if log2_signers < 2 or log2_signers > 20:
        return NULL
    c = <gb_sigcache*>calloc(1, sizeof(gb_sigcache))
    if c == NULL:
        return NULL
    for i in range(GB_CACHE_STRIPES):
        gb_mutex_init(&c.stripes[i].lock)
    c.mask = (<u32>1 << (log2_signers - 2)) - 1
    c.rows = <gb_cache_row*>calloc(<size_t>1 << log2_signers, sizeof(gb_cache_row))
    if c.rows == NULL or not gb_random(c.secret, 32):
        gb_sigcache_free(c)
        return NULL
    return c


cdef inline void gb_cache_tag(
    const gb_sigcache* c, const u8* key_id32, u32 size, const u8* root32, const u8* sig64, u64* tag, u64* place
) noexcept nogil:
    """tag: two words, never both zero; place: chooses set and group."""
    cdef u8 input[162]
    cdef u8 digest[32]
    memcpy(input, c.secret, 32)
    memcpy(input + 32, key_id32, 32)
    # The set follows from the key alone.
    gb_sha256(input, 64, digest)
    memcpy(place, digest, 8)
    input[64] = <u8>(size >> 8)
    input[65] = <u8>size
    memcpy(input + 66, root32, 32)
    memcpy(input + 98, sig64, 64)
    gb_sha256(input, 162, digest)
    memcpy(tag, digest, 16)
    memcpy(place + 1, digest + 16, 8)
    tag[0] |= 1


cdef inline gb_cache_row* gb_cache_find(gb_cache_row* row, const u8* key_id32, gb_cache_row** oldest) noexcept nogil:
    """The signer's row in a set, or NULL and the row to give to it."""
    cdef int i
    oldest[0] = row
    for i in range(GB_CACHE_WAYS):
        if row[i].used and gb_eq32(row[i].key_id, key_id32):
            return &row[i]
        if row[i].used < oldest[0].used:
            oldest[0] = &row[i]
    return NULL


cdef inline bint gb_cache_has(const u64* group, const u64* tag) noexcept nogil:
    cdef int i
    for i in range(0, 8, 2):
        if group[i] == tag[0] and group[i + 1] == tag[1]:
            return True
    return False


cdef bint gb_sigcache_seen(
    gb_sigcache* c, const u8* key_id32, u32 size, const u8* root32, const u8* sig64
) noexcept nogil:
    """Whether exactly this verified before."""
    cdef u64 tag[2]
    cdef u64 place[2]
    cdef u32 at
    cdef gb_cache_stripe* stripe
    cdef gb_cache_row* row
    cdef gb_cache_row* oldest
    cdef bint seen = False
    gb_cache_tag(c, key_id32, size, root32, sig64, tag, place)
    at = <u32>place[0] & c.mask
    stripe = &c.stripes[at & (GB_CACHE_STRIPES - 1)]
    gb_mutex_lock(&stripe.lock)
    row = gb_cache_find(c.rows + <size_t>at * GB_CACHE_WAYS, key_id32, &oldest)
    if row != NULL:
        seen = gb_cache_has(row.tags + (place[1] & (GB_CACHE_GROUPS - 1)) * 8, tag)
        stripe.clock += 1
        row.used = stripe.clock
    if seen:
        stripe.hits += 1
    else:
        stripe.misses += 1
    gb_mutex_unlock(&stripe.lock)
    return seen


cdef void gb_sigcache_remember(
    gb_sigcache* c, const u8* key_id32, u32 size, const u8* root32, const u8* sig64
) noexcept nogil:
    """Remembers a success."""
    cdef u64 tag[2]
    cdef u64 place[2]
    cdef u32 at, group
    cdef gb_cache_stripe* stripe
    cdef gb_cache_row* row
    cdef gb_cache_row* oldest
    cdef u64* entry
    gb_cache_tag(c, key_id32, size, root32, sig64, tag, place)
    at = <u32>place[0] & c.mask
    group = <u32>(place[1] & (GB_CACHE_GROUPS - 1))
    stripe = &c.stripes[at & (GB_CACHE_STRIPES - 1)]
    gb_mutex_lock(&stripe.lock)
    row = gb_cache_find(c.rows + <size_t>at * GB_CACHE_WAYS, key_id32, &oldest)
    if row == NULL:
        row = oldest
        memset(row, 0, sizeof(gb_cache_row))
        memcpy(row.key_id, key_id32, 32)
    stripe.clock += 1
    row.used = stripe.clock
    if not gb_cache_has(row.tags + <size_t>group * 8, tag):
        entry = row.tags + <size_t>group * 8 + (row.next[group] & 3) * 2
        row.next[group] += 1
        entry[0] = tag[0]
        entry[1] = tag[1]
    gb_mutex_unlock(&stripe.lock)


cdef void gb_sigcache_counts(gb_sigcache* c, u64* hits, u64* misses) noexcept nogil:
    cdef int i
    hits[0] = 0
    misses[0] = 0
    for i in range(GB_CACHE_STRIPES):
        gb_mutex_lock(&c.stripes[i].lock)
        hits[0] += c.stripes[i].hits
        misses[0] += c.stripes[i].misses
        gb_mutex_unlock(&c.stripes[i].lock)
