"""The national contracts say what their rules promise: classes on every value, lifetimes on every method, structure."""

from __future__ import annotations

from collections.abc import Iterator

import protovalidate
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor, FileDescriptor
from google.protobuf.message import Message
from vn.administrative.v1 import administrative_pb2
from vn.business.v1 import business_pb2
from vn.civilstatus.v1 import civilstatus_pb2
from vn.common.v1 import identifiers_pb2, person_pb2
from vn.common.v1.identifiers_pb2 import AdministrativeUnitCode, PersonNumber, TaxCode
from vn.common.v1.person_pb2 import Address, PartialDate, PersonName
from vn.land.v1 import land_pb2
from vn.options.v1 import options_pb2
from vn.population.v1 import population_pb2
from vn.portal.v1 import portal_pb2
from vn.socialinsurance.v1 import socialinsurance_pb2
from vn.store.v1 import store_pb2
from vn.store.v1.store_pb2 import PutRequest, RecordName

from adapters.registration import RegistrationNumber, parse_registration_number

FILES: list[FileDescriptor] = [
    module.DESCRIPTOR
    for module in (
        *(administrative_pb2, civilstatus_pb2, identifiers_pb2, person_pb2, population_pb2),
        *(business_pb2, land_pb2, portal_pb2, socialinsurance_pb2, store_pb2),
    )
]


def fields() -> Iterator[FieldDescriptor]:
    for file in FILES:
        for message in file.message_types_by_name.values():
            yield from _fields(message)


def _fields(message: Descriptor) -> Iterator[FieldDescriptor]:
    yield from message.fields
    for nested in message.nested_types:
        yield from _fields(nested)


def broken(message: Message) -> set[str]:
    return {violation.proto.rule_id for violation in protovalidate.collect_violations(message)}


def test_every_value_has_a_data_class() -> None:
    scalar = [field for field in fields() if field.type != FieldDescriptor.TYPE_MESSAGE]
    assert scalar
    missing = [f.full_name for f in scalar if not f.GetOptions().Extensions[options_pb2.data_class]]
    assert missing == []


def test_the_person_number_and_nothing_else_is_a_subject() -> None:
    subjects = [field.full_name for field in fields() if field.GetOptions().Extensions[options_pb2.subject]]
    assert subjects == ["vn.common.v1.PersonNumber.value"]


def test_no_field_carries_a_person_number_as_plain_text() -> None:
    hidden = [
        field.full_name
        for field in fields()
        if field.type == FieldDescriptor.TYPE_STRING
        and field.name.endswith(("person_number", "mother_number", "father_number", "child_number"))
    ]
    assert hidden == []


def test_every_method_may_be_repeated_and_has_a_lifetime() -> None:
    methods = [m for file in FILES for service in file.services_by_name.values() for m in service.methods]
    assert len(methods) == 20
    for method in methods:
        options = method.GetOptions()
        assert options.Extensions[options_pb2.idempotent]
        assert 1 <= options.Extensions[options_pb2.max_lifetime_ms] <= 300_000
        assert not method.client_streaming


@pytest.mark.parametrize("value", ["001099012345", "096399999999", "079203000001", "101188000000"])
def test_person_number_of_right_structure_passes(value: str) -> None:
    assert broken(PersonNumber(value=value)) == set()


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "required"),
        ("00109901234", "string.pattern"),
        ("0010990123456", "string.pattern"),
        ("000099012345", "string.pattern"),  # no such province
        ("097099012345", "string.pattern"),
        ("001499012345", "string.pattern"),  # nobody was born after 2099
        ("001 99012345", "string.pattern"),
        ("001099012345\n", "string.pattern"),
        ("٠٠١٠٩٩٠١٢٣٤٥", "string.pattern"),  # digits, but not ASCII
    ],
)
def test_person_number_of_wrong_structure_is_refused(value: str, why: str) -> None:
    assert why in broken(PersonNumber(value=value))


@pytest.mark.parametrize(
    ("base", "branch", "why"),
    [
        ("0100112437", "", set()),
        ("0100112437", "001", set()),
        ("0100112437", "100", set()),
        ("0100112438", "", {"tax_code.check_digit"}),
        ("0100112437", "000", {"string.pattern"}),
        ("0100112437", "1", {"string.pattern"}),
        ("010011243", "", {"string.pattern"}),
        ("", "", {"required"}),
    ],
)
def test_tax_code_has_its_check_digit(base: str, branch: str, why: set[str]) -> None:
    assert broken(TaxCode(base=base, branch=branch)) == why


def test_tax_code_rule_agrees_with_the_independent_library() -> None:
    mst = pytest.importorskip("stdnum.vn.mst")
    for body in range(10_011_243, 10_011_443):
        for digit in range(10):
            base = f"{body:09d}{digit}"
            assert mst.is_valid(base) == (not broken(TaxCode(base=base))), base


