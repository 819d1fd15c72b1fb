"""P-256: what one implementation signs the other verifies; anything else is refused; one signature has one spelling."""

import base64
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from native import _ecdsa_py as twin
from native import ecdsa as fast
from native.errors import KeyInvalid, SignatureInvalid

N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
both = pytest.mark.parametrize("module", [fast, twin], ids=["fast", "twin"])


@both
def test_what_one_signs_the_other_verifies(module: ModuleType) -> None:
    other = twin if module is fast else fast
    key = module.PrivateKey.generate()
    public = other.PublicKey.from_spki(key.public_key.spki)
    assert public.key_id == key.key_id == key.public_key.key_id
    for n in (0, 1, 63, 5000):
        public.verify(bytes(n), key.sign(bytes(n)))


@both
def test_every_signature_is_low_and_in_range(module: ModuleType) -> None:
    key = module.PrivateKey.generate()
    for n in range(200):
        signature = key.sign(n.to_bytes(2, "big"))
        r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        assert len(signature) == 64
        assert 1 <= r < N
        assert 1 <= s <= N // 2
        key.public_key.verify(n.to_bytes(2, "big"), signature)


def joined(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@both
def test_high_s_is_refused_though_it_satisfies_the_equation(module: ModuleType) -> None:
    key = module.PrivateKey.generate()
    signature = key.sign(b"x")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    with pytest.raises(SignatureInvalid) as refused:
        key.public_key.verify(b"x", joined(r, N - s))
    assert refused.value.reason == "SIGNATURE_INVALID"


@both
def test_r_and_s_out_of_range_are_refused(module: ModuleType) -> None:
    key = module.PrivateKey.generate()
    signature = key.sign(b"x")
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    out_of_range = [
        (0, s),
        (N, s),
        (2**256 - 1, s),
        (r, 0),
        (r, N // 2 + 1),
        (r, N - 1),
        (r, N),
        (r, 2**256 - 1),
        (0, 0),
    ]
    for pair in [*out_of_range, (N - 1, N // 2), (1, 1), (s, r)]:
        with pytest.raises(SignatureInvalid):
            key.public_key.verify(b"x", joined(*pair))


@both
def test_a_signature_of_another_length_is_refused(module: ModuleType) -> None:
    key = module.PrivateKey.generate()
    signature = key.sign(b"x")
    for wrong in (b"", signature[:63], signature + b"\0", b"\0" + signature, signature * 2):
        with pytest.raises(SignatureInvalid):
            key.public_key.verify(b"x", wrong)


@both
def test_any_changed_bit_is_refused(module: ModuleType) -> None:
    key = module.PrivateKey.generate()
    signature = key.sign(b"message")
    for at in range(0, 512, 7):
        wrong = bytearray(signature)
        wrong[at >> 3] ^= 1 << (at & 7)
        with pytest.raises(SignatureInvalid):
            key.public_key.verify(b"message", bytes(wrong))
    with pytest.raises(SignatureInvalid):
        key.public_key.verify(b"messagf", signature)
    with pytest.raises(SignatureInvalid):
        module.PrivateKey.generate().public_key.verify(b"message", signature)


@both
def test_points_that_are_not_on_the_curve_are_refused(module: ModuleType) -> None:
    point = module.PrivateKey.generate().public_key.point
    wrong = [
        b"",
        b"\0",
        point[:64],
        point + b"\0",
        b"\x04" + bytes(64),
        b"\x02" + point[1:33],
        b"\x06" + point[1:],
        b"\x07" + point[1:],
        point[:-1] + bytes([point[-1] ^ 1]),
        b"\x04" + b"\xff" * 64,
    ]
    for each in wrong:
        with pytest.raises(KeyInvalid):
            module.PublicKey.from_point(each)
    assert module.PublicKey.from_point(point).point == point


@both
def test_only_the_one_spki_encoding_is_taken(module: ModuleType) -> None:
    public = module.PrivateKey.generate().public_key
    compressed = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), public.point).public_bytes(
        Encoding.X962, PublicFormat.CompressedPoint
    )
    other_curve = ec.generate_private_key(ec.SECP384R1()).public_key()
    wrong = [
        b"",
        public.point,
        public.spki[:-1],
        public.spki + b"\0",
        b"\x30\x39" + public.spki[2:24] + b"\x22\x00" + compressed,
        other_curve.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ]
    for each in wrong:
        with pytest.raises(KeyInvalid):
            module.PublicKey.from_spki(each)
    assert module.PublicKey.from_spki(public.spki) == public
    assert len({module.PublicKey.from_spki(public.spki), public}) == 1


@both
def test_a_private_key_survives_pem_and_der(module: ModuleType) -> None:
    key = module.PrivateKey.generate()
    for copy in (module.PrivateKey.from_pem(key.to_pem()), module.PrivateKey.from_der(key.to_der())):
        assert copy.key_id == key.key_id
        key.public_key.verify(b"x", copy.sign(b"x"))
    assert fast.PrivateKey.from_pem(key.to_pem()).to_pem() == key.to_pem()


@both
def test_sec1_keys_are_taken(module: ModuleType) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    for encoding, load in [(Encoding.DER, module.PrivateKey.from_der), (Encoding.PEM, module.PrivateKey.from_pem)]:
        sec1 = key.private_bytes(encoding, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        assert load(sec1).public_key.point == key.public_key().public_bytes(
            Encoding.X962, PublicFormat.UncompressedPoint
        )


@both
def test_keys_of_another_kind_are_refused(module: ModuleType) -> None:
    ours = ec.generate_private_key(ec.SECP256R1())
    encrypted = ours.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"secret"))
    pem = ours.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    wrong_pem = [encrypted, pem + pem, b"", b"-----BEGIN PRIVATE KEY-----\n", pem.replace(b"PRIVATE", b"PUBLIC")]
    wrong_der = [b"", b"\x30", b"\x30\x80", bytes(100)]
    for other in (ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()):
        wrong_der.append(other.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))
    for each in wrong_pem:
        with pytest.raises(KeyInvalid):
            module.PrivateKey.from_pem(each)
    for each in wrong_der:
        with pytest.raises(KeyInvalid):
            module.PrivateKey.from_der(each)


