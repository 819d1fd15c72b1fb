"""The canonical wire codec of the flat messages, and the base64 of their metadata.

Follows docs/protocol.md, section 2: fields ascending, each once, minimal varints, no default written, nothing unknown,
identifiers with stated characters and lengths. Encoding judges as strictly as decoding, so what is encoded here always
decodes. CodecError carries the refusal's reason and the field. The readable definition is native._codec_py.
"""

from native._fast import (
    decode_admission,
    decode_base64,
    decode_gate_key,
    decode_receipt,
    decode_refusal,
    decode_request_header,
    decode_response_header,
    decode_signature,
    decode_snapshot_header,
    encode_admission,
    encode_base64,
    encode_gate_key,
    encode_receipt,
    encode_refusal,
    encode_request_header,
    encode_response_header,
    encode_signature,
    encode_snapshot_header,
)
from native.errors import CodecError

__all__ = [
    "CodecError",
    "decode_admission",
    "decode_base64",
    "decode_gate_key",
    "decode_receipt",
    "decode_refusal",
    "decode_request_header",
    "decode_response_header",
    "decode_signature",
    "decode_snapshot_header",
    "encode_admission",
    "encode_base64",
    "encode_gate_key",
    "encode_receipt",
    "encode_refusal",
    "encode_request_header",
    "encode_response_header",
    "encode_signature",
    "encode_snapshot_header",
]
