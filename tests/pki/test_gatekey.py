"""The gate's key is certified by its broker's signing key, and leaves it only through the handover."""

from datetime import timedelta
from pathlib import Path

import pytest

from native.batch import SignatureInvalid, verify_batch
from native.codec import decode_gate_key, decode_signature
from native.digest import GATEKEY_TYPE
from native.ecdsa import PrivateKey, PublicKey
from pki.gatekey import GATE_KEY_LIFETIME, CertifiedGateKey, make_gate_key
from pki.profiles import BACKDATE
from pki.signer import FileSigner
from tests.support.authority import NOW, Instance

NOW_MS = 1_795_161_600_000


@pytest.fixture
def signer(tmp_path: Path) -> FileSigner:
    return FileSigner.create(tmp_path / "signing-key.pem")


def make(instance: Instance, signer: FileSigner) -> CertifiedGateKey:
    return make_gate_key(instance.subsystem("gov/ndc/broker-1"), signer, now=NOW)


def test_gate_key_names_its_broker_and_validity(instance: Instance, signer: FileSigner) -> None:
    header = decode_gate_key(make(instance, signer).gate_key)
    assert header.broker == "spiffe://bus.gov.example/gov/ndc/broker-1"
    assert header.not_before_ms == NOW_MS - BACKDATE // timedelta(milliseconds=1)
    assert header.not_after_ms == NOW_MS + GATE_KEY_LIFETIME // timedelta(milliseconds=1)


def test_gate_key_is_signed_by_the_brokers_signing_key_alone(
    instance: Instance, signer: FileSigner, tmp_path: Path
) -> None:
    made = make(instance, signer)
    signature = decode_signature(made.signature)
    assert signature.key_id == signer.key_id
    assert (signature.size, signature.index) == (1, 0)
    verify_batch(PublicKey.from_point(signer.public_point), GATEKEY_TYPE, made.gate_key, signature, None)
    altered = made.gate_key[:-1] + bytes([made.gate_key[-1] ^ 1])
    with pytest.raises(SignatureInvalid):
        verify_batch(PublicKey.from_point(signer.public_point), GATEKEY_TYPE, altered, signature, None)
    other = FileSigner.create(tmp_path / "other.pem")
    with pytest.raises(SignatureInvalid):
        verify_batch(PublicKey.from_point(other.public_point), GATEKEY_TYPE, made.gate_key, signature, None)


def test_handover_is_three_blocks_with_the_private_key_first(instance: Instance, signer: FileSigner) -> None:
    made = make(instance, signer)
    rest, blocks = made.handover, []
    while rest:
        size = int.from_bytes(rest[:2], "big")
        blocks.append(rest[2 : 2 + size])
        rest = rest[2 + size :]
    private_key, gate_key, signature = blocks
    assert (gate_key, signature) == (made.gate_key, made.signature)
    assert len(gate_key) <= 512
    assert len(signature) <= 512
    loaded = PrivateKey.from_der(private_key)
    assert loaded.public_key.point == decode_gate_key(gate_key).public_key


def test_every_start_has_its_own_key_and_does_not_show_it(instance: Instance, signer: FileSigner) -> None:
    one, other = make(instance, signer), make(instance, signer)
    assert decode_gate_key(one.gate_key).public_key != decode_gate_key(other.gate_key).public_key
    assert "private_key_der" not in repr(one)


@pytest.mark.parametrize("lifetime", [timedelta(), -BACKDATE, GATE_KEY_LIFETIME + timedelta(seconds=1)])
def test_gate_key_without_sensible_end_is_not_made(instance: Instance, signer: FileSigner, lifetime: timedelta) -> None:
    with pytest.raises(ValueError, match="at most 7 days"):
        make_gate_key(instance.subsystem("gov/ndc/broker-1"), signer, now=NOW, lifetime=lifetime)
