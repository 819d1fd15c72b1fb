# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
#
# Fuzz targets over the trust core, in a program of their own: a sanitizer cannot live inside Envoy, whose allocator is
# its own. The C is what Cython makes of the same native/core/*.pxi that the gate and native._fast are made of.
#
#  1. A target takes one input of any bytes, and keeps nothing but keys and caches from one input to the next.
#  2. It never answers: it ends the process when a promise is broken (expect), the sanitizer when memory is misused.
#  3. What a parser reads lies in a block of exactly its size, so that one byte too many is seen.
#  4. Where a definition is short it is written a second time here (reference), and both must agree.
#
# Each entry point is named in driver.h; native/fuzz/fuzz.py builds and runs.

include "native/core/base.pxi"
include "native/core/sync.pxi"
include "native/core/sha256.pxi"
include "native/core/frames.pxi"
include "native/core/base64.pxi"
include "native/core/codec_tables.pxi"
include "native/core/codec_text.pxi"
include "native/core/codec.pxi"
include "native/core/reasons.pxi"
include "native/core/codec_reason.pxi"
include "native/core/ecdsa.pxi"
include "native/core/merkle.pxi"
include "native/core/sigcache.pxi"
include "native/core/batch.pxi"
include "native/core/siphash.pxi"
include "native/core/policy_layout.pxi"
include "native/core/policy_check.pxi"
include "native/core/policy.pxi"
include "native/core/snapshot.pxi"
include "native/core/replay.pxi"
include "native/core/quota.pxi"
include "native/core/crc32c.pxi"
include "native/core/journal_format.pxi"
include "native/core/journal_files.pxi"
include "native/core/journal_counters.pxi"
include "native/core/journal_tail.pxi"
include "native/core/journal_recover.pxi"

include "native/gate/envoy_abi.pxi"
include "native/gate/values.pxi"

include "native/fuzz/input.pxi"
include "native/fuzz/wire.pxi"
include "native/fuzz/trust.pxi"
include "native/fuzz/tables.pxi"
include "native/fuzz/files.pxi"
include "native/fuzz/journal.pxi"
include "native/fuzz/replay.pxi"


cdef public void fuzz_codec(const u8* p, size_t n) noexcept nogil:
    codec(p, n)

cdef public void fuzz_base64(const u8* p, size_t n) noexcept nogil:
    base64_text(p, n)
    base64_bytes(p, n)

cdef public void fuzz_frames(const u8* p, size_t n) noexcept nogil:
    frames(p, n)

cdef public void fuzz_values(const u8* p, size_t n) noexcept nogil:
    values(p, n)

cdef public void fuzz_merkle(const u8* p, size_t n) noexcept nogil:
    merkle(p, n)

cdef public void fuzz_batch(const u8* p, size_t n) noexcept nogil:
    batch(p, n)

cdef public void fuzz_policy(const u8* p, size_t n) noexcept nogil:
    policy(p, n)

cdef public void fuzz_snapshot(const u8* p, size_t n) noexcept nogil:
    snapshot(p, n)

cdef public void fuzz_journal(const u8* p, size_t n) noexcept nogil:
    journal(p, n)

cdef public void fuzz_replay(const u8* p, size_t n) noexcept nogil:
    replay(p, n)