def test_halves_that_do_not_belong_together_are_refused() -> None:
    first, second = fast.PrivateKey.generate(), fast.PrivateKey.generate()
    mixed = first.to_der().replace(first.public_key.point, second.public_key.point)
    assert mixed != first.to_der()
    with pytest.raises(KeyInvalid):
        fast.PrivateKey.from_der(mixed)
    with pytest.raises(KeyInvalid):
        fast.PrivateKey.from_der(first.to_der() + b"\0")


def test_a_private_key_shows_and_gives_away_nothing() -> None:
    key = fast.PrivateKey.generate()
    secret = key.to_der()[36:68]
    assert secret.hex() not in repr(key)
    assert base64.b64encode(secret).decode() not in repr(key)
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        fast.PrivateKey()


@both
def test_many_at_once(module: ModuleType) -> None:
    keys = [module.PrivateKey.generate() for _ in range(3)]
    messages = [bytes([n]) * n for n in range(20)]
    signatures = {key: module.sign_many(key, messages) for key in keys}
    items = [(key.public_key, message, signatures[key][n]) for key in keys for n, message in enumerate(messages)]
    module.verify_many(items)
    module.verify_many([])
    assert module.sign_many(keys[0], []) == []
    for bad, signature in [(4, items[5][2]), (30, b""), (59, bytes(64))]:
        items[bad] = (items[bad][0], items[bad][1], signature)
    with pytest.raises(SignatureInvalid) as refused:
        module.verify_many(items)
    assert refused.value.indexes == (4, 30, 59)


@both
def test_one_key_serves_many_threads(module: ModuleType) -> None:
    key = module.PrivateKey.generate()

    def work(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(30):
            message = chance.randbytes(50)
            key.public_key.verify(message, key.sign(message))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
