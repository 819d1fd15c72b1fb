"""One exception class for every reason, to be caught by name.

Whether the bus or the provider said it is the other half: the class that is raised also derives from `Refused` or from
`ProviderError` (see `errors`). The texts are the contract's; a test ties each class to its reason and back.
What is used up and comes back says when: `retry_after`.
"""

from typing import ClassVar

from bus.exchange.errors import CallError
from bus.exchange.meanings import parse_retry_after
from bus.exchange.reasons import Reason

__all__ = [
    "AdmissionInvalid",
    "BatchPathInvalid",
    "BodyCommitmentMismatch",
    "BodyTooLarge",
    "BrokerUnreachable",
    "CertificateExpired",
    "CertificateNotLive",
    "ChangeRefused",
    "ClientMismatch",
    "ClockUntrusted",
    "CompressionNotSupported",
    "ContractBreaking",
    "CsrInvalid",
    "CsrMismatch",
    "Deadline",
    "Draining",
    "EnrolmentRefused",
    "EntryUnknown",
    "FieldInvalid",
    "FieldNotSupported",
    "FrameInvalid",
    "GrantNotAccepted",
    "HeaderNotCanonical",
    "IdempotencyConflict",
    "IdempotencyRunning",
    "IdentifierPersonal",
    "InstanceMismatch",
    "JournalUnavailable",
    "KeyKnown",
    "KeyNotOfClient",
    "KeyNotValid",
    "KeyUnknown",
    "KeyValidity",
    "KeyWeak",
    "LifetimeInvalid",
    "MessageCountInvalid",
    "MessageInvalid",
    "MetadataDuplicated",
    "MetadataEncodingInvalid",
    "MetadataMissing",
    "MetadataTooLarge",
    "MetadataUnknown",
    "MethodMismatch",
    "NoGrant",
    "OutcomeUnrecorded",
    "Overloaded",
    "PeerNotBroker",
    "PolicyStale",
    "PossessionUnproven",
    "ProtocolInvalid",
    "ProviderInternal",
    "ProviderLost",
    "ProviderUnreachable",
    "ProviderUnsigned",
    "QuotaExceeded",
    "RateLimited",
    "ReceiptInvalid",
    "RefusalUnreadable",
    "RegistryUnavailable",
    "Replayed",
    "RequestNotFresh",
    "ResponseMismatch",
    "ResponseSignatureInvalid",
    "ResponseTooLarge",
    "ResponseUnverified",
    "RotationRunning",
    "SignatureInvalid",
    "StreamNotSealed",
    "StreamNotSupported",
    "SubsystemSuspended",
    "TokenExpired",
    "TokenUnknown",
    "TokenUsed",
    "VerificationBudget",
    "WrongBroker",
]


class CertificateNotLive(CallError):
    """The peer's TLS certificate is not in the policy snapshot: never issued here, revoked, or superseded."""

    REASON: ClassVar[Reason] = Reason.CERTIFICATE_NOT_LIVE


class CertificateExpired(CallError):
    """The peer's TLS certificate is past its end."""

    REASON: ClassVar[Reason] = Reason.CERTIFICATE_EXPIRED


class SubsystemSuspended(CallError):
    """The peer's subsystem, or the one it acts for, is suspended."""

    REASON: ClassVar[Reason] = Reason.SUBSYSTEM_SUSPENDED


class MetadataMissing(CallError):
    """A required govbus metadata key is absent."""

    REASON: ClassVar[Reason] = Reason.METADATA_MISSING


class MetadataDuplicated(CallError):
    """A govbus metadata key is present more than once."""

    REASON: ClassVar[Reason] = Reason.METADATA_DUPLICATED


class MetadataUnknown(CallError):
    """A govbus metadata key that clients do not send is present."""

    REASON: ClassVar[Reason] = Reason.METADATA_UNKNOWN


class MetadataTooLarge(CallError):
    """A govbus metadata value is beyond its limit."""

    REASON: ClassVar[Reason] = Reason.METADATA_TOO_LARGE


class MetadataEncodingInvalid(CallError):
    """A -bin value is not base64, or a salt is not 32 bytes."""

    REASON: ClassVar[Reason] = Reason.METADATA_ENCODING_INVALID


