"""Checks 2-8 and 10 as pure functions: for each reason a request that earns it, and nothing else wrong with it."""

import os
from dataclasses import replace
from typing import Any

import pytest

from bus.exchange import metadata
from bus.exchange.compose import frames_of
from bus.exchange.reasons import Reason
from bus.exchange.refusal import RequestRefused
from bus.exchange.replay import ReplayTable
from bus.exchange.trust import SnapshotView
from bus.exchange.verify_request import (
    Expected,
    Permit,
    VerifiedRequest,
    parse_request,
    permit,
    verify_body,
    verify_request,
)
from native.batch import SignatureCache, sign_batch
from native.codec import decode_signature, encode_signature
from native.digest import REQUEST_TYPE
from native.policy import Grant, Method, MethodKind, SigningKey, Subsystem
from pki.keys import generate_private_key
from pki.signer import KeySigner
from tests.bus.exchange.forge import Forged, forge
from tests.bus.exchange.world import BROKER, CLIENT, GET, HOUR_MS, LIST, OUTSIDER, PROVIDER, World, now_ms, view_of

STRANGER = KeySigner(generate_private_key())


def verify(world: World, forged: Forged, view: SnapshotView | None = None, **expected: Any) -> VerifiedRequest:
    usual = {"path": GET, "broker": world.spiffe(BROKER), "provider": world.spiffe(PROVIDER)}
    found = metadata.take_request(forged.pairs, metadata.TO_BROKER)
    request = parse_request(found)
    return verify_request(request, Expected(**usual | expected), view or view_of(world), now_ms(), SignatureCache())


def permitted(world: World, forged: Forged, view: SnapshotView | None = None) -> Permit:
    view = view or view_of(world)
    return permit(verify(world, forged, view), view, now_ms())


def refused(reason: Reason, **details: str) -> Any:
    return pytest.raises(RequestRefused, check=lambda error: error.reason is reason and error.metadata == details)


def test_right_request_is_permitted_and_its_body_matches(world: World) -> None:
    forged = forge(world)
    found = permitted(world, forged)
    assert found.grant.grant_id == "grant-1"
    assert found.snapshot_version == 1
    verify_body(found, frames_of(forged.body).finish())


# (2) ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("missing", sorted(metadata.TO_BROKER))
def test_2_missing_key_is_refused_by_name(world: World, missing: str) -> None:
    pairs = [pair for pair in forge(world).pairs if pair[0] != missing]
    with refused(Reason.METADATA_MISSING, key=missing):
        metadata.take_request(pairs, metadata.TO_BROKER)


@pytest.mark.parametrize("doubled", sorted(metadata.TO_BROKER))
def test_2_doubled_key_is_refused_by_name(world: World, doubled: str) -> None:
    pairs = forge(world).pairs
    with refused(Reason.METADATA_DUPLICATED, key=doubled):
        metadata.take_request([*pairs, next(pair for pair in pairs if pair[0] == doubled)], metadata.TO_BROKER)


def test_2_govbus_key_of_another_direction_is_refused(world: World) -> None:
    with refused(Reason.METADATA_UNKNOWN):
        metadata.take_request([*forge(world).pairs, (metadata.RECEIPT, b"x")], metadata.TO_BROKER)


@pytest.mark.parametrize("large", sorted(metadata.TO_BROKER))
def test_2_value_beyond_its_limit_is_refused(world: World, large: str) -> None:
    pairs = [(key, bytes(metadata.LIMITS[key] + 1) if key == large else value) for key, value in forge(world).pairs]
    with refused(Reason.METADATA_TOO_LARGE, key=large):
        metadata.take_request(pairs, metadata.TO_BROKER)


def test_2_short_salt_is_refused(world: World) -> None:
    pairs = [(key, b"salt" if key == metadata.REQUEST_SALT else value) for key, value in forge(world).pairs]
    with refused(Reason.METADATA_ENCODING_INVALID, key=metadata.REQUEST_SALT):
        metadata.take_request(pairs, metadata.TO_BROKER)


def test_2_header_and_signature_cut_at_every_byte_are_refused(world: World) -> None:
    forged = forge(world)
    for key in (metadata.REQUEST, metadata.REQUEST_SIGNATURE):
        whole = forged.found[key]
        for end in range(len(whole)):
            with pytest.raises(RequestRefused) as error:
                parse_request({**forged.found, key: whole[:end]})
            assert error.value.reason in (Reason.HEADER_NOT_CANONICAL, Reason.FIELD_INVALID)


