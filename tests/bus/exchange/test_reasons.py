"""Every reason of the contract is an exception here, and back; texts and codes are the contract's."""

import grpc
import pytest
from govbus.errors.v1 import reasons_pb2

from bus.exchange import exceptions
from bus.exchange.errors import CallError, Failure, ProviderError, Refused, RefusedLocally, exception_for
from bus.exchange.meanings import Called, encode_refusal, meaning, parse_refusal, reason_number
from bus.exchange.reasons import Reason


def declared() -> dict[str, int]:
    return {value.name.removeprefix("REASON_"): value.number for value in reasons_pb2.Reason.DESCRIPTOR.values}


def classes() -> list[type[CallError]]:
    return [getattr(exceptions, name) for name in exceptions.__all__]


def test_names_are_those_of_the_contract() -> None:
    expected = declared()
    assert expected.pop("UNSPECIFIED") == 0
    assert {str(reason): reason_number(reason) for reason in Reason} == expected


def test_every_reason_has_exactly_one_exception_class() -> None:
    found = [cls.REASON for cls in classes()]
    assert sorted(found) == sorted(Reason)


@pytest.mark.parametrize("cls", classes(), ids=lambda cls: cls.__name__)
def test_class_is_named_and_described_as_the_contract_says(cls: type[CallError]) -> None:
    assert "".join(part.capitalize() for part in cls.REASON.split("_")) == cls.__name__
    assert " ".join((cls.__doc__ or "").split()) == meaning(cls.REASON).text


@pytest.mark.parametrize("origin", [Refused, RefusedLocally, ProviderError])
@pytest.mark.parametrize("reason", Reason)
def test_raised_class_answers_both_who_and_why(origin: type[CallError], reason: Reason) -> None:
    found = meaning(reason)
    error = exception_for(origin, reason)(Failure(reason, found.code, found.text))
    assert isinstance(error, origin)
    assert error.REASON is reason
    assert isinstance(error, next(cls for cls in classes() if cls.REASON is reason))
    assert isinstance(error, grpc.RpcError)
    assert error.code() is found.code
    assert error.provider_called is found.called
    assert isinstance(error, ProviderError) is (origin is ProviderError)


def test_unavailable_is_used_only_where_the_provider_was_not_called() -> None:
    for reason in Reason:
        if meaning(reason).code is grpc.StatusCode.UNAVAILABLE:
            assert meaning(reason).called is Called.NO, reason


@pytest.mark.parametrize("reason", Reason)
def test_refusal_survives_the_wire_with_its_declared_metadata_only(reason: Reason) -> None:
    values = dict.fromkeys(meaning(reason).metadata_keys, "123")
    assert parse_refusal(encode_refusal(reason, {**values, "other": "x"})) == (reason, values)


@pytest.mark.parametrize("value", ["Nguyễn Văn A", "a b", "x" * 201, "<script>"])
def test_metadata_value_that_is_no_path_or_number_is_not_believed(value: str) -> None:
    assert parse_refusal(encode_refusal(Reason.MESSAGE_INVALID, {"field": value})) == (Reason.MESSAGE_INVALID, {})


@pytest.mark.parametrize("details", [b"", b"\xff\xff", b"\x08\x05", encode_refusal(Reason.REPLAYED, {})[:-3]])
def test_details_that_name_no_reason_of_ours_are_none(details: bytes) -> None:
    assert parse_refusal(details) is None


def test_server_time_is_told_and_nonsense_is_not() -> None:
    found = meaning(Reason.REQUEST_NOT_FRESH)
    told = Failure(Reason.REQUEST_NOT_FRESH, found.code, found.text, {"server_time_ms": "1795386945869"})
    assert Refused(told).server_time_ms == 1795386945869
    for nonsense in ("", "soon", "-5", "9" * 40):
        wrong = Failure(Reason.REQUEST_NOT_FRESH, found.code, found.text, {"server_time_ms": nonsense})
        assert Refused(wrong).server_time_ms is None
