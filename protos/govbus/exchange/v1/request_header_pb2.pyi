from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class RequestHeader(_message.Message):
    __slots__ = ("request_id", "client", "provider", "broker", "method", "body_commitment", "issued_at_ms", "not_after_ms", "purpose", "case_id", "grant_id", "official", "on_behalf_of", "official_token_digest", "idempotency_key")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CLIENT_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_FIELD_NUMBER: _ClassVar[int]
    BROKER_FIELD_NUMBER: _ClassVar[int]
    METHOD_FIELD_NUMBER: _ClassVar[int]
    BODY_COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    ISSUED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    NOT_AFTER_MS_FIELD_NUMBER: _ClassVar[int]
    PURPOSE_FIELD_NUMBER: _ClassVar[int]
    CASE_ID_FIELD_NUMBER: _ClassVar[int]
    GRANT_ID_FIELD_NUMBER: _ClassVar[int]
    OFFICIAL_FIELD_NUMBER: _ClassVar[int]
    ON_BEHALF_OF_FIELD_NUMBER: _ClassVar[int]
    OFFICIAL_TOKEN_DIGEST_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    request_id: bytes
    client: str
    provider: str
    broker: str
    method: str
    body_commitment: bytes
    issued_at_ms: int
    not_after_ms: int
    purpose: str
    case_id: str
    grant_id: str
    official: str
    on_behalf_of: str
    official_token_digest: bytes
    idempotency_key: str
    def __init__(self, request_id: _Optional[bytes] = ..., client: _Optional[str] = ..., provider: _Optional[str] = ..., broker: _Optional[str] = ..., method: _Optional[str] = ..., body_commitment: _Optional[bytes] = ..., issued_at_ms: _Optional[int] = ..., not_after_ms: _Optional[int] = ..., purpose: _Optional[str] = ..., case_id: _Optional[str] = ..., grant_id: _Optional[str] = ..., official: _Optional[str] = ..., on_behalf_of: _Optional[str] = ..., official_token_digest: _Optional[bytes] = ..., idempotency_key: _Optional[str] = ...) -> None: ...