class HeaderNotCanonical(CallError):
    """A header or signature is truncated, has unknown, repeated or unordered fields, default values or overlong
    varints.
    """

    REASON: ClassVar[Reason] = Reason.HEADER_NOT_CANONICAL


class FieldInvalid(CallError):
    """A header field is missing, of the wrong length, or has characters that are not allowed."""

    REASON: ClassVar[Reason] = Reason.FIELD_INVALID


class FieldNotSupported(CallError):
    """A field reserved for a later version is filled."""

    REASON: ClassVar[Reason] = Reason.FIELD_NOT_SUPPORTED


class IdentifierPersonal(CallError):
    """Case id, official or idempotency key is shaped like a national number."""

    REASON: ClassVar[Reason] = Reason.IDENTIFIER_PERSONAL


class StreamNotSupported(CallError):
    """The method streams from the client."""

    REASON: ClassVar[Reason] = Reason.STREAM_NOT_SUPPORTED


class CompressionNotSupported(CallError):
    """A message or the call is compressed."""

    REASON: ClassVar[Reason] = Reason.COMPRESSION_NOT_SUPPORTED


class ProtocolInvalid(CallError):
    """Not a gRPC call: method is not POST or content-type is not application/grpc."""

    REASON: ClassVar[Reason] = Reason.PROTOCOL_INVALID


class ClientMismatch(CallError):
    """The header's client is neither the connected peer nor one that the peer is an agent for."""

    REASON: ClassVar[Reason] = Reason.CLIENT_MISMATCH


class WrongBroker(CallError):
    """The header names another broker instance."""

    REASON: ClassVar[Reason] = Reason.WRONG_BROKER


class MethodMismatch(CallError):
    """The header's method differs from the path."""

    REASON: ClassVar[Reason] = Reason.METHOD_MISMATCH


class RequestNotFresh(CallError):
    """issued-at is more than 30 s away from the broker's clock."""

    REASON: ClassVar[Reason] = Reason.REQUEST_NOT_FRESH


class LifetimeInvalid(CallError):
    """not-after is not later than issued-at, is past, or exceeds the method's maximum."""

    REASON: ClassVar[Reason] = Reason.LIFETIME_INVALID


class ClockUntrusted(CallError):
    """The broker does not trust its own clock."""

    REASON: ClassVar[Reason] = Reason.CLOCK_UNTRUSTED


class PolicyStale(CallError):
    """The broker's policy snapshot is older than it may be."""

    REASON: ClassVar[Reason] = Reason.POLICY_STALE


class KeyUnknown(CallError):
    """The signing key is not registered."""

    REASON: ClassVar[Reason] = Reason.KEY_UNKNOWN


class KeyNotOfClient(CallError):
    """The signing key belongs to another subsystem."""

    REASON: ClassVar[Reason] = Reason.KEY_NOT_OF_CLIENT


class KeyNotValid(CallError):
    """The signing key's validity has not begun, is over, or was revoked."""

    REASON: ClassVar[Reason] = Reason.KEY_NOT_VALID


class BatchPathInvalid(CallError):
    """Size, index and path length of the batch signature do not belong together."""

    REASON: ClassVar[Reason] = Reason.BATCH_PATH_INVALID


class SignatureInvalid(CallError):
    """The signature does not verify, or s is not low."""

    REASON: ClassVar[Reason] = Reason.SIGNATURE_INVALID


class Replayed(CallError):
    """This client has used this request id within 90 s."""

    REASON: ClassVar[Reason] = Reason.REPLAYED


class Overloaded(CallError):
    """The broker cannot remember or record more requests now."""

    REASON: ClassVar[Reason] = Reason.OVERLOADED


class NoGrant(CallError):
    """No grant permits this client, provider, method and purpose now; an unknown service answers the same."""

    REASON: ClassVar[Reason] = Reason.NO_GRANT