@pytest.mark.parametrize(
    ("year", "month", "day", "real"),
    [
        (1951, 0, 0, True),
        (1951, 7, 0, True),
        (1951, 0, 7, False),
        (2024, 2, 29, True),
        (2023, 2, 29, False),
        (2000, 2, 29, True),
        (1900, 2, 29, False),
        (2025, 4, 31, False),
        (2025, 12, 31, True),
        (2025, 13, 1, False),
        (1799, 1, 1, False),
        (0, 0, 0, False),
    ],
)
def test_partial_date_exists_in_the_calendar(year: int, month: int, day: int, real: bool) -> None:
    assert (broken(PartialDate(year=year, month=month, day=day)) == set()) is real


@pytest.mark.parametrize(
    ("family", "middle", "given", "right"),
    [
        ("Nguyễn", "Thị Thu", "Hà", True),
        ("", "", "Y'Bhăm", True),
        ("Lò", "", "Ê-ban", True),
        ("Nguyễn", "Văn", "", False),
        ("Nguyễn ", "Văn", "An", False),
        ("Nguyễn", "Thị  Thu", "Hà", False),
        ("Nguyễn", "Văn", "An\n", False),
        ("Nguyễn", "Văn", "A1", False),
        ("Nguyễn", "Văn", "<b>", False),
        ("N" * 41, "", "An", False),
    ],
)
def test_name_is_letters_and_single_spaces(family: str, middle: str, given: str, right: bool) -> None:
    assert (broken(PersonName(family=family, middle=middle, given=given)) == set()) is right


def test_unit_code_without_its_list_is_refused() -> None:
    assert broken(AdministrativeUnitCode(code_list_version="gso-2025-07", code="00004")) == set()
    assert broken(AdministrativeUnitCode(code="00004")) == {"required"}
    assert broken(AdministrativeUnitCode(code_list_version="gso-2025-07", code="4")) == {"string.pattern"}
    assert broken(AdministrativeUnitCode(code_list_version="GSO 2025", code="00004")) == {"string.pattern"}


def test_address_is_one_line() -> None:
    ward = AdministrativeUnitCode(code_list_version="gso-2025-07", code="00004")
    assert broken(Address(ward=ward, detail="Số 2, đường Hùng Vương")) == set()
    assert broken(Address(ward=ward, detail="a\nb")) == {"string.pattern"}
    assert broken(Address(detail="x")) == {"required"}


def test_birth_needs_a_parent_and_a_whole_date() -> None:
    birth = civilstatus_pb2.RegisterBirthRequest(birth_date=PartialDate(year=2026, month=11))
    assert {"birth.one_parent", "birth.whole_date"} <= broken(birth)
    newborn = population_pb2.RegisterNewbornRequest(birth_date=PartialDate(year=2026, month=11))
    assert {"newborn.one_parent", "newborn.whole_date"} <= broken(newborn)


@pytest.mark.parametrize("notice", ["001099012345", "BV", "bv-hn-0001", "BV-HN-0001-", "-BV-HN-0001", "B" * 41])
def test_birth_notice_never_looks_like_a_person_number(notice: str) -> None:
    request = population_pb2.RegisterNewbornRequest(birth_notice_number=notice)
    assert "string.pattern" in broken(request)


def test_birth_answer_is_a_certificate_or_a_question() -> None:
    assert broken(civilstatus_pb2.RegisterBirthResponse()) == {"required"}


@pytest.mark.parametrize("key", ["001099012345", "X-001099012345", "A" * 65, "a-1", "-A", "A-", ""])
def test_a_stores_key_never_holds_a_person_number(key: str) -> None:
    assert broken(RecordName(record_type="vn.civilstatus.v1.BirthCertificate", source="gov/moj/civil-status", key=key))
    put = PutRequest(record_type="vn.civilstatus.v1.BirthCertificate", version=1, body=b"x")
    assert broken(put) == {"required"}
    put.key = key
    assert broken(put)


def test_registration_number_without_its_office_is_a_stores_key() -> None:
    number = "gov.hanoi.civil-status:00097-2026-000012"
    assert not broken(civilstatus_pb2.GetBirthCertificateRequest(registration_number=number))
    key = parse_registration_number(number).in_book
    put = PutRequest(record_type="vn.civilstatus.v1.BirthCertificate", key=key, version=1, body=b"x")
    assert broken(put) == set()


@pytest.mark.parametrize("office", ["", "gov/hanoi/civil-status", f"{'a' * 63}/b-c/d1"])
def test_registration_number_is_read_as_it_was_written(office: str) -> None:
    number = RegistrationNumber(office, "00097", 2026, 12)
    assert parse_registration_number(str(number)) == number
    assert not broken(civilstatus_pb2.GetBirthCertificateRequest(registration_number=str(number)))


@pytest.mark.parametrize(
    "text", ["", "00097-2026-12", ":00097-2026-000012", "gov.hanoi:00097-2026-000012", "\u0661" * 17]
)
def test_what_is_no_registration_number_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a registration number"):
        parse_registration_number(text)
    assert broken(civilstatus_pb2.GetBirthCertificateRequest(registration_number=text))


def test_portals_event_is_one_of_four() -> None:
    assert "required" in broken(portal_pb2.RegisterBirthResponse(case_id="BIRTH-1", position=1))
