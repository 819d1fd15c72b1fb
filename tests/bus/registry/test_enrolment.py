"""Enrolment against a real listener: who may join, with what, once; and a client that tells nothing to a stranger."""

import socket
import ssl
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from govbus.enrolment.v1 import enrolment_pb2 as pb

from bus.engines.postgres_database import Database
from bus.exchange import CallError, Reason, Refused, RefusedLocally, load_client_config
from bus.registry.enrolment import Asked, Enroller, KeyProof
from bus.registry.enrolment_client import AlreadyEnrolled, enrol
from bus.registry.enrolment_tokens import TokenIssued, TokenUsed
from bus.registry.keys import CertificateAdded, CertificateRevoked, IssuerRevoked, SigningKeyAdded, SigningKeyRevoked
from bus.registry.refusal import Refusal
from bus.registry.subsystems import SubsystemRevoked
from native.snapshot import verify_snapshot
from pki.authority import Authority
from pki.credentials import issue_credentials
from pki.enrolment import TokenMalformed, prove_possession
from pki.files import ensure_private_directory
from pki.keys import encode_spki, generate_private_key
from pki.signer import FileSigner, KeySigner
from tests.support.enrolment import HOUR, NEWCOMER, REGISTRY, Enrolling, Request, enrolling
from tests.support.nation import CALLER, PROVIDER
from tests.support.registered import ACT, now_ms


@pytest.fixture
def world(tmp_path: Path, database: Database) -> Iterator[Enrolling]:
    with enrolling(tmp_path / "a state", database) as world:
        yield world


def test_newcomer_is_enrolled_in_one_transaction_and_live_when_it_is_told(world: Enrolling, tmp_path: Path) -> None:
    before = world.registry.state().position
    token = world.token()
    home = tmp_path / "newcomer"
    credentials = enrol(token.text, home, clock_ms=now_ms)
    assert credentials.subsystem.path == NEWCOMER
    issued, used, certificate, key = world.registry.history(before)
    assert [type(one.change) for one in (issued, used, certificate, key)] == [
        TokenIssued,
        TokenUsed,
        CertificateAdded,
        SigningKeyAdded,
    ]
    assert used.time_ms == certificate.time_ms == key.time_ms
    assert {one.operator for one in (issued, used, certificate, key)} == {ACT.operator}
    state = world.registry.state()
    assert state.keys[credentials.signer.key_id].not_before_ms >= used.time_ms + 10_000
    found = verify_snapshot(
        (home / "snapshot.bin").read_bytes(),
        FileSigner.load(world.instance.state / "policy-signing-key.pem").public_point,
        world.instance.trust_domain,
        credentials.subsystem.spiffe_id,
        now_ms(),
    )
    assert found.policy.certificate(credentials.identity.certificate_sha256) is not None
    config = load_client_config(home / "config.yaml")
    assert [broker.address for broker in config.brokers] == [
        str(state.subsystems["gov/ndc/broker-1"].endpoints[0]),
    ]


