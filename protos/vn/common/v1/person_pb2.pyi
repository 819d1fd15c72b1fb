from buf.validate import validate_pb2 as _validate_pb2
from vn.common.v1 import identifiers_pb2 as _identifiers_pb2
from vn.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Sex(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SEX_UNSPECIFIED: _ClassVar[Sex]
    SEX_MALE: _ClassVar[Sex]
    SEX_FEMALE: _ClassVar[Sex]
SEX_UNSPECIFIED: Sex
SEX_MALE: Sex
SEX_FEMALE: Sex

class PersonName(_message.Message):
    __slots__ = ("family", "middle", "given")
    FAMILY_FIELD_NUMBER: _ClassVar[int]
    MIDDLE_FIELD_NUMBER: _ClassVar[int]
    GIVEN_FIELD_NUMBER: _ClassVar[int]
    family: str
    middle: str
    given: str
    def __init__(self, family: _Optional[str] = ..., middle: _Optional[str] = ..., given: _Optional[str] = ...) -> None: ...

class PartialDate(_message.Message):
    __slots__ = ("year", "month", "day")
    YEAR_FIELD_NUMBER: _ClassVar[int]
    MONTH_FIELD_NUMBER: _ClassVar[int]
    DAY_FIELD_NUMBER: _ClassVar[int]
    year: int
    month: int
    day: int
    def __init__(self, year: _Optional[int] = ..., month: _Optional[int] = ..., day: _Optional[int] = ...) -> None: ...

class Address(_message.Message):
    __slots__ = ("ward", "detail")
    WARD_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    ward: _identifiers_pb2.AdministrativeUnitCode
    detail: str
    def __init__(self, ward: _Optional[_Union[_identifiers_pb2.AdministrativeUnitCode, _Mapping]] = ..., detail: _Optional[str] = ...) -> None: ...
