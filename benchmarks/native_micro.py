"""What one step of the native layer costs, beside the usual way to do it in Python. Prints a table.

    .venv/bin/python -m benchmarks.native_micro

Each figure is the best of several rounds, one thread, as seen from Python: about 50 ns of every compiled call are the
interpreter's. Ratios travel between machines, nanoseconds do not. The last column is usual / ours.
"""

import base64
import hashlib
import time
from collections.abc import Callable
from dataclasses import asdict

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key
from govbus.exchange.v1.request_header_pb2 import RequestHeader as UpbRequestHeader

from native import batch, codec, digest, ecdsa
from native.headers import RequestHeader, Signature

ROUNDS = 15
HEADER = RequestHeader(
    request_id=bytes(range(16)),
    client="spiffe://gov.example/gov/moj/civilstatus",
    provider="spiffe://gov.example/gov/mps/population",
    broker="spiffe://gov.example/gov/ndc/broker-1",
    method="/vn.population.v1.PopulationService/GetPerson",
    body_commitment=bytes(range(32)),
    issued_at_ms=1_800_000_000_000,
    not_after_ms=1_800_000_010_000,
    purpose="birth.registration",
    case_id="HT-2026-000123",
    grant_id="grant-7",
    official="off-4f2a",
    idempotency_key="birth-000123",
)


def cost(function: Callable[[], object], at_least: float = 0.01) -> float:
    """Nanoseconds of one call: the best round, each at least that many seconds long."""
    times, best = 1, float("inf")
    for _ in range(ROUNDS):
        while True:
            begin = time.perf_counter_ns()
            for _ in range(times):
                function()
            took = time.perf_counter_ns() - begin
            if took >= at_least * 1e9:
                break
            times *= 2
        best = min(best, took / times)
    return best


Row = tuple[str, Callable[[], object], str, Callable[[], object] | None]


def codec_rows() -> list[Row]:
    """Headers and metadata values."""
    encoded = codec.encode_request_header(HEADER)
    upb = UpbRequestHeader(**asdict(HEADER))
    data = bytes(range(200)) * 3
    text = codec.encode_base64(data)
    padded = base64.b64encode(data)

    def upb_read() -> tuple[object, ...]:
        m = UpbRequestHeader.FromString(encoded)
        ids = (m.request_id, m.client, m.provider, m.broker, m.method, m.body_commitment, m.issued_at_ms)
        return (*ids, m.not_after_ms, m.purpose, m.case_id, m.grant_id, m.official, m.idempotency_key)

    return [
        (
            f"decode request header, {len(encoded)} bytes, all checks",
            lambda: codec.decode_request_header(encoded),
            "upb parse and read the fields, no checks",
            upb_read,
        ),
        (
            "encode request header, all checks",
            lambda: codec.encode_request_header(HEADER),
            "upb serialize",
            upb.SerializeToString,
        ),
        ("base64 decode to 600 bytes", lambda: codec.decode_base64(text), "base64", lambda: base64.b64decode(padded)),
        ("base64 encode 600 bytes", lambda: codec.encode_base64(data), "base64", lambda: base64.b64encode(data)),
    ]


def digest_rows() -> list[Row]:
    """Hashing of headers and bodies."""
    encoded = codec.encode_request_header(HEADER)
    small, large = digest.frame(bytes(512)), digest.frame(bytes(4 << 20))

    def frames(body: bytes) -> bytes:
        hasher = digest.FrameHasher()
        hasher.update(body)
        return hasher.finish()

    def leaf() -> bytes:
        return hashlib.sha256(b"\0DSSEv1 17 govbus/request/v1 %d %s" % (len(encoded), encoded)).digest()

    return [
        ("leaf hash of it", lambda: digest.leaf_hash(digest.REQUEST_TYPE, encoded), "hashlib", leaf),
        ("check and hash a 512-byte body", lambda: frames(small), "hashlib", lambda: hashlib.sha256(small).digest()),
        ("check and hash a 4 MiB body", lambda: frames(large), "hashlib", lambda: hashlib.sha256(large).digest()),
    ]


def signature_rows() -> list[Row]:
    """Signing and verifying, one, and a header's share of a batch."""
    key = ecdsa.PrivateKey.generate()
    public = key.public_key
    theirs = load_der_private_key(key.to_der(), None)
    assert isinstance(theirs, ec.EllipticCurvePrivateKey)
    their_public, algorithm = theirs.public_key(), ec.ECDSA(SHA256())
    header = codec.encode_request_header(HEADER)
    value = key.sign(header)
    der = encode_dss_signature(int.from_bytes(value[:32], "big"), int.from_bytes(value[32:], "big"))

    def their_sign() -> bytes:
        r, s = decode_dss_signature(theirs.sign(header, algorithm))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def their_verify() -> None:
        their_public.verify(der, header, algorithm)

    rows: list[Row] = [
        ("sign", lambda: key.sign(header), "cryptography", their_sign),
        ("verify", lambda: public.verify(header, value), "cryptography", their_verify),
    ]
    cache = batch.SignatureCache()
    for size in (1, 64, 1024):
        items = [(digest.REQUEST_TYPE, header)] * size
        signature = codec.decode_signature(batch.sign_batch(key, items)[size // 2])

        def verify(signature: Signature = signature) -> None:
            batch.verify_batch(public, digest.REQUEST_TYPE, header, signature, cache)

        def sign(items: list[tuple[str, bytes]] = items) -> None:
            batch.sign_batch(key, items)

        rows.append((f"verify one of {size}, signature remembered", verify, "cryptography, each alone", their_verify))
        rows.append((f"sign {size} together, each", sign, "cryptography, each alone", their_sign))
    return rows


def main() -> None:
    """Print the table."""
    print(f"{'step':<52}{'ns':>10}  {'usual way':<38}{'ns':>10}{'ratio':>8}")
    for name, ours, usual, theirs in [*codec_rows(), *digest_rows(), *signature_rows()]:
        share = int(name.split()[1]) if name.startswith("sign ") and name.endswith("each") else 1
        mine = cost(ours) / share
        other = cost(theirs) if theirs else float("nan")
        print(f"{name:<52}{mine:>10,.0f}  {usual:<38}{other:>10,.0f}{other / mine:>8.1f}")


if __name__ == "__main__":
    main()