def test_keys_are_private_files_and_the_secret_is_nowhere(
    world: Enrolling, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    token = world.token()
    home = tmp_path / "newcomer"
    enrol(token.text, home, clock_ms=now_ms)
    for name in ("signing-key.pem", "tls/key.pem"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o600
    told = caplog.text + repr(token) + "".join(repr(event) for event in world.registry.history())
    for secret in (token.secret.hex(), token.text, repr(token.secret)):
        assert secret not in told
    assert TokenIssued(token.secret_hash, NEWCOMER, ACT.operator, 0).secret_hash == sha256(token.secret).digest()


def test_token_works_once(world: Enrolling, tmp_path: Path) -> None:
    token = world.token()
    enrol(token.text, tmp_path / "first", clock_ms=now_ms)
    with pytest.raises(Refused) as refused:
        enrol(token.text, tmp_path / "second", clock_ms=now_ms)
    assert refused.value.reason is Reason.TOKEN_USED


def test_of_many_at_once_with_one_token_exactly_one_is_enrolled(world: Enrolling) -> None:
    token = world.token()
    requests = [Request(token).build() for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        answers = sorted(pool.map(world.ask, requests))
    assert answers == ["TOKEN_USED"] * 5 + ["enrolled"]
    keys = [one for one in world.registry.state().keys.values() if one.subsystem == NEWCOMER]
    assert len(keys) == 1


def test_token_ends_after_an_hour(world: Enrolling) -> None:
    token = world.token()
    world.clock.shift_ms = HOUR + 1
    assert world.ask(Request(token).build()) == "TOKEN_EXPIRED"
    world.clock.shift_ms = 0
    with pytest.raises(Refusal, match="an hour"):
        world.registry.record([TokenIssued(bytes(32), NEWCOMER, "ops:test", now_ms() + 2 * HOUR)], ACT)


def test_token_that_was_never_issued_here_is_unknown(world: Enrolling) -> None:
    token = replace(world.token(), secret=bytes(32))
    assert world.ask(Request(token).build()) == "TOKEN_UNKNOWN"
    assert world.ask(pb.EnrolRequest()) == "TOKEN_UNKNOWN"


def test_csr_for_another_subsystem_is_refused_and_burns_nothing(world: Enrolling) -> None:
    token = world.token()
    other = world.instance.subsystem_id(PROVIDER)
    elsewhere = replace(token.subsystem, trust_domain="bus.other.example")
    for subsystem in (other, elsewhere):
        assert world.ask(Request(token, subsystem=subsystem).build()) == "CSR_MISMATCH"
    assert world.ask(Request(token).build()) == "enrolled"


def test_malformed_csr_is_refused(world: Enrolling) -> None:
    token = world.token()
    good = Request(token).build().csr
    for csr in (b"", good[:-1], good + b"\0", bytes(5000), good[:-8] + bytes(8)):
        request = Request(token).build()
        request.csr = csr
        assert world.ask(request) == "CSR_INVALID"


def test_key_that_is_known_is_refused_whoever_has_it(world: Enrolling) -> None:
    token = world.token()
    known = generate_private_key()
    request = Request(token, key=known, tls_key=known)
    assert world.ask(request.build()) == "KEY_KNOWN"
    first = Request(token)
    assert world.ask(first.build()) == "enrolled"
    again = world.token()
    assert world.ask(Request(again, key=first.key).build()) == "KEY_KNOWN"
    assert world.ask(Request(again, tls_key=first.tls_key).build()) == "KEY_KNOWN"
    assert world.ask(Request(again, tls_key=first.key).build()) == "KEY_KNOWN"
    other = world.token(CALLER)
    assert world.ask(Request(other, key=first.tls_key).build()) == "KEY_KNOWN"
    (digest,) = world.registry.state().subsystems[NEWCOMER].certificates
    world.registry.record([CertificateRevoked(digest)], ACT)
    assert world.ask(Request(again, tls_key=first.tls_key).build()) == "KEY_KNOWN"


def test_weak_or_foreign_keys_are_refused(world: Enrolling) -> None:
    token = world.token()
    guessable = ec.derive_private_key(2, ec.SECP256R1())
    assert world.ask(Request(token, tls_key=guessable).build()) == "KEY_WEAK"
    assert world.ask(Request(token, tls_key=ec.generate_private_key(ec.SECP384R1())).build()) == "KEY_WEAK"
    spki = encode_spki(generate_private_key().public_key())
    guessed = encode_spki(guessable.public_key())
    off_curve = spki[:-1] + bytes([spki[-1] ^ 1])
    for malformed in (b"", spki[:-1], spki + b"\0", guessed, off_curve, spki[:26] + bytes(65)):
        request = Request(token).build()
        request.signing_key_spki = malformed
        assert world.ask(request) == "KEY_WEAK"


def test_possession_is_proved_by_the_key_over_exactly_what_is_registered(world: Enrolling) -> None:
    token = world.token()
    right = Request(token)
    spki = encode_spki(right.key.public_key())
    bounds = (right.not_before_ms, right.not_after_ms)
    signer, stranger = KeySigner(right.key), KeySigner(generate_private_key())
    other = world.instance.subsystem_id(PROVIDER)
    wrong = {
        "by another key": prove_possession(stranger, token.subsystem, spki, *bounds),
        "for another subsystem": prove_possession(signer, other, spki, *bounds),
        "of another key": prove_possession(signer, token.subsystem, stranger.spki, *bounds),
        "for longer": prove_possession(signer, token.subsystem, spki, bounds[0], bounds[1] + 1),
        "under no type": signer.sign(spki),
        "nothing": b"",
    }
    for proof in wrong.values():
        request = right.build()
        request.possession = proof
        assert world.ask(request) == "POSSESSION_UNPROVEN"
    assert world.ask(right.build()) == "enrolled"


@pytest.mark.parametrize("offsets", [(-2 * HOUR, -HOUR), (HOUR, -HOUR), (0, 3 * 366 * 24 * HOUR), (-(2**62), HOUR)])
def test_validity_that_cannot_be_is_refused(world: Enrolling, offsets: tuple[int, int]) -> None:
    now = now_ms()
    request = Request(world.token(), not_before_ms=now + offsets[0], not_after_ms=now + offsets[1])
    assert world.ask(request.build()) == "KEY_VALIDITY"


def test_revoked_subsystem_or_issuing_ca_enrols_nobody(world: Enrolling) -> None:
    token = world.token()
    (digest,) = world.registry.state().subsystems[REGISTRY].certificates
    world.registry.record([IssuerRevoked(world.registry.state().certificates[digest].issuer)], ACT)
    assert world.ask(Request(token).build()) == "ENROLMENT_REFUSED"
    world.registry.record([SubsystemRevoked(NEWCOMER)], ACT)
    assert world.ask(Request(token).build()) == "ENROLMENT_REFUSED"
    with pytest.raises(Refusal, match="revoked"):
        world.token()


def test_client_sends_no_token_to_another_instance(world: Enrolling, tmp_path: Path) -> None:
    """A listener with an impeccable chain of another root, and one with a leaf of ours that is not the registry's."""
    other = Authority.open(tmp_path / "other", world.instance.trust_domain, now=datetime.now(UTC))
    foreign = replace(world.token(), root=other.trust.issuers[0].root.fingerprint(SHA256()))
    impostor = replace(world.token(), server=world.instance.subsystem_id(CALLER))
    before = world.registry.state().position
    for token in (foreign, impostor):
        with pytest.raises(RefusedLocally) as refused:
            enrol(token.text, tmp_path / "newcomer", clock_ms=now_ms)
        assert refused.value.reason is Reason.INSTANCE_MISMATCH
    assert not (tmp_path / "newcomer").exists()
    assert world.registry.state().position == before


def test_nobody_listening_is_said(world: Enrolling, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(CallError) as refused:
        enrol(replace(world.token(), address=address).text, tmp_path / "newcomer", clock_ms=now_ms)
    assert refused.value.reason is Reason.BROKER_UNREACHABLE


def test_refused_client_may_try_again_and_an_enrolled_one_is_not_overwritten(world: Enrolling, tmp_path: Path) -> None:
    home = tmp_path / "newcomer"
    bad = replace(world.token(), secret=bytes(32))
    with pytest.raises(Refused):
        enrol(bad.text, home, clock_ms=now_ms)
    assert not home.exists()  # no private key that nobody will use
    home.mkdir(mode=0o700)
    (home / "notes").touch()
    with pytest.raises(Refused):
        enrol(bad.text, home, clock_ms=now_ms)
    assert [one.name for one in home.iterdir()] == ["notes"]
    enrol(world.token().text, home, clock_ms=now_ms)
    with pytest.raises(AlreadyEnrolled):
        enrol(world.token().text, home, clock_ms=now_ms)


def test_enrolment_whose_answer_was_lost_is_made_good_with_the_next_token(world: Enrolling, tmp_path: Path) -> None:
    """The listener recorded the key and the client never heard of it: its key is known, and it has no certificate."""
    home = tmp_path / "newcomer"
    ensure_private_directory(home)
    lost = FileSigner.create(home / "signing-key.pem")
    with pytest.raises(Refused):  # the key is there from a try of its own, as it is after any lost answer
        enrol(replace(world.token(), secret=bytes(32)).text, home, clock_ms=now_ms)
    key = load_pem_private_key((home / "signing-key.pem").read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert world.ask(Request(world.token(), key=key).build()) == "enrolled"  # and nobody got it
    told: list[str] = []
    token = world.token()
    credentials = enrol(token.text, home, clock_ms=now_ms, say=told.append)
    assert credentials.signer.key_id != lost.key_id
    (kept,) = home.glob("signing-key-lost-*.pem")
    assert FileSigner.load(kept).key_id == lost.key_id, "a key that was registered is not thrown away"
    (text,) = told
    assert f"govbus key revoke {lost.key_id.hex()[:16]}" in text
    assert kept.name in text


def test_enrolled_subsystem_gets_another_token_only_when_that_is_meant(world: Enrolling, tmp_path: Path) -> None:
    enrol(world.token(again=False).text, tmp_path / "newcomer", clock_ms=now_ms)
    with pytest.raises(Refusal, match="--again") as refused:
        world.token(again=False)
    assert refused.value.reason == "in-use"
    enrol(world.token(again=True).text, tmp_path / "second", clock_ms=now_ms)
    state = world.registry.state()
    keys = [key_id for key_id, one in state.keys.items() if one.subsystem == NEWCOMER]
    assert len(keys) == 2, "the former key goes on until somebody ends it"
    world.registry.record([SigningKeyRevoked(one) for one in keys], ACT)
    world.token(again=False)  # nobody is enrolled any more


@pytest.mark.parametrize(
    "text", ["", "govbus1.", "govbus1.e30", "govbus2.e30", "x" * 3000, "govbus1.\u00e9", "govbus1.W10"]
)
def test_text_that_is_no_token_is_said_without_quoting_it(text: str, tmp_path: Path) -> None:
    with pytest.raises(TokenMalformed) as refused:
        enrol(text, tmp_path / "newcomer", clock_ms=now_ms)
    body = text.removeprefix("govbus1.")
    assert not body or body not in str(refused.value)


def test_token_in_any_other_spelling_is_refused(world: Enrolling, tmp_path: Path) -> None:
    text = world.token().text
    for other in (text + "=", text + "\n", " " + text, text[:-1], text.replace("govbus1.", "GOVBUS1.")):
        with pytest.raises(TokenMalformed):
            enrol(other, tmp_path / "newcomer", clock_ms=now_ms)


@pytest.mark.parametrize(
    "address", ["", "somewhere", ":7000", "host:", "host:0", "host:99999", "host:\u0663", "x" * 400]
)
def test_token_without_a_usable_address_is_refused(world: Enrolling, tmp_path: Path, address: str) -> None:
    with pytest.raises(TokenMalformed):
        enrol(replace(world.token(), address=address).text, tmp_path / "newcomer", clock_ms=now_ms)


def test_listener_speaks_tls_13_only_and_asks_for_no_certificate(world: Enrolling) -> None:
    def connect(version: ssl.TLSVersion) -> str | None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        context.minimum_version = context.maximum_version = version
        with (
            socket.create_connection(("127.0.0.1", world.server.port), 5) as plain,
            context.wrap_socket(plain) as secure,
        ):
            return secure.version()

    assert connect(ssl.TLSVersion.TLSv1_3) == "TLSv1.3"
    with pytest.raises(OSError):  # noqa: PT011 - a reset or an alert, as it comes
        connect(ssl.TLSVersion.TLSv1_2)


def test_renewed_credentials_are_shown_at_the_next_handshake(world: Enrolling, tmp_path: Path) -> None:
    home = world.instance.home(REGISTRY)
    issue_credentials(world.authority, world.instance.subsystem_id(REGISTRY), home, now=datetime.now(UTC))
    enrol(world.token().text, tmp_path / "newcomer", clock_ms=now_ms)


def test_registry_that_stood_still_lets_the_newcomers_key_start_later(world: Enrolling) -> None:
    """An enrolment that took longer than a second is no fault of the newcomer."""
    token, behind = world.token(), iter([0, 0, -5_000, -5_000])
    request = Request(token).build()
    proof = KeyProof(
        request.signing_key_spki,
        request.signing_key_not_before_ms,
        request.signing_key_not_after_ms,
        request.possession,
    )
    enroller = Enroller(world.registry, lambda: world.authority, lambda _: True, lambda: now_ms() + next(behind, 0))
    enrolled = enroller.enrol(Asked(token.secret_hash, request.csr, proof))
    assert next(behind, None) is None, "the first two starts came too soon"
    (key,) = [one for one in world.registry.state().keys.values() if one.subsystem == NEWCOMER]
    assert enrolled.key_starts_ms == key.not_before_ms