class _UsedUp(CallError):
    """Something that comes back is used up; never raised as such, it is what the three below share."""

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait before asking again may help, at most a day; None where nobody said, or nothing credible."""
        return parse_retry_after(self.failure.status_details)


class RateLimited(_UsedUp):
    """The rate of the grant or of the peer (limit: grant, peer) is used up; RetryInfo says for how long."""

    REASON: ClassVar[Reason] = Reason.RATE_LIMITED


class QuotaExceeded(_UsedUp):
    """The day's calls or bytes (limit: calls, bytes) of the grant are used up; RetryInfo leads to the next UTC day."""

    REASON: ClassVar[Reason] = Reason.QUOTA_EXCEEDED


class VerificationBudget(_UsedUp):
    """The peer's budget of signature verifications is used up; refused ones count tenfold; RetryInfo says for how
    long.
    """

    REASON: ClassVar[Reason] = Reason.VERIFICATION_BUDGET


class BodyTooLarge(CallError):
    """The request is beyond 4 MiB."""

    REASON: ClassVar[Reason] = Reason.BODY_TOO_LARGE


class FrameInvalid(CallError):
    """The body is not whole length-prefixed messages."""

    REASON: ClassVar[Reason] = Reason.FRAME_INVALID


class MessageCountInvalid(CallError):
    """A request has not exactly one message."""

    REASON: ClassVar[Reason] = Reason.MESSAGE_COUNT_INVALID


class BodyCommitmentMismatch(CallError):
    """The body and salt do not give the signed commitment: altered on the way or signed wrongly."""

    REASON: ClassVar[Reason] = Reason.BODY_COMMITMENT_MISMATCH


class JournalUnavailable(CallError):
    """The broker cannot write its journal, so it admits nothing."""

    REASON: ClassVar[Reason] = Reason.JOURNAL_UNAVAILABLE


class Draining(CallError):
    """The broker or provider is shutting down."""

    REASON: ClassVar[Reason] = Reason.DRAINING


class ProviderUnreachable(CallError):
    """No connection to the provider could be made."""

    REASON: ClassVar[Reason] = Reason.PROVIDER_UNREACHABLE


class ProviderLost(CallError):
    """The provider's connection or stream broke after the request was sent."""

    REASON: ClassVar[Reason] = Reason.PROVIDER_LOST


class ProviderUnsigned(CallError):
    """The provider's answer has no response header, signature or salt, or they are malformed."""

    REASON: ClassVar[Reason] = Reason.PROVIDER_UNSIGNED


class ResponseMismatch(CallError):
    """The provider's answer names another request or provider, or differs from its commitment."""

    REASON: ClassVar[Reason] = Reason.RESPONSE_MISMATCH


class ResponseSignatureInvalid(CallError):
    """The provider's signature does not verify, or its key is not valid now."""

    REASON: ClassVar[Reason] = Reason.RESPONSE_SIGNATURE_INVALID


class ResponseTooLarge(CallError):
    """A message of the answer is beyond 4 MiB."""

    REASON: ClassVar[Reason] = Reason.RESPONSE_TOO_LARGE


class Deadline(CallError):
    """The deadline passed before the provider's answer was complete."""

    REASON: ClassVar[Reason] = Reason.DEADLINE


class OutcomeUnrecorded(CallError):
    """The provider was called, but the outcome could not be made durable, so the answer is withheld."""

    REASON: ClassVar[Reason] = Reason.OUTCOME_UNRECORDED


class AdmissionInvalid(CallError):
    """The call carries no valid admission of the broker that delivered it."""

    REASON: ClassVar[Reason] = Reason.ADMISSION_INVALID


class PeerNotBroker(CallError):
    """The connection is neither a broker's nor the own member's agent's."""

    REASON: ClassVar[Reason] = Reason.PEER_NOT_BROKER


class GrantNotAccepted(CallError):
    """The provider has not opted in to grants made by the operator alone."""

    REASON: ClassVar[Reason] = Reason.GRANT_NOT_ACCEPTED


class MessageInvalid(CallError):
    """The message does not parse or breaks a rule of its contract."""

    REASON: ClassVar[Reason] = Reason.MESSAGE_INVALID


class IdempotencyConflict(CallError):
    """The idempotency key was used for another request body."""

    REASON: ClassVar[Reason] = Reason.IDEMPOTENCY_CONFLICT


