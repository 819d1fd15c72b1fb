from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class ResponseHeader(_message.Message):
    __slots__ = ("request_digest", "provider", "body_commitment", "message_count", "grpc_status", "grpc_message_digest", "details_digest", "time_ms", "subject_handles", "subject_count")
    REQUEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    BODY_COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_COUNT_FIELD_NUMBER: _ClassVar[int]
    GRPC_STATUS_FIELD_NUMBER: _ClassVar[int]
    GRPC_MESSAGE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DETAILS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TIME_MS_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_HANDLES_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_COUNT_FIELD_NUMBER: _ClassVar[int]
    request_digest: bytes
    provider: str
    body_commitment: bytes
    message_count: int
    grpc_status: int
    grpc_message_digest: bytes
    details_digest: bytes
    time_ms: int
    subject_handles: bytes
    subject_count: int
    def __init__(self, request_digest: _Optional[bytes] = ..., provider: _Optional[str] = ..., body_commitment: _Optional[bytes] = ..., message_count: _Optional[int] = ..., grpc_status: _Optional[int] = ..., grpc_message_digest: _Optional[bytes] = ..., details_digest: _Optional[bytes] = ..., time_ms: _Optional[int] = ..., subject_handles: _Optional[bytes] = ..., subject_count: _Optional[int] = ...) -> None: ...
