from buf.validate import validate_pb2 as _validate_pb2
from vn.common.v1 import identifiers_pb2 as _identifiers_pb2
from vn.options.v1 import options_pb2 as _options_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class UnitLevel(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNIT_LEVEL_UNSPECIFIED: _ClassVar[UnitLevel]
    UNIT_LEVEL_PROVINCE: _ClassVar[UnitLevel]
    UNIT_LEVEL_DISTRICT: _ClassVar[UnitLevel]
    UNIT_LEVEL_WARD: _ClassVar[UnitLevel]
UNIT_LEVEL_UNSPECIFIED: UnitLevel
UNIT_LEVEL_PROVINCE: UnitLevel
UNIT_LEVEL_DISTRICT: UnitLevel
UNIT_LEVEL_WARD: UnitLevel

class AdministrativeUnit(_message.Message):
    __slots__ = ("code", "name", "level", "parent_code", "province_code")
    CODE_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    PARENT_CODE_FIELD_NUMBER: _ClassVar[int]
    PROVINCE_CODE_FIELD_NUMBER: _ClassVar[int]
    code: _identifiers_pb2.AdministrativeUnitCode
    name: str
    level: UnitLevel
    parent_code: str
    province_code: str
    def __init__(self, code: _Optional[_Union[_identifiers_pb2.AdministrativeUnitCode, _Mapping]] = ..., name: _Optional[str] = ..., level: _Optional[_Union[UnitLevel, str]] = ..., parent_code: _Optional[str] = ..., province_code: _Optional[str] = ...) -> None: ...

class GetUnitRequest(_message.Message):
    __slots__ = ("code",)
    CODE_FIELD_NUMBER: _ClassVar[int]
    code: _identifiers_pb2.AdministrativeUnitCode
    def __init__(self, code: _Optional[_Union[_identifiers_pb2.AdministrativeUnitCode, _Mapping]] = ...) -> None: ...

class GetUnitResponse(_message.Message):
    __slots__ = ("unit",)
    UNIT_FIELD_NUMBER: _ClassVar[int]
    unit: AdministrativeUnit
    def __init__(self, unit: _Optional[_Union[AdministrativeUnit, _Mapping]] = ...) -> None: ...

class ResolveUnitRequest(_message.Message):
    __slots__ = ("code",)
    CODE_FIELD_NUMBER: _ClassVar[int]
    code: _identifiers_pb2.AdministrativeUnitCode
    def __init__(self, code: _Optional[_Union[_identifiers_pb2.AdministrativeUnitCode, _Mapping]] = ...) -> None: ...

class ResolveUnitResponse(_message.Message):
    __slots__ = ("unit", "successors", "split", "predecessors")
    UNIT_FIELD_NUMBER: _ClassVar[int]
    SUCCESSORS_FIELD_NUMBER: _ClassVar[int]
    SPLIT_FIELD_NUMBER: _ClassVar[int]
    PREDECESSORS_FIELD_NUMBER: _ClassVar[int]
    unit: AdministrativeUnit
    successors: _containers.RepeatedCompositeFieldContainer[AdministrativeUnit]
    split: bool
    predecessors: _containers.RepeatedCompositeFieldContainer[AdministrativeUnit]
    def __init__(self, unit: _Optional[_Union[AdministrativeUnit, _Mapping]] = ..., successors: _Optional[_Iterable[_Union[AdministrativeUnit, _Mapping]]] = ..., split: _Optional[bool] = ..., predecessors: _Optional[_Iterable[_Union[AdministrativeUnit, _Mapping]]] = ...) -> None: ...

class ListUnitsRequest(_message.Message):
    __slots__ = ("code_list_version", "level", "within_code")
    CODE_LIST_VERSION_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    WITHIN_CODE_FIELD_NUMBER: _ClassVar[int]
    code_list_version: str
    level: UnitLevel
    within_code: str
    def __init__(self, code_list_version: _Optional[str] = ..., level: _Optional[_Union[UnitLevel, str]] = ..., within_code: _Optional[str] = ...) -> None: ...

class ListUnitsResponse(_message.Message):
    __slots__ = ("units",)
    UNITS_FIELD_NUMBER: _ClassVar[int]
    units: _containers.RepeatedCompositeFieldContainer[AdministrativeUnit]
    def __init__(self, units: _Optional[_Iterable[_Union[AdministrativeUnit, _Mapping]]] = ...) -> None: ...
