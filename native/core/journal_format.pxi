# The journal's bytes: segment headers, record heads, payload parts. Needs sha256.pxi, siphash.pxi (loads), crc32c.pxi.
#
# docs/formats.md, "Journal", is the normative text and native/journal.py the readable definition; both say the same.
#
#  1. A segment is a file of fixed size, zero-filled and reserved on disk before its first record; it begins with a header
#     of 128 bytes. Records follow without gaps; behind the last one all bytes are zero.
#  2. A record: length u32 | crc u32 | sequence u64 | kind u8 | zeros 3 | chain 32 | payload. Sequences rise by one.
#  3. crc = CRC32C(salt of the segment || length || everything behind the crc). The salt never leaves the file, so nobody
#     can smuggle something that passes for a record into a signature path, say.
#  4. chain = SHA-256(previous chain || length || sequence || kind || zeros || payload), over segment borders too.
#  5. Records come in groups, each ended by a commit record and written by one write; a group lies in one segment.

cdef enum:
    GB_J_INTENT = 1
    GB_J_OUTCOME = 2
    GB_J_REFUSAL = 3
    GB_J_COMMIT = 16
    GB_J_START = 17
    GB_J_SNAPSHOT = 18
    GB_J_STOP = 19

    GB_J_HEAD = 52
    GB_J_SEGMENT_HEAD = 128
    GB_J_COMMIT_PAYLOAD = 144
    GB_J_COMMIT_SIZE = 52 + 144

    GB_J_HEADER_MAX = 2048         # RequestHeader or ResponseHeader
    GB_J_SIGNATURE_MAX = 512
    GB_J_CHARGE = 8                # bytes of the request, in an intent that is counted in its grant's day
    GB_J_RECORD_MAX = 768          # Admission, Receipt or Refusal
    GB_J_PAYLOAD_MAX = 8 + 768 + 2048 + 512 + 64     # versions before this one allowed 64 for the last part
    GB_J_SIZE_MAX = 52 + 8 + 768 + 2048 + 512 + 64   # head and payload of the largest record

    GB_J_OUTCOME_DONE = 1          # govbus.exchange.v1.Outcome
    GB_J_OUTCOME_FAILED = 2
    GB_J_OUTCOME_CANCELLED = 3
    GB_J_OUTCOME_UNKNOWN = 4

# What a segment's header says.
ctypedef struct gb_jhead:
    u64 size               # of the file
    u64 first              # sequence of its first record
    u64 recover_from       # first sequence of the segment at which recovery begins
    i64 time_ms            # last time before it
    u64 snapshot_version   # highest served before it
    u64 log_position
    u8 salt[16]
    u8 chain[32]           # of the record before its first; zeros before the very first

ctypedef struct gb_jrecord:
    u64 sequence
    u32 length             # of the payload
    int kind
    const u8* chain
    const u8* payload


cdef inline void gb_jhead_encode(const gb_jhead* h, u8* out128) noexcept nogil:
    memset(out128, 0, GB_J_SEGMENT_HEAD)
    memcpy(out128, b"GVBJRNL1", 8)
    gb_st64(out128 + 8, h.size)
    gb_st64(out128 + 16, h.first)
    gb_st64(out128 + 24, h.recover_from)
    gb_st64(out128 + 32, <u64>h.time_ms)
    gb_st64(out128 + 40, h.snapshot_version)
    gb_st64(out128 + 48, h.log_position)
    memcpy(out128 + 56, h.salt, 16)
    memcpy(out128 + 72, h.chain, 32)
    gb_st32(out128 + 124, gb_crc32c(out128, 124))


cdef inline bint gb_jhead_parse(const u8* p, size_t n, gb_jhead* out) noexcept nogil:
    """False unless p begins with an intact header of a segment."""
    if n < GB_J_SEGMENT_HEAD or memcmp(p, b"GVBJRNL1", 8) != 0:
        return False
    if gb_ld32(p + 124) != gb_crc32c(p, 124):
        return False
    out.size = gb_ld64(p + 8)
    out.first = gb_ld64(p + 16)
    out.recover_from = gb_ld64(p + 24)
    out.time_ms = <i64>gb_ld64(p + 32)
    out.snapshot_version = gb_ld64(p + 40)
    out.log_position = gb_ld64(p + 48)
    memcpy(out.salt, p + 56, 16)
    memcpy(out.chain, p + 72, 32)
    return True


cdef inline bint gb_j_is_kind(u32 kind) noexcept nogil:
    return GB_J_INTENT <= kind <= GB_J_REFUSAL or GB_J_COMMIT <= kind <= GB_J_STOP


cdef inline u32 gb_j_crc(const u8* salt16, const u8* record, u32 length) noexcept nogil:
    """Checksum of a whole record that lies at `record`."""
    cdef u32 c = gb_crc_update(~<u32>0, salt16, 16)
    c = gb_crc_update(c, record, 4)
    return ~gb_crc_update(c, record + 8, GB_J_HEAD - 8 + <size_t>length)


cdef inline void gb_j_chain(const u8* previous32, const u8* record, const u8* payload, u32 length, u8* out32) noexcept nogil:
    cdef gb_sha c
    gb_sha_init(&c)
    gb_sha_update(&c, previous32, 32)
    gb_sha_update(&c, record, 4)
    gb_sha_update(&c, record + 8, 12)
    gb_sha_update(&c, payload, length)
    gb_sha_final(&c, out32)


cdef inline void gb_j_seal(u8* record, u32 length, u64 sequence, int kind, const u8* salt16, u8* chain32) noexcept nogil:
    """Writes the head of a record whose payload is in place; chain32 goes from the previous record's to this one's."""
    gb_st32(record, length)
    gb_st64(record + 8, sequence)
    gb_st32(record + 16, <u32>kind)
    gb_j_chain(chain32, record, record + GB_J_HEAD, length, chain32)
    memcpy(record + 20, chain32, 32)
    gb_st32(record + 4, gb_j_crc(salt16, record, length))


cdef inline bint gb_j_parse(const u8* p, size_t n, const u8* salt16, gb_jrecord* out) noexcept nogil:
    """True if an intact record begins at p; chain and sequence are the caller's to compare."""
    cdef u32 length, kind
    if n < GB_J_HEAD:
        return False
    length = gb_ld32(p)
    kind = gb_ld32(p + 16)      # the three zeros included
    if length > GB_J_PAYLOAD_MAX or length > n - GB_J_HEAD or not gb_j_is_kind(kind):
        return False
    if gb_ld32(p + 4) != gb_j_crc(salt16, p, length):
        return False
    out.sequence = gb_ld64(p + 8)
    out.length = length
    out.kind = <int>kind
    out.chain = p + 20
    out.payload = p + GB_J_HEAD
    return True


cdef inline u8* gb_j_put(u8* out, const u8* p, u32 n) noexcept nogil:
    """A payload part: u16 length and bytes; returns the end."""
    gb_st16(out, n)
    if n:
        memcpy(out + 2, p, n)
    return out + 2 + n


cdef inline bint gb_j_take(gb_span* rest, gb_span* part) noexcept nogil:
    """Takes the next payload part off rest."""
    cdef size_t n
    if rest.n < 2:
        return False
    n = gb_ld16(rest.p)
    if n > rest.n - 2:
        return False
    part[0] = gb_make_span(rest.p + 2, n)
    rest[0] = gb_make_span(rest.p + 2 + n, rest.n - 2 - n)
    return True
