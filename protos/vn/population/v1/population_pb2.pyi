from buf.validate import validate_pb2 as _validate_pb2
from google.protobuf import field_mask_pb2 as _field_mask_pb2
from vn.common.v1 import identifiers_pb2 as _identifiers_pb2
from vn.common.v1 import person_pb2 as _person_pb2
from vn.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class LifeStatus(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LIFE_STATUS_UNSPECIFIED: _ClassVar[LifeStatus]
    LIFE_STATUS_ALIVE: _ClassVar[LifeStatus]
    LIFE_STATUS_DECEASED: _ClassVar[LifeStatus]
LIFE_STATUS_UNSPECIFIED: LifeStatus
LIFE_STATUS_ALIVE: LifeStatus
LIFE_STATUS_DECEASED: LifeStatus

class Person(_message.Message):
    __slots__ = ("person_number", "name", "birth_date", "sex", "residence", "mother_number", "father_number", "life_status")
    PERSON_NUMBER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    BIRTH_DATE_FIELD_NUMBER: _ClassVar[int]
    SEX_FIELD_NUMBER: _ClassVar[int]
    RESIDENCE_FIELD_NUMBER: _ClassVar[int]
    MOTHER_NUMBER_FIELD_NUMBER: _ClassVar[int]
    FATHER_NUMBER_FIELD_NUMBER: _ClassVar[int]
    LIFE_STATUS_FIELD_NUMBER: _ClassVar[int]
    person_number: _identifiers_pb2.PersonNumber
    name: _person_pb2.PersonName
    birth_date: _person_pb2.PartialDate
    sex: _person_pb2.Sex
    residence: _person_pb2.Address
    mother_number: _identifiers_pb2.PersonNumber
    father_number: _identifiers_pb2.PersonNumber
    life_status: LifeStatus
    def __init__(self, person_number: _Optional[_Union[_identifiers_pb2.PersonNumber, _Mapping]] = ..., name: _Optional[_Union[_person_pb2.PersonName, _Mapping]] = ..., birth_date: _Optional[_Union[_person_pb2.PartialDate, _Mapping]] = ..., sex: _Optional[_Union[_person_pb2.Sex, str]] = ..., residence: _Optional[_Union[_person_pb2.Address, _Mapping]] = ..., mother_number: _Optional[_Union[_identifiers_pb2.PersonNumber, _Mapping]] = ..., father_number: _Optional[_Union[_identifiers_pb2.PersonNumber, _Mapping]] = ..., life_status: _Optional[_Union[LifeStatus, str]] = ...) -> None: ...

class GetPersonRequest(_message.Message):
    __slots__ = ("person_number", "read_mask")
    PERSON_NUMBER_FIELD_NUMBER: _ClassVar[int]
    READ_MASK_FIELD_NUMBER: _ClassVar[int]
    person_number: _identifiers_pb2.PersonNumber
    read_mask: _field_mask_pb2.FieldMask
    def __init__(self, person_number: _Optional[_Union[_identifiers_pb2.PersonNumber, _Mapping]] = ..., read_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class GetPersonResponse(_message.Message):
    __slots__ = ("person",)
    PERSON_FIELD_NUMBER: _ClassVar[int]
    person: Person
    def __init__(self, person: _Optional[_Union[Person, _Mapping]] = ...) -> None: ...

class VerifyPersonRequest(_message.Message):
    __slots__ = ("person_number", "name", "birth_date")
    PERSON_NUMBER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    BIRTH_DATE_FIELD_NUMBER: _ClassVar[int]
    person_number: _identifiers_pb2.PersonNumber
    name: _person_pb2.PersonName
    birth_date: _person_pb2.PartialDate
    def __init__(self, person_number: _Optional[_Union[_identifiers_pb2.PersonNumber, _Mapping]] = ..., name: _Optional[_Union[_person_pb2.PersonName, _Mapping]] = ..., birth_date: _Optional[_Union[_person_pb2.PartialDate, _Mapping]] = ...) -> None: ...

class VerifyPersonResponse(_message.Message):
    __slots__ = ("matches",)
    MATCHES_FIELD_NUMBER: _ClassVar[int]
    matches: bool
    def __init__(self, matches: _Optional[bool] = ...) -> None: ...

class RegisterNewbornRequest(_message.Message):
    __slots__ = ("birth_notice_number", "name", "birth_date", "sex", "registration_ward", "mother_number", "father_number")
    BIRTH_NOTICE_NUMBER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    BIRTH_DATE_FIELD_NUMBER: _ClassVar[int]
    SEX_FIELD_NUMBER: _ClassVar[int]
    REGISTRATION_WARD_FIELD_NUMBER: _ClassVar[int]
    MOTHER_NUMBER_FIELD_NUMBER: _ClassVar[int]
    FATHER_NUMBER_FIELD_NUMBER: _ClassVar[int]
    birth_notice_number: str
    name: _person_pb2.PersonName
    birth_date: _person_pb2.PartialDate
    sex: _person_pb2.Sex
    registration_ward: _identifiers_pb2.AdministrativeUnitCode
    mother_number: _identifiers_pb2.PersonNumber
    father_number: _identifiers_pb2.PersonNumber
    def __init__(self, birth_notice_number: _Optional[str] = ..., name: _Optional[_Union[_person_pb2.PersonName, _Mapping]] = ..., birth_date: _Optional[_Union[_person_pb2.PartialDate, _Mapping]] = ..., sex: _Optional[_Union[_person_pb2.Sex, str]] = ..., registration_ward: _Optional[_Union[_identifiers_pb2.AdministrativeUnitCode, _Mapping]] = ..., mother_number: _Optional[_Union[_identifiers_pb2.PersonNumber, _Mapping]] = ..., father_number: _Optional[_Union[_identifiers_pb2.PersonNumber, _Mapping]] = ...) -> None: ...

class RegisterNewbornResponse(_message.Message):
    __slots__ = ("person_number",)
    PERSON_NUMBER_FIELD_NUMBER: _ClassVar[int]
    person_number: _identifiers_pb2.PersonNumber
    def __init__(self, person_number: _Optional[_Union[_identifiers_pb2.PersonNumber, _Mapping]] = ...) -> None: ...
