"""The metadata keys of protocol.md 3, who sends which, and taking them out: each exactly once, or a named refusal.

Values of `-bin` keys are bytes here: gRPC has decoded their base64 by then.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from bus.exchange.reasons import Reason
from bus.exchange.refusal import RequestRefused

__all__ = ["LIMITS", "TO_CLIENT", "TO_PROVIDER", "Pairs", "found_in", "take_request"]

Pairs = Iterable[tuple[str, str | bytes]]

REQUEST: Final = "govbus-request-bin"
REQUEST_SIGNATURE: Final = "govbus-signature-bin"
REQUEST_SALT: Final = "govbus-salt-bin"
ADMISSION: Final = "govbus-admission-bin"
ADMISSION_SIGNATURE: Final = "govbus-admission-signature-bin"
RESPONSE: Final = "govbus-response-bin"
RESPONSE_SIGNATURE: Final = "govbus-response-signature-bin"
RESPONSE_SALT: Final = "govbus-response-salt-bin"
RECEIPT: Final = "govbus-receipt-bin"
RECEIPT_SIGNATURE: Final = "govbus-receipt-signature-bin"
GATE_KEY: Final = "govbus-gatekey-bin"
GATE_KEY_SIGNATURE: Final = "govbus-gatekey-signature-bin"
STATUS_DETAILS: Final = "grpc-status-details-bin"

# Bytes, as the messages' declarations in govbus/exchange/v1 limit them.
LIMITS: Final[Mapping[str, int]] = {
    REQUEST: 2048,
    REQUEST_SIGNATURE: 512,
    REQUEST_SALT: 32,
    ADMISSION: 512,
    ADMISSION_SIGNATURE: 512,
    RESPONSE: 2048,
    RESPONSE_SIGNATURE: 512,
    RESPONSE_SALT: 32,
    RECEIPT: 768,
    RECEIPT_SIGNATURE: 512,
    GATE_KEY: 512,
    GATE_KEY_SIGNATURE: 512,
}
TO_BROKER: Final = frozenset({REQUEST, REQUEST_SIGNATURE, REQUEST_SALT})
TO_PROVIDER: Final = TO_BROKER | {ADMISSION, ADMISSION_SIGNATURE, GATE_KEY, GATE_KEY_SIGNATURE}
FROM_PROVIDER: Final = frozenset({RESPONSE, RESPONSE_SIGNATURE, RESPONSE_SALT})
TO_CLIENT: Final = FROM_PROVIDER | {RECEIPT, RECEIPT_SIGNATURE, GATE_KEY, GATE_KEY_SIGNATURE}
SALT_BYTES: Final = 32


def take_request(pairs: Pairs, wanted: frozenset[str]) -> dict[str, bytes]:
    """Exactly the govbus keys `wanted`, each once and within its limit; RequestRefused otherwise (check 2)."""
    found: dict[str, bytes] = {}
    for key, value in pairs:
        if key not in wanted:
            if key.startswith("govbus-"):
                raise RequestRefused(Reason.METADATA_UNKNOWN)
            continue
        if key in found:
            raise RequestRefused(Reason.METADATA_DUPLICATED, {"key": key})
        if not isinstance(value, bytes):
            raise RequestRefused(Reason.METADATA_ENCODING_INVALID, {"key": key})
        if len(value) > LIMITS[key]:
            raise RequestRefused(Reason.METADATA_TOO_LARGE, {"key": key})
        found[key] = value
    if len(found) < len(wanted):
        raise RequestRefused(Reason.METADATA_MISSING, {"key": min(wanted.difference(found))})
    if len(found[REQUEST_SALT]) != SALT_BYTES:
        raise RequestRefused(Reason.METADATA_ENCODING_INVALID, {"key": REQUEST_SALT})
    return found


def found_in(pairs: Pairs | None, wanted: frozenset[str]) -> dict[str, bytes]:
    """Those of `wanted` that stand in an answer exactly once and within their limits; the others are left out."""
    found: dict[str, bytes] = {}
    doubled: set[str] = set()
    for key, value in pairs or ():
        if key not in wanted or not isinstance(value, bytes) or len(value) > LIMITS[key]:
            continue
        if key in found:
            doubled.add(key)
        found[key] = value
    for key in doubled:
        del found[key]
    return found
