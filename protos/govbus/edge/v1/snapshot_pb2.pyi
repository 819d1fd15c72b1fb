from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class SnapshotHeader(_message.Message):
    __slots__ = ("trust_domain", "version", "log_position", "created_at_ms", "alarm_after_ms", "refuse_after_ms", "scope", "tables_digest", "tables_size")
    TRUST_DOMAIN_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    LOG_POSITION_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    ALARM_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    REFUSE_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    SCOPE_FIELD_NUMBER: _ClassVar[int]
    TABLES_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TABLES_SIZE_FIELD_NUMBER: _ClassVar[int]
    trust_domain: str
    version: int
    log_position: int
    created_at_ms: int
    alarm_after_ms: int
    refuse_after_ms: int
    scope: str
    tables_digest: bytes
    tables_size: int
    def __init__(self, trust_domain: _Optional[str] = ..., version: _Optional[int] = ..., log_position: _Optional[int] = ..., created_at_ms: _Optional[int] = ..., alarm_after_ms: _Optional[int] = ..., refuse_after_ms: _Optional[int] = ..., scope: _Optional[str] = ..., tables_digest: _Optional[bytes] = ..., tables_size: _Optional[int] = ...) -> None: ...
