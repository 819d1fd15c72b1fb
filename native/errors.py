"""What the native layer refuses, as exceptions.

`reason` is the name of a value of govbus.errors.v1.Reason without its prefix, so that whoever refuses a call can say it
unchanged. Texts name fields and rules, never values: no input is repeated in an error.
"""

__all__ = [
    "CODEC_FAULTS",
    "BatchPathInvalid",
    "CodecError",
    "FrameError",
    "KeyInvalid",
    "MerkleError",
    "NativeError",
    "SignatureInvalid",
]


class NativeError(Exception):
    """Base of all; carries the reason."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class CodecError(NativeError):
    """A message or its metadata encoding is not what the contract allows.

    `fault` is a key of CODEC_FAULTS; `field` names the field, where there is one.
    """

    def __init__(self, fault: str, field: str | None = None) -> None:
        reason, text = CODEC_FAULTS[fault]
        super().__init__(reason, f"{field}: {text}" if field else text)
        self.fault = fault
        self.field = field

    def __reduce__(self) -> tuple[type["CodecError"], tuple[str, str | None]]:
        return CodecError, (self.fault, self.field)


class FrameError(NativeError):
    """A body is not whole, uncompressed gRPC messages within the limits."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, FRAME_TEXTS.get(reason, reason))

    def __reduce__(self) -> tuple[type["FrameError"], tuple[str]]:
        return FrameError, (self.reason,)


class SignatureInvalid(NativeError):
    """A signature does not verify, is out of range, or its s is not low; `indexes` are the failed ones of many."""

    def __init__(self, indexes: tuple[int, ...] = ()) -> None:
        text = "signature does not verify: check that the signed bytes are those that travelled and that s is low"
        super().__init__("SIGNATURE_INVALID", text)
        self.indexes = indexes

    def __reduce__(self) -> tuple[type["SignatureInvalid"], tuple[tuple[int, ...]]]:
        return SignatureInvalid, (self.indexes,)


class BatchPathInvalid(NativeError):
    """Size, index and path of a batch signature do not belong together."""

    def __init__(self) -> None:
        super().__init__("BATCH_PATH_INVALID", "size, index and path do not belong together: give RFC 9162's path")

    def __reduce__(self) -> tuple[type["BatchPathInvalid"], tuple[()]]:
        return BatchPathInvalid, ()


class KeyInvalid(ValueError):
    """Bytes are not an unencrypted P-256 key or an uncompressed point on the curve."""


class MerkleError(ValueError):
    """A proof does not prove what it is for, or has not the form that the sizes require."""


# In the order of GB_E_* in native/core/codec.pxi, from 1.
CODEC_FAULTS = {
    "truncated": ("HEADER_NOT_CANONICAL", "ends too early: send the whole message"),
    "wire_type": ("HEADER_NOT_CANONICAL", "has the wrong wire type: encode with the SDK's codec"),
    "order": ("HEADER_NOT_CANONICAL", "comes twice or out of order: write fields ascending, each once"),
    "overlong": ("HEADER_NOT_CANONICAL", "has a varint that is longer than needed: write it minimally"),
    "default": ("HEADER_NOT_CANONICAL", "is written although it is empty: leave it out"),
    "unknown": ("HEADER_NOT_CANONICAL", "there is a field that the contract does not have: remove it"),
    "length": ("FIELD_INVALID", "has a length that the contract does not allow: correct it"),
    "range": ("FIELD_INVALID", "is out of range: correct it"),
    "charset": ("FIELD_INVALID", "has characters that are not allowed: correct it"),
    "required": ("FIELD_INVALID", "is missing: fill it"),
    "not_supported": ("FIELD_NOT_SUPPORTED", "is reserved for a later version: leave it empty"),
    "personal": ("IDENTIFIER_PERSONAL", "is shaped like a national number: use one that names no person"),
    "space": ("METADATA_TOO_LARGE", "the message is beyond its limit: shorten it"),
    "base64": ("METADATA_ENCODING_INVALID", "is not base64: encode as gRPC does, with or without padding"),
}

FRAME_TEXTS = {
    "BODY_TOO_LARGE": "a message or the body is beyond its limit: send smaller messages",
    "COMPRESSION_NOT_SUPPORTED": "a message is compressed: switch compression off on the channel",
    "FRAME_INVALID": "the body is not whole length-prefixed messages: use a gRPC client",
    "MESSAGE_COUNT_INVALID": "there are more messages than the method has: send exactly one",
}