def test_2_unknown_field_is_not_canonical(world: World) -> None:
    forged = forge(world)
    with pytest.raises(RequestRefused) as error:
        parse_request({**forged.found, metadata.REQUEST: forged.header_bytes + b"\x82\x01\x01x"})
    assert error.value.reason is Reason.HEADER_NOT_CANONICAL


# (3) ------------------------------------------------------------------------------------------------------------------


def test_3_request_for_another_broker_is_refused(world: World) -> None:
    with refused(Reason.WRONG_BROKER):
        verify(world, forge(world), broker=world.spiffe("gov/ndc/broker-2"))


def test_3_request_of_another_peer_is_refused(world: World) -> None:
    with refused(Reason.CLIENT_MISMATCH):
        verify(world, forge(world), client=world.spiffe(OUTSIDER))


@pytest.mark.parametrize("path", [GET.lower(), GET + "/", GET.replace("GetUnit", "ResolveUnit"), "/" + GET])
def test_3_method_other_than_the_path_is_refused(world: World, path: str) -> None:
    with refused(Reason.METHOD_MISMATCH):
        verify(world, forge(world), path=path)


def test_3_request_for_another_provider_is_refused_like_an_unknown_service(world: World) -> None:
    with refused(Reason.NO_GRANT):
        verify(world, forge(world), provider=world.spiffe(OUTSIDER))


def test_3_method_that_streams_from_the_client_is_refused(world: World) -> None:
    world.publish(methods=(Method(GET, MethodKind.CLIENT_STREAM, 10_000),), grants=())
    with refused(Reason.STREAM_NOT_SUPPORTED):
        verify(world, forge(world))


# (4) ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("away_ms", [-31_000, 31_000])
def test_4_stale_and_future_requests_are_refused_with_the_servers_time(world: World, away_ms: int) -> None:
    issued = now_ms() + away_ms
    with pytest.raises(RequestRefused) as error:
        verify(world, forge(world, issued_at_ms=issued, not_after_ms=issued + 40_000))
    assert error.value.reason is Reason.REQUEST_NOT_FRESH
    assert abs(int(error.value.metadata["server_time_ms"]) - now_ms()) < 1_000


@pytest.mark.parametrize(
    ("issued", "until"),
    [(0, 0), (0, -1), (-20_000, -15_000), (0, 10_001)],
    ids=["no-life", "ends-before-it-begins", "past", "longer-than-the-method-allows"],
)
def test_4_lifetime_that_is_none_is_refused(world: World, issued: int, until: int) -> None:
    now = now_ms()
    with refused(Reason.LIFETIME_INVALID):
        verify(world, forge(world, issued_at_ms=now + issued, not_after_ms=now + until))


# (5) ------------------------------------------------------------------------------------------------------------------


def test_5_unregistered_key_is_refused(world: World) -> None:
    with refused(Reason.KEY_UNKNOWN):
        verify(world, forge(world, key=STRANGER))


def test_5_another_members_key_is_refused(world: World) -> None:
    with refused(Reason.KEY_NOT_OF_CLIENT):
        verify(world, forge(world, key=world.credentials[OUTSIDER].signer))


@pytest.mark.parametrize("start", [-2 * HOUR_MS, HOUR_MS], ids=["over", "not-begun"])
def test_5_key_outside_its_validity_is_refused_even_where_its_signature_is_remembered(world: World, start: int) -> None:
    forged, cache, view = forge(world), SignatureCache(), view_of(world)
    request = parse_request(forged.found)
    expected = Expected(path=GET, broker=world.spiffe(BROKER))
    verify_request(request, expected, view, now_ms(), cache)
    begins = now_ms() + start
    signer = world.credentials[CLIENT].signer
    key = SigningKey(signer.key_id, signer.public_point, world.spiffe(CLIENT), begins, begins + HOUR_MS)
    world.publish(keys=(key, *(other for other in world.tables.keys if other.key_id != key.key_id)))
    with refused(Reason.KEY_NOT_VALID):
        verify_request(request, expected, view_of(world), now_ms(), cache)


# (6) ------------------------------------------------------------------------------------------------------------------


