# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
#
# The gate: twelve numbered checks in Envoy's worker threads (docs/protocol.md, section 4).
#
# Rules of this compilation unit
#  1. No Python object, no interpreter: every function is `noexcept nogil`, and the linker drops the rest
#     (tests/architecture asserts that no Python symbol is left undefined).
#  2. Untrusted bytes are read through parsers with an end; lengths are checked before anything is copied.
#  3. Nothing is acknowledged before it is durable; nothing is forwarded before it is permitted.
#  4. No header, body or identifier is ever written to Envoy's log.
#
# Order: the ground, then the trust core shared with native._fast, then Envoy.

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
include "native/core/keycache.pxi"
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
include "native/core/journal_begin.pxi"
include "native/core/journal_ticket.pxi"
include "native/core/journal_group.pxi"
include "native/core/journal_room.pxi"
include "native/core/journal_writer.pxi"
include "native/core/journal_copier.pxi"
include "native/core/journal_reserve.pxi"
include "native/core/journal.pxi"
include "native/core/journal_open.pxi"

include "envoy_abi.pxi"
include "envoy_unused_hooks.pxi"
include "system.pxi"
include "call.pxi"
include "values.pxi"
include "field_names.pxi"
include "key_source.pxi"
include "process.pxi"
include "measures.pxi"
include "policy_swap.pxi"
include "volume.pxi"
include "refuse.pxi"
include "request.pxi"
include "admit.pxi"
include "answer.pxi"
include "hooks.pxi"

cdef public const char *envoy_dynamic_module_on_program_init() noexcept nogil:
    # A process that exits while the journal's thread signs must not have libcrypto taken from under it.
    OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT, NULL)
    return b"v0.2.0"
