"""Nothing travels but gRPC's own keys, traceparent and the bus's: neither way, neither in headers nor in trailers."""

from functools import partial

import pytest

from bus.exchange.reasons import Reason
from native.batch import verify_batch
from native.codec import decode_admission, decode_gate_key, decode_signature
from native.digest import ADMISSION_TYPE, frame
from native.ecdsa import PublicKey
from tests.support.gate_world import ALLOWED, ANSWER_KEYS, RECEIPT_KEYS, World
from tests.support.gate_world_nation import WATCH
from tests.support.raw_client import Headers
from tests.support.raw_provider import ProviderStream
from tests.support.raw_provider_answers import OPENING, Draft, answering, decoded

SENT: Headers = [
    ("x-real-ip", "10.0.0.1"),
    ("x-forwarded-for", "10.0.0.1"),
    ("x-forwarded-proto", "http"),
    ("x-forwarded-host", "a"),
    ("x-forwarded-client-cert", "By=spiffe://a"),
    ("x-envoy-retry-on", "5xx"),
    ("x-envoy-max-retries", "9"),
    ("x-envoy-upstream-rq-timeout-ms", "1"),
    ("x-envoy-original-path", "/a"),
    ("x-envoy-decorator-operation", "a"),
    ("x-request-id", "a"),
    ("x-govbus-route", "a"),
    ("authorization", "Bearer secret"),
    ("cookie", "a=b"),
    ("baggage", "user=001099012345"),
    ("tracestate", "a=b"),
    ("grpc-accept-encoding", "gzip"),
    ("grpc-trace-bin", "AAAA"),
    ("grpc-tags-bin", "AAAA"),
    ("grpc-previous-rpc-attempts", "2"),
    ("accept", "*/*"),
    ("via", "a"),
    ("forwarded", "for=a"),
    ("host", "a"),
    ("custom-bin", "AAAA"),
    ("custom", "a"),
    ("custom", "b"),
]
ANSWERED: Headers = [
    ("x-powered-by", "a"),
    ("set-cookie", "a=b"),
    ("server", "provider/1.0"),
    ("date", "yesterday"),
    ("via", "a"),
    ("baggage", "user=001099012345"),
    ("custom", "a"),
    ("custom", "b"),
    ("custom-bin", "AAAA"),
    ("grpc-encoding", "identity"),
    ("grpc-retry-pushback-ms", "1"),
    ("govbus-receipt-bin", "AAAA"),
    ("govbus-receipt-signature-bin", "AAAA"),
    ("govbus-gatekey-bin", "AAAA"),
    ("govbus-gatekey-signature-bin", "AAAA"),
    ("govbus-admission-bin", "AAAA"),
    ("govbus-x", "AAAA"),
    ("x-envoy-upstream-service-time", "1"),
    ("alt-svc", "a"),
]
TRACE = ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
FORWARDED = {
    *(":method", ":scheme", ":path", ":authority", "content-type", "te", "grpc-timeout", "traceparent"),
    *("govbus-request-bin", "govbus-signature-bin", "govbus-salt-bin"),
    *("govbus-admission-bin", "govbus-admission-signature-bin", "govbus-gatekey-bin", "govbus-gatekey-signature-bin"),
}


def test_provider_sees_only_what_the_protocol_names(world: World) -> None:
    request = world.request()
    headers = request.headers(*SENT, ("user-agent", "grpc-test/1"), TRACE)
    assert world.connection().call(headers, request.body).code == 0
    seen = world.provider.seen[-1]
    names = [name for name, _ in seen.headers]
    assert set(names) == FORWARDED
    assert len(names) == len(set(names))
    assert seen.value("traceparent") == TRACE[1]
    assert seen.value(":authority") == "population.mps.gov.bus.test.example"
    assert seen.trailers == []
    for key, value in request.metadata:
        assert seen.value(key) == value


@pytest.mark.parametrize(
    "traces",
    [["Nguyen Van A"], [TRACE[1] + "-a"], [TRACE[1].replace("7", "z")], [TRACE[1], TRACE[1]], [""]],
    ids=["a name", "longer", "not hex", "twice", "empty"],
)
def test_trace_context_that_is_none_goes_no_further(world: World, traces: list[str]) -> None:
    request = world.request()
    headers = request.headers(*((TRACE[0], trace) for trace in traces))
    assert world.connection().call(headers, request.body).code == 0
    assert TRACE[0] not in dict(world.provider.seen[-1].headers)