def test_6_path_of_another_tree_size_is_refused(world: World) -> None:
    forged = forge(world)
    items = [(REQUEST_TYPE, forged.header_bytes), (REQUEST_TYPE, b"b"), (REQUEST_TYPE, b"c")]
    signature = decode_signature(sign_batch(world.credentials[CLIENT].signer, items)[0])
    pairs = {**forged.found, metadata.REQUEST_SIGNATURE: encode_signature(signature)}
    verify_request(parse_request(pairs), Expected(GET, world.spiffe(BROKER)), view_of(world), now_ms(), None)
    for size in (1, 2, 5, 9):
        changed = replace(signature, size=size)
        try:
            pairs[metadata.REQUEST_SIGNATURE] = encode_signature(changed)
        except ValueError:
            continue
        with pytest.raises(RequestRefused) as error:
            verify_request(parse_request(pairs), Expected(GET, world.spiffe(BROKER)), view_of(world), now_ms(), None)
        assert error.value.reason in (Reason.BATCH_PATH_INVALID, Reason.SIGNATURE_INVALID)


def test_6_garbage_signature_beside_a_remembered_root_is_refused(world: World) -> None:
    forged, cache, view = forge(world), SignatureCache(), view_of(world)
    expected = Expected(GET, world.spiffe(BROKER))
    verify_request(parse_request(forged.found), expected, view, now_ms(), cache)
    right = decode_signature(forged.signature)
    wrong = encode_signature(replace(right, value=bytes(31) + b"\1" + bytes(31) + b"\1"))
    with refused(Reason.SIGNATURE_INVALID):
        pairs = {**forged.found, metadata.REQUEST_SIGNATURE: wrong}
        verify_request(parse_request(pairs), expected, view, now_ms(), cache)


def test_6_header_changed_after_signing_is_refused(world: World) -> None:
    forged, other = forge(world), forge(world, case_id="2026-0002")
    with refused(Reason.SIGNATURE_INVALID):
        verify(world, Forged(other.header, other.header_bytes, forged.signature, forged.salt, forged.body))


# (7) ------------------------------------------------------------------------------------------------------------------


def test_7_id_seen_within_the_time_is_refused_and_later_is_not() -> None:
    table = ReplayTable()
    identifier = os.urandom(16)
    table.verify_unseen("a", identifier, 0.0)
    table.verify_unseen("b", identifier, 0.0)
    with refused(Reason.REPLAYED):
        table.verify_unseen("a", identifier, 89.9)
    table.verify_unseen("a", identifier, 90.1)
    assert len(table) == 1


def test_7_full_table_refuses_rather_than_forgets() -> None:
    table = ReplayTable(limit=2)
    table.verify_unseen("a", b"1", 0.0)
    table.verify_unseen("a", b"2", 0.0)
    with refused(Reason.OVERLOADED):
        table.verify_unseen("a", b"3", 1.0)
    with refused(Reason.REPLAYED):
        table.verify_unseen("a", b"1", 1.0)


# (8) ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [{"grant_id": "grant-2"}, {"grant_id": "none"}, {"purpose": "tax.audit"}],
    ids=["of-another-provider", "not-there", "other-purpose"],
)
def test_8_grant_that_does_not_permit_exactly_this_is_refused(world: World, change: dict[str, Any]) -> None:
    with refused(Reason.NO_GRANT):
        permitted(world, forge(world, **change))


def test_8_method_that_nobody_declared_is_refused_alike(world: World) -> None:
    world.publish(methods=(Method(LIST, MethodKind.SERVER_STREAM),), grants=())
    with refused(Reason.NO_GRANT):
        permitted(world, forge(world))


@pytest.mark.parametrize("shift", [-48 * HOUR_MS, 48 * HOUR_MS], ids=["over", "not-begun"])
def test_8_grant_outside_its_time_is_refused(world: World, shift: int) -> None:
    start = now_ms() + shift
    grant = Grant(
        "grant-1", world.spiffe(CLIENT), world.spiffe(PROVIDER), (GET,), ("civil.birth",), start, start + HOUR_MS
    )
    world.publish(grants=(grant,))
    with refused(Reason.NO_GRANT):
        permitted(world, forge(world))


@pytest.mark.parametrize("suspended", [CLIENT, PROVIDER])
def test_8_suspended_subsystem_is_refused(world: World, suspended: str) -> None:
    name = world.spiffe(suspended)
    changed: tuple[Subsystem, ...] = tuple(
        replace(each, active=False) if each.id == name else each for each in world.tables.subsystems
    )
    world.publish(subsystems=changed)
    with refused(Reason.SUBSYSTEM_SUSPENDED):
        permitted(world, forge(world))


# (10) -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("other", [b"", b"\x0a\x00", bytes(100)])
def test_10_body_other_than_the_committed_is_refused(world: World, other: bytes) -> None:
    found = permitted(world, forge(world))
    with refused(Reason.BODY_COMMITMENT_MISMATCH):
        verify_body(found, frames_of(other).finish())
