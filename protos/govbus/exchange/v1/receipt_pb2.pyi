from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_DONE: _ClassVar[Outcome]
    OUTCOME_FAILED: _ClassVar[Outcome]
    OUTCOME_CANCELLED: _ClassVar[Outcome]
    OUTCOME_UNKNOWN: _ClassVar[Outcome]
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_DONE: Outcome
OUTCOME_FAILED: Outcome
OUTCOME_CANCELLED: Outcome
OUTCOME_UNKNOWN: Outcome

class Receipt(_message.Message):
    __slots__ = ("entry_salt", "broker", "intent_sequence", "outcome_sequence", "intent_time_ms", "outcome_time_ms", "snapshot_version", "request_digest", "response_digest", "response_signature_digest", "outcome", "reason", "messages_released", "bytes_released", "released_commitment", "merge_deadline_ms")
    ENTRY_SALT_FIELD_NUMBER: _ClassVar[int]
    BROKER_FIELD_NUMBER: _ClassVar[int]
    INTENT_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    INTENT_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_TIME_MS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_VERSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_DIGEST_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    RESPONSE_SIGNATURE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGES_RELEASED_FIELD_NUMBER: _ClassVar[int]
    BYTES_RELEASED_FIELD_NUMBER: _ClassVar[int]
    RELEASED_COMMITMENT_FIELD_NUMBER: _ClassVar[int]
    MERGE_DEADLINE_MS_FIELD_NUMBER: _ClassVar[int]
    entry_salt: bytes
    broker: str
    intent_sequence: int
    outcome_sequence: int
    intent_time_ms: int
    outcome_time_ms: int
    snapshot_version: int
    request_digest: bytes
    response_digest: bytes
    response_signature_digest: bytes
    outcome: Outcome
    reason: int
    messages_released: int
    bytes_released: int
    released_commitment: bytes
    merge_deadline_ms: int
    def __init__(self, entry_salt: _Optional[bytes] = ..., broker: _Optional[str] = ..., intent_sequence: _Optional[int] = ..., outcome_sequence: _Optional[int] = ..., intent_time_ms: _Optional[int] = ..., outcome_time_ms: _Optional[int] = ..., snapshot_version: _Optional[int] = ..., request_digest: _Optional[bytes] = ..., response_digest: _Optional[bytes] = ..., response_signature_digest: _Optional[bytes] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., reason: _Optional[int] = ..., messages_released: _Optional[int] = ..., bytes_released: _Optional[int] = ..., released_commitment: _Optional[bytes] = ..., merge_deadline_ms: _Optional[int] = ...) -> None: ...