class IdempotencyRunning(CallError):
    """The first request with this idempotency key is still running."""

    REASON: ClassVar[Reason] = Reason.IDEMPOTENCY_RUNNING


class ProviderInternal(CallError):
    """The provider's service failed; the text says nothing by design."""

    REASON: ClassVar[Reason] = Reason.PROVIDER_INTERNAL


class ResponseUnverified(CallError):
    """An answer arrived whose provider signature, binding or commitment does not verify at the client."""

    REASON: ClassVar[Reason] = Reason.RESPONSE_UNVERIFIED


class ReceiptInvalid(CallError):
    """The receipt or gate key is missing, does not verify or names another call."""

    REASON: ClassVar[Reason] = Reason.RECEIPT_INVALID


class StreamNotSealed(CallError):
    """A stream ended without a valid seal; what came before is provisional."""

    REASON: ClassVar[Reason] = Reason.STREAM_NOT_SEALED


class RefusalUnreadable(CallError):
    """An error arrived that is neither a signed answer nor a refusal of the bus, for example from a connection that
    broke.
    """

    REASON: ClassVar[Reason] = Reason.REFUSAL_UNREADABLE


class BrokerUnreachable(CallError):
    """No listed broker could be reached, so nothing was sent."""

    REASON: ClassVar[Reason] = Reason.BROKER_UNREACHABLE


class TokenUnknown(CallError):
    """The enrolment token is not one of this instance."""

    REASON: ClassVar[Reason] = Reason.TOKEN_UNKNOWN


class TokenUsed(CallError):
    """The enrolment token was used already."""

    REASON: ClassVar[Reason] = Reason.TOKEN_USED


class TokenExpired(CallError):
    """The enrolment token is past its end."""

    REASON: ClassVar[Reason] = Reason.TOKEN_EXPIRED


class CsrMismatch(CallError):
    """The CSR asks for another subsystem than the one that may ask here."""

    REASON: ClassVar[Reason] = Reason.CSR_MISMATCH


class CsrInvalid(CallError):
    """The CSR is not one DER PKCS#10 request of the profile, signed by its own key."""

    REASON: ClassVar[Reason] = Reason.CSR_INVALID


class KeyWeak(CallError):
    """A key is not a P-256 key in its one encoding, or anybody can guess it."""

    REASON: ClassVar[Reason] = Reason.KEY_WEAK


class KeyKnown(CallError):
    """A key is known already, and a key is registered once."""

    REASON: ClassVar[Reason] = Reason.KEY_KNOWN


class PossessionUnproven(CallError):
    """The signature over subsystem, key and validity is not by the signing key itself."""

    REASON: ClassVar[Reason] = Reason.POSSESSION_UNPROVEN


class KeyValidity(CallError):
    """The signing key's validity is over, empty or too long."""

    REASON: ClassVar[Reason] = Reason.KEY_VALIDITY


class EnrolmentRefused(CallError):
    """The registry does not take this: the subsystem was revoked, or the issuing CA was."""

    REASON: ClassVar[Reason] = Reason.ENROLMENT_REFUSED


class RegistryUnavailable(CallError):
    """The registry's database does not answer; nothing was issued or recorded."""

    REASON: ClassVar[Reason] = Reason.REGISTRY_UNAVAILABLE


class InstanceMismatch(CallError):
    """The other side is not of the instance whose root is pinned."""

    REASON: ClassVar[Reason] = Reason.INSTANCE_MISMATCH


class ChangeRefused(CallError):
    """The registry refuses the change by the rule that the metadata names."""

    REASON: ClassVar[Reason] = Reason.CHANGE_REFUSED


class EntryUnknown(CallError):
    """The registry has no entry of this name."""

    REASON: ClassVar[Reason] = Reason.ENTRY_UNKNOWN


class RotationRunning(CallError):
    """A signing key of the caller was registered less than an hour ago beside another one: one rotation at a time."""

    REASON: ClassVar[Reason] = Reason.ROTATION_RUNNING


class ContractBreaking(CallError):
    """The contract would break who relies on what is registered."""

    REASON: ClassVar[Reason] = Reason.CONTRACT_BREAKING
