# gRPC length-prefixed messages as they arrive, in any pieces: checked, counted and hashed. Needs base.pxi, sha256.pxi.
#
# 1. A message is: one byte 0 (compression is refused), four bytes of length (big endian), that many bytes.
# 2. The digest is SHA-256 over all bytes as sent, prefixes included.
# 3. The first error stays: later updates and finish answer it again.
# 4. Limits are judged at a prefix, before any byte of that message is taken.

cdef enum:
    GB_FRAMES_OK = 0
    GB_FRAMES_COMPRESSED = 1   # the flag byte is 1
    GB_FRAMES_FLAG = 2         # the flag byte is neither 0 nor 1
    GB_FRAMES_TOO_LARGE = 3    # a message beyond max_message, or all of them beyond max_total
    GB_FRAMES_TOO_MANY = 4     # a message beyond max_messages
    GB_FRAMES_INCOMPLETE = 5   # finish inside a prefix or message

ctypedef struct gb_frames:
    gb_sha sha
    u64 bytes          # bytes taken, prefixes included
    u64 messages       # messages that are complete
    u64 max_message    # bytes of one message, prefix excluded; 0 = no limit
    u64 max_total      # bytes of all, prefixes included; 0 = no limit
    u64 max_messages   # 0 = no limit; a unary side sets 1
    u64 pending        # bytes of the current message still to come
    u64 announced      # bytes that the prefixes read so far account for
    u32 length         # length bytes read so far
    u32 have           # prefix bytes read of the current message, 0-5
    int failed


cdef inline void gb_frames_init(gb_frames* f, u64 max_message, u64 max_total) noexcept nogil:
    memset(f, 0, sizeof(gb_frames))
    gb_sha_init(&f.sha)
    f.max_message = max_message
    f.max_total = max_total


cdef inline int gb_frames_prefix(gb_frames* f) noexcept nogil:
    """Judges a complete prefix; f.length is set."""
    if f.max_message and f.length > f.max_message:
        return GB_FRAMES_TOO_LARGE
    f.announced += 5 + <u64>f.length
    if f.max_total and f.announced > f.max_total:
        return GB_FRAMES_TOO_LARGE
    f.pending = f.length
    if f.pending == 0:
        f.messages += 1
        f.have = 0
    return GB_FRAMES_OK


cdef inline int gb_frames_byte(gb_frames* f, u8 byte) noexcept nogil:
    """Takes one byte of a prefix."""
    if f.have == 0:
        if byte != 0:
            return GB_FRAMES_COMPRESSED if byte == 1 else GB_FRAMES_FLAG
        if f.max_messages and f.messages >= f.max_messages:
            return GB_FRAMES_TOO_MANY
        f.length = 0
    else:
        f.length = (f.length << 8) | byte
    f.have += 1
    return gb_frames_prefix(f) if f.have == 5 else GB_FRAMES_OK


cdef inline int gb_frames_update(gb_frames* f, const u8* p, size_t n) noexcept nogil:
    cdef size_t i = 0, take
    if f.failed:
        return f.failed
    while i < n:
        if f.have < 5:
            f.failed = gb_frames_byte(f, p[i])
            if f.failed:
                return f.failed
            i += 1
            continue
        take = n - i
        if take > f.pending:
            take = f.pending
        i += take
        f.pending -= take
        if f.pending == 0:
            f.messages += 1
            f.have = 0
    gb_sha_update(&f.sha, p, n)
    f.bytes += n
    return GB_FRAMES_OK


cdef inline void gb_frames_digest(const gb_frames* f, u8* digest32) noexcept nogil:
    """Digest of what was taken so far; the hasher goes on."""
    cdef gb_sha copy = f.sha
    gb_sha_final(&copy, digest32)


cdef inline int gb_frames_finish(gb_frames* f, u8* digest32) noexcept nogil:
    """Digest of all, if what was taken is whole messages."""
    if f.failed:
        return f.failed
    if f.have != 0:
        return GB_FRAMES_INCOMPLETE
    gb_frames_digest(f, digest32)
    return GB_FRAMES_OK
