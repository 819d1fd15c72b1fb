from buf.validate import validate_pb2 as _validate_pb2
from vn.administrative.v1 import administrative_pb2 as _administrative_pb2
from vn.common.v1 import identifiers_pb2 as _identifiers_pb2
from vn.common.v1 import person_pb2 as _person_pb2
from vn.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Parent(_message.Message):
    __slots__ = ("person_number", "name")
    PERSON_NUMBER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    person_number: _identifiers_pb2.PersonNumber
    name: _person_pb2.PersonName
    def __init__(self, person_number: _Optional[_Union[_identifiers_pb2.PersonNumber, _Mapping]] = ..., name: _Optional[_Union[_person_pb2.PersonName, _Mapping]] = ...) -> None: ...

class BirthCertificate(_message.Message):
    __slots__ = ("registration_number", "child_number", "child_name", "child_sex", "birth_date", "birth_ward", "mother", "father", "registered_at_ms")
    REGISTRATION_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CHILD_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CHILD_NAME_FIELD_NUMBER: _ClassVar[int]
    CHILD_SEX_FIELD_NUMBER: _ClassVar[int]
    BIRTH_DATE_FIELD_NUMBER: _ClassVar[int]
    BIRTH_WARD_FIELD_NUMBER: _ClassVar[int]
    MOTHER_FIELD_NUMBER: _ClassVar[int]
    FATHER_FIELD_NUMBER: _ClassVar[int]
    REGISTERED_AT_MS_FIELD_NUMBER: _ClassVar[int]
    registration_number: str
    child_number: _identifiers_pb2.PersonNumber
    child_name: _person_pb2.PersonName
    child_sex: _person_pb2.Sex
    birth_date: _person_pb2.PartialDate
    birth_ward: _administrative_pb2.AdministrativeUnit
    mother: Parent
    father: Parent
    registered_at_ms: int
    def __init__(self, registration_number: _Optional[str] = ..., child_number: _Optional[_Union[_identifiers_pb2.PersonNumber, _Mapping]] = ..., child_name: _Optional[_Union[_person_pb2.PersonName, _Mapping]] = ..., child_sex: _Optional[_Union[_person_pb2.Sex, str]] = ..., birth_date: _Optional[_Union[_person_pb2.PartialDate, _Mapping]] = ..., birth_ward: _Optional[_Union[_administrative_pb2.AdministrativeUnit, _Mapping]] = ..., mother: _Optional[_Union[Parent, _Mapping]] = ..., father: _Optional[_Union[Parent, _Mapping]] = ..., registered_at_ms: _Optional[int] = ...) -> None: ...

class WardQuestion(_message.Message):
    __slots__ = ("asked", "choices")
    ASKED_FIELD_NUMBER: _ClassVar[int]
    CHOICES_FIELD_NUMBER: _ClassVar[int]
    asked: _administrative_pb2.AdministrativeUnit
    choices: _containers.RepeatedCompositeFieldContainer[_administrative_pb2.AdministrativeUnit]
    def __init__(self, asked: _Optional[_Union[_administrative_pb2.AdministrativeUnit, _Mapping]] = ..., choices: _Optional[_Iterable[_Union[_administrative_pb2.AdministrativeUnit, _Mapping]]] = ...) -> None: ...

class RegisterBirthRequest(_message.Message):
    __slots__ = ("birth_notice_number", "child_name", "child_sex", "birth_date", "birth_ward", "mother_number", "father_number")
    BIRTH_NOTICE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    CHILD_NAME_FIELD_NUMBER: _ClassVar[int]
    CHILD_SEX_FIELD_NUMBER: _ClassVar[int]
    BIRTH_DATE_FIELD_NUMBER: _ClassVar[int]
    BIRTH_WARD_FIELD_NUMBER: _ClassVar[int]
    MOTHER_NUMBER_FIELD_NUMBER: _ClassVar[int]
    FATHER_NUMBER_FIELD_NUMBER: _ClassVar[int]
    birth_notice_number: str
    child_name: _person_pb2.PersonName
    child_sex: _person_pb2.Sex
    birth_date: _person_pb2.PartialDate
    birth_ward: _identifiers_pb2.AdministrativeUnitCode
    mother_number: _identifiers_pb2.PersonNumber
    father_number: _identifiers_pb2.PersonNumber
    def __init__(self, birth_notice_number: _Optional[str] = ..., child_name: _Optional[_Union[_person_pb2.PersonName, _Mapping]] = ..., child_sex: _Optional[_Union[_person_pb2.Sex, str]] = ..., birth_date: _Optional[_Union[_person_pb2.PartialDate, _Mapping]] = ..., birth_ward: _Optional[_Union[_identifiers_pb2.AdministrativeUnitCode, _Mapping]] = ..., mother_number: _Optional[_Union[_identifiers_pb2.PersonNumber, _Mapping]] = ..., father_number: _Optional[_Union[_identifiers_pb2.PersonNumber, _Mapping]] = ...) -> None: ...

class RegisterBirthResponse(_message.Message):
    __slots__ = ("certificate", "ward_question")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    WARD_QUESTION_FIELD_NUMBER: _ClassVar[int]
    certificate: BirthCertificate
    ward_question: WardQuestion
    def __init__(self, certificate: _Optional[_Union[BirthCertificate, _Mapping]] = ..., ward_question: _Optional[_Union[WardQuestion, _Mapping]] = ...) -> None: ...

class GetBirthCertificateRequest(_message.Message):
    __slots__ = ("registration_number",)
    REGISTRATION_NUMBER_FIELD_NUMBER: _ClassVar[int]
    registration_number: str
    def __init__(self, registration_number: _Optional[str] = ...) -> None: ...

class GetBirthCertificateResponse(_message.Message):
    __slots__ = ("certificate",)
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    certificate: BirthCertificate
    def __init__(self, certificate: _Optional[_Union[BirthCertificate, _Mapping]] = ...) -> None: ...
