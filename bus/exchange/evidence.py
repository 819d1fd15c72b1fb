"""Everything that proves one call, as it travelled, for whoever asked to keep it (`using(on_evidence=...)`).

The client holds the receipt, the provider the admission; both were signed by the same gate key. Bodies and salts are
here so that the caller may keep them: without them commitments reveal nothing, and without them nothing is lost but the
proof of content. All fields are the bytes of the wire; empty where nothing came.

What proves a call is a policy no older than the one that judged it, whose version the receipt names. The part that this
home has may be older, since it is made when it changes, and hourly; `snapshot_as_of` gives one that is not.
"""

from dataclasses import dataclass

__all__ = ["CallEvidence"]


@dataclass(frozen=True, slots=True)
class CallEvidence:
    """One attempt of one call. A retry is another request, hence another CallEvidence."""

    request_header: bytes
    request_signature: bytes
    request_salt: bytes
    request_messages: tuple[bytes, ...]
    response_header: bytes = b""
    response_signature: bytes = b""
    response_salt: bytes = b""
    response_messages: tuple[bytes, ...] = ()
    grpc_status: int = 0
    grpc_message: bytes = b""
    status_details: bytes = b""
    admission: bytes = b""
    admission_signature: bytes = b""
    receipt: bytes = b""
    receipt_signature: bytes = b""
    gate_key: bytes = b""
    gate_key_signature: bytes = b""
    snapshot_version: int = 0

    def __repr__(self) -> str:  # bodies and salts never reach a log
        return f"CallEvidence({len(self.request_header)} bytes of header, receipt {'kept' if self.receipt else 'none'})"
