"""Batch signatures, the only form of signature on the bus: one ECDSA signature over the root of up to 1,024 headers.

Each header keeps a Signature of its own with its path, so that it is provable alone. A verifier may remember successes
(SignatureCache), never failures, and never that a key is valid: that is judged anew each time, before verify_batch.
Follows docs/protocol.md, section 2. The readable definition is native._batch_py.
"""

from native._fast import Batch, SignatureCache, sign_batch, verify_batch
from native.errors import BatchPathInvalid, SignatureInvalid

__all__ = ["Batch", "BatchPathInvalid", "SignatureCache", "SignatureInvalid", "sign_batch", "verify_batch"]
