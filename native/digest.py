"""What is hashed: headers under their type, bodies as the frames that travelled, commitments to them.

Follows docs/protocol.md, section 2. PAE is DSSE's pre-authentication encoding; a frame is gRPC's length-prefixed
message, uncompressed. FrameHasher takes a body in any pieces and refuses what is not whole messages within the limits.
The readable definition is native._digest_py.
"""

from typing import Final

from native._fast import FrameHasher, body_commitment, frame, header_digest, leaf_hash, pae
from native.errors import FrameError

__all__ = [
    "ADMISSION_TYPE",
    "BATCH_TYPE",
    "ENTRY_TYPE",
    "GATEKEY_TYPE",
    "GRANT_TYPE",
    "RECEIPT_TYPE",
    "REQUEST_TYPE",
    "RESPONSE_TYPE",
    "SNAPSHOT_TYPE",
    "FrameError",
    "FrameHasher",
    "body_commitment",
    "frame",
    "header_digest",
    "leaf_hash",
    "pae",
]

REQUEST_TYPE: Final = "govbus/request/v1"
RESPONSE_TYPE: Final = "govbus/response/v1"
ADMISSION_TYPE: Final = "govbus/admission/v1"
RECEIPT_TYPE: Final = "govbus/receipt/v1"
GATEKEY_TYPE: Final = "govbus/gatekey/v1"
GRANT_TYPE: Final = "govbus/grant/v1"
SNAPSHOT_TYPE: Final = "govbus/snapshot/v1"
BATCH_TYPE: Final = "govbus/batch/v1"
ENTRY_TYPE: Final = "govbus/entry/v1"
