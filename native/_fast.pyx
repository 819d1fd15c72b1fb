# cython: language_level=3, cdivision=True, boundscheck=False, wraparound=False
"""The compiled half of native: the same nogil core as the Envoy gate, with Python's side over it.

A list of includes: native/core/NAME.pxi is the core, native/core/api_NAME.pxi what Python sees of it. The public names
are those of native's modules (codec, digest, ecdsa, merkle, batch, policy, ...); nobody else imports this one.
"""

include "core/base.pxi"
include "core/sync.pxi"
include "core/sha256.pxi"
include "core/frames.pxi"
include "core/base64.pxi"
include "core/codec_tables.pxi"
include "core/codec_text.pxi"
include "core/codec.pxi"
include "core/reasons.pxi"
include "core/codec_reason.pxi"
include "core/ecdsa.pxi"
include "core/merkle.pxi"
include "core/sigcache.pxi"
include "core/batch.pxi"

include "core/api_codec.pxi"
include "core/api_digest.pxi"
include "core/api_ecdsa.pxi"
include "core/api_merkle.pxi"
include "core/api_batch.pxi"
