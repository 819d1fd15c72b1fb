"""Receipts as a court would read them: the broker's registered key certifies the gate key, which signs."""

from bus.exchange import metadata
from bus.exchange.reasons import Reason
from bus.exchange.verify_admission import verify_gate_key
from bus.exchange.view import KeyRecord
from native.batch import verify_batch
from native.codec import decode_receipt, decode_signature
from native.digest import RECEIPT_TYPE
from native.ecdsa import PublicKey
from native.headers import Receipt
from pki.signer import FileSigner
from tests.support.gate_world import World
from tests.support.gate_world_nation import BROKER
from tests.support.raw_client import Answer
from tests.support.raw_client_forge import Request

__all__ = ["verify_receipt"]


def verify_receipt(world: World, request: Request, answer: Answer) -> Receipt:
    """The receipt in an answer: of this broker, for this request, signed, and the one in the journal."""
    encoded = answer.binary(metadata.RECEIPT)
    receipt = decode_receipt(encoded)
    broker = FileSigner.load(world.instance.broker_home(BROKER) / "signing-key.pem")
    key = KeyRecord(world.spiffe(BROKER), 0, 1 << 50, PublicKey.from_point(broker.public_point))
    gate_key = verify_gate_key(
        answer.binary(metadata.GATE_KEY),
        answer.binary(metadata.GATE_KEY_SIGNATURE),
        key=key,
        at_ms=receipt.outcome_time_ms,
        reason=Reason.RECEIPT_INVALID,
        cache=None,
    )
    assert gate_key.not_before_ms <= receipt.outcome_time_ms <= gate_key.not_after_ms
    signature = decode_signature(answer.binary(metadata.RECEIPT_SIGNATURE))
    verify_batch(gate_key.public_key, RECEIPT_TYPE, encoded, signature)
    assert receipt.broker == world.spiffe(BROKER)
    assert receipt.request_digest == request.digest
    admission = world.intent(request).admission
    assert (receipt.intent_sequence, receipt.intent_time_ms) == (admission.sequence, admission.intent_time_ms)
    assert world.outcome(request).receipt_bytes == encoded
    return receipt
