from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Admission(_message.Message):
    __slots__ = ("entry_salt", "broker", "sequence", "intent_time_ms", "snapshot_version", "request_digest", "request_signature_digest")
    ENTRY_SALT_FIELD_NUMBER: _ClassVar[int]
    BROKER_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    INTENT_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    REQUEST_SIGNATURE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    entry_salt: bytes
    broker: str
    sequence: int
    intent_time_ms: int
    snapshot_version: int
    request_digest: bytes
    request_signature_digest: bytes
    def __init__(self, entry_salt: _Optional[bytes] = ..., broker: _Optional[str] = ..., sequence: _Optional[int] = ..., intent_time_ms: _Optional[int] = ..., snapshot_version: _Optional[int] = ..., request_digest: _Optional[bytes] = ..., request_signature_digest: _Optional[bytes] = ...) -> None: ...