def test_provider_holds_the_proof_that_it_was_admitted(world: World) -> None:
    request = world.request()
    world.answers(request)
    seen = world.provider.seen[-1]
    encoded = decoded(seen.value("govbus-admission-bin"))
    assert decode_admission(encoded).request_digest == request.digest
    assert world.intent(request).admission_bytes == encoded
    gate_key = decode_gate_key(decoded(seen.value("govbus-gatekey-bin")))
    signature = decode_signature(decoded(seen.value("govbus-admission-signature-bin")))
    verify_batch(PublicKey.from_point(gate_key.public_key), ADMISSION_TYPE, encoded, signature)


def test_client_sees_only_what_the_protocol_names(world: World) -> None:
    world.provider.behaviour = answering(lambda draft: draft.but(headers=[*OPENING, *ANSWERED], extra=ANSWERED))
    request = world.request()
    answer = world.send(request)
    assert answer.code == 0
    assert answer.keys == {":status", "content-type", "date", "server", "grpc-status"} | ANSWER_KEYS | RECEIPT_KEYS
    assert dict(answer.headers)["server"] == "govbus"
    assert answer.binary("govbus-receipt-bin") == world.outcome(request).receipt_bytes


def test_client_of_a_trailers_only_answer_sees_no_more(world: World) -> None:
    world.provider.behaviour = answering(
        lambda draft: draft.but(headers=[*OPENING, *ANSWERED], body=b"", status=5, extra=[])
    )
    request = world.request()
    answer = world.send(request)
    assert answer.code == 5
    assert answer.keys <= ALLOWED
    assert answer.binary("govbus-receipt-bin") == world.outcome(request).receipt_bytes
    assert dict(answer.headers)["server"] == "govbus"


def test_headers_of_a_stream_carry_nothing_that_belongs_to_its_end(world: World) -> None:
    early = [("grpc-status", "0"), ("grpc-message", "a"), ("govbus-response-bin", "AAAA"), *ANSWERED]

    async def answer(stream: ProviderStream) -> None:
        await stream.send(stream.draft.but(headers=[*OPENING, *early], extra=ANSWERED))

    world.provider.behaviour = answer
    for method in ({}, {"method": WATCH}):
        found = world.send(world.request(**method))
        assert found.code == 0
        assert {name for name, _ in found.headers} == {":status", "content-type", "date", "server"}
        assert {name for name, _ in found.trailers} == {"grpc-status"} | ANSWER_KEYS | RECEIPT_KEYS


def test_more_metadata_than_fits_is_no_answer(world: World) -> None:
    for extra in ([(f"x-{number}", "a") for number in range(80)], [("x-large", "a" * 40_000)]):
        world.provider.behaviour = answering(partial(Draft.but, extra=extra))
        for method in ({}, {"method": WATCH}):
            request = world.request(**method)
            answer = world.send(request)
            assert answer.code != 0
            assert answer.keys <= ALLOWED
            assert world.outcome(request).receipt.outcome == 2


def test_refusal_in_a_stream_carries_nothing_of_the_providers(world: World) -> None:
    async def answer(stream: ProviderStream) -> None:
        await stream.send_headers(list(OPENING))
        await stream.send_data(frame(b"\x0a\x02hi"))
        await stream.send_headers([("grpc-status", "0"), ("grpc-message", "001099012345"), *ANSWERED], end=True)

    world.provider.behaviour = answer
    found = world.send(world.request(method=WATCH))
    assert found.keys <= ALLOWED - ANSWER_KEYS
    assert "001099012345" not in str(found)


def test_log_and_statistics_name_nobody(world: World) -> None:
    world.refuses(world.request(purpose="tax.audit", case_id="HS-2026-0777", official="officer-777"), Reason.NO_GRANT)
    request = world.request(case_id="HS-2026-0777", official="officer-777")
    world.refuses(request.but(body=request.body + b"\0"), Reason.MESSAGE_COUNT_INVALID)
    world.answers(world.request(case_id="HS-2026-0777", official="officer-777"))
    log = world.broker.config.directory / "envoy" / "envoy.log"
    told = log.read_text() if log.exists() else ""
    told += str(world.broker.envoy.admin.stats())
    for secret in ("HS-2026", "officer-", "001099012345", request.id.hex()):
        assert secret not in told


def test_every_refusal_is_counted_by_its_reason(world: World) -> None:
    def counted(name: str) -> int:
        return world.broker.statistics().get(name, 0)

    names = [name for name in world.broker.statistics() if name.endswith("NO_GRANT")]
    (name,) = names
    before = counted(name)
    for _ in range(3):
        world.refuses(world.request(purpose="tax.audit"), Reason.NO_GRANT)
    assert counted(name) == before + 3
