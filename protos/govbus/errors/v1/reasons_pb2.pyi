from google.protobuf import descriptor_pb2 as _descriptor_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class ProviderCalled(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    PROVIDER_CALLED_UNSPECIFIED: _ClassVar[ProviderCalled]
    PROVIDER_CALLED_NO: _ClassVar[ProviderCalled]
    PROVIDER_CALLED_MAYBE: _ClassVar[ProviderCalled]
    PROVIDER_CALLED_YES: _ClassVar[ProviderCalled]

class Reason(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REASON_UNSPECIFIED: _ClassVar[Reason]
    REASON_CERTIFICATE_NOT_LIVE: _ClassVar[Reason]
    REASON_CERTIFICATE_EXPIRED: _ClassVar[Reason]
    REASON_SUBSYSTEM_SUSPENDED: _ClassVar[Reason]
    REASON_METADATA_MISSING: _ClassVar[Reason]
    REASON_METADATA_DUPLICATED: _ClassVar[Reason]
    REASON_METADATA_UNKNOWN: _ClassVar[Reason]
    REASON_METADATA_TOO_LARGE: _ClassVar[Reason]
    REASON_METADATA_ENCODING_INVALID: _ClassVar[Reason]
    REASON_HEADER_NOT_CANONICAL: _ClassVar[Reason]
    REASON_FIELD_INVALID: _ClassVar[Reason]
    REASON_FIELD_NOT_SUPPORTED: _ClassVar[Reason]
    REASON_IDENTIFIER_PERSONAL: _ClassVar[Reason]
    REASON_STREAM_NOT_SUPPORTED: _ClassVar[Reason]
    REASON_COMPRESSION_NOT_SUPPORTED: _ClassVar[Reason]
    REASON_PROTOCOL_INVALID: _ClassVar[Reason]
    REASON_CLIENT_MISMATCH: _ClassVar[Reason]
    REASON_WRONG_BROKER: _ClassVar[Reason]
    REASON_METHOD_MISMATCH: _ClassVar[Reason]
    REASON_REQUEST_NOT_FRESH: _ClassVar[Reason]
    REASON_LIFETIME_INVALID: _ClassVar[Reason]
    REASON_CLOCK_UNTRUSTED: _ClassVar[Reason]
    REASON_POLICY_STALE: _ClassVar[Reason]
    REASON_KEY_UNKNOWN: _ClassVar[Reason]
    REASON_KEY_NOT_OF_CLIENT: _ClassVar[Reason]
    REASON_KEY_NOT_VALID: _ClassVar[Reason]
    REASON_BATCH_PATH_INVALID: _ClassVar[Reason]
    REASON_SIGNATURE_INVALID: _ClassVar[Reason]
    REASON_REPLAYED: _ClassVar[Reason]
    REASON_OVERLOADED: _ClassVar[Reason]
    REASON_NO_GRANT: _ClassVar[Reason]
    REASON_RATE_LIMITED: _ClassVar[Reason]
    REASON_QUOTA_EXCEEDED: _ClassVar[Reason]
    REASON_VERIFICATION_BUDGET: _ClassVar[Reason]
    REASON_BODY_TOO_LARGE: _ClassVar[Reason]
    REASON_FRAME_INVALID: _ClassVar[Reason]
    REASON_MESSAGE_COUNT_INVALID: _ClassVar[Reason]
    REASON_BODY_COMMITMENT_MISMATCH: _ClassVar[Reason]
    REASON_JOURNAL_UNAVAILABLE: _ClassVar[Reason]
    REASON_DRAINING: _ClassVar[Reason]
    REASON_PROVIDER_UNREACHABLE: _ClassVar[Reason]
    REASON_PROVIDER_LOST: _ClassVar[Reason]
    REASON_PROVIDER_UNSIGNED: _ClassVar[Reason]
    REASON_RESPONSE_MISMATCH: _ClassVar[Reason]
    REASON_RESPONSE_SIGNATURE_INVALID: _ClassVar[Reason]
    REASON_RESPONSE_TOO_LARGE: _ClassVar[Reason]
    REASON_DEADLINE: _ClassVar[Reason]
    REASON_OUTCOME_UNRECORDED: _ClassVar[Reason]
    REASON_ADMISSION_INVALID: _ClassVar[Reason]
    REASON_PEER_NOT_BROKER: _ClassVar[Reason]
    REASON_GRANT_NOT_ACCEPTED: _ClassVar[Reason]
    REASON_MESSAGE_INVALID: _ClassVar[Reason]
    REASON_IDEMPOTENCY_CONFLICT: _ClassVar[Reason]
    REASON_IDEMPOTENCY_RUNNING: _ClassVar[Reason]
    REASON_PROVIDER_INTERNAL: _ClassVar[Reason]
    REASON_RESPONSE_UNVERIFIED: _ClassVar[Reason]
    REASON_RECEIPT_INVALID: _ClassVar[Reason]
    REASON_STREAM_NOT_SEALED: _ClassVar[Reason]
    REASON_REFUSAL_UNREADABLE: _ClassVar[Reason]
    REASON_BROKER_UNREACHABLE: _ClassVar[Reason]
PROVIDER_CALLED_UNSPECIFIED: ProviderCalled
PROVIDER_CALLED_NO: ProviderCalled
PROVIDER_CALLED_MAYBE: ProviderCalled
PROVIDER_CALLED_YES: ProviderCalled
REASON_UNSPECIFIED: Reason
REASON_CERTIFICATE_NOT_LIVE: Reason
REASON_CERTIFICATE_EXPIRED: Reason
REASON_SUBSYSTEM_SUSPENDED: Reason
REASON_METADATA_MISSING: Reason
REASON_METADATA_DUPLICATED: Reason
REASON_METADATA_UNKNOWN: Reason
REASON_METADATA_TOO_LARGE: Reason
REASON_METADATA_ENCODING_INVALID: Reason
REASON_HEADER_NOT_CANONICAL: Reason
REASON_FIELD_INVALID: Reason
REASON_FIELD_NOT_SUPPORTED: Reason
REASON_IDENTIFIER_PERSONAL: Reason
REASON_STREAM_NOT_SUPPORTED: Reason
REASON_COMPRESSION_NOT_SUPPORTED: Reason
REASON_PROTOCOL_INVALID: Reason
REASON_CLIENT_MISMATCH: Reason
REASON_WRONG_BROKER: Reason
REASON_METHOD_MISMATCH: Reason
REASON_REQUEST_NOT_FRESH: Reason
REASON_LIFETIME_INVALID: Reason
REASON_CLOCK_UNTRUSTED: Reason
REASON_POLICY_STALE: Reason
REASON_KEY_UNKNOWN: Reason
REASON_KEY_NOT_OF_CLIENT: Reason
REASON_KEY_NOT_VALID: Reason
REASON_BATCH_PATH_INVALID: Reason
REASON_SIGNATURE_INVALID: Reason
REASON_REPLAYED: Reason
REASON_OVERLOADED: Reason
REASON_NO_GRANT: Reason
REASON_RATE_LIMITED: Reason
REASON_QUOTA_EXCEEDED: Reason
REASON_VERIFICATION_BUDGET: Reason
REASON_BODY_TOO_LARGE: Reason
REASON_FRAME_INVALID: Reason
REASON_MESSAGE_COUNT_INVALID: Reason
REASON_BODY_COMMITMENT_MISMATCH: Reason
REASON_JOURNAL_UNAVAILABLE: Reason
REASON_DRAINING: Reason
REASON_PROVIDER_UNREACHABLE: Reason
REASON_PROVIDER_LOST: Reason
REASON_PROVIDER_UNSIGNED: Reason
REASON_RESPONSE_MISMATCH: Reason
REASON_RESPONSE_SIGNATURE_INVALID: Reason
REASON_RESPONSE_TOO_LARGE: Reason
REASON_DEADLINE: Reason
REASON_OUTCOME_UNRECORDED: Reason
REASON_ADMISSION_INVALID: Reason
REASON_PEER_NOT_BROKER: Reason
REASON_GRANT_NOT_ACCEPTED: Reason
REASON_MESSAGE_INVALID: Reason
REASON_IDEMPOTENCY_CONFLICT: Reason
REASON_IDEMPOTENCY_RUNNING: Reason
REASON_PROVIDER_INTERNAL: Reason
REASON_RESPONSE_UNVERIFIED: Reason
REASON_RECEIPT_INVALID: Reason
REASON_STREAM_NOT_SEALED: Reason
REASON_REFUSAL_UNREADABLE: Reason
REASON_BROKER_UNREACHABLE: Reason
REASON_INFO_FIELD_NUMBER: _ClassVar[int]
reason_info: _descriptor.FieldDescriptor

class ReasonInfo(_message.Message):
    __slots__ = ("grpc_code", "provider_called", "check", "when", "remedy", "metadata_keys")
    GRPC_CODE_FIELD_NUMBER: _ClassVar[int]
    PROVIDER_CALLED_FIELD_NUMBER: _ClassVar[int]
    CHECK_FIELD_NUMBER: _ClassVar[int]
    WHEN_FIELD_NUMBER: _ClassVar[int]
    REMEDY_FIELD_NUMBER: _ClassVar[int]
    METADATA_KEYS_FIELD_NUMBER: _ClassVar[int]
    grpc_code: int
    provider_called: ProviderCalled
    check: int
    when: str
    remedy: str
    metadata_keys: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, grpc_code: _Optional[int] = ..., provider_called: _Optional[_Union[ProviderCalled, str]] = ..., check: _Optional[int] = ..., when: _Optional[str] = ..., remedy: _Optional[str] = ..., metadata_keys: _Optional[_Iterable[str]] = ...) -> None: ...
