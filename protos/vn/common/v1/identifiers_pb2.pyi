from buf.validate import validate_pb2 as _validate_pb2
from vn.options.v1 import options_pb2 as _options_pb2
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class PersonNumber(_message.Message):
    __slots__ = ("value",)
    VALUE_FIELD_NUMBER: _ClassVar[int]
    value: str
    def __init__(self, value: _Optional[str] = ...) -> None: ...

class TaxCode(_message.Message):
    __slots__ = ("base", "branch")
    BASE_FIELD_NUMBER: _ClassVar[int]
    BRANCH_FIELD_NUMBER: _ClassVar[int]
    base: str
    branch: str
    def __init__(self, base: _Optional[str] = ..., branch: _Optional[str] = ...) -> None: ...

class AdministrativeUnitCode(_message.Message):
    __slots__ = ("code_list_version", "code")
    CODE_LIST_VERSION_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    code_list_version: str
    code: str
    def __init__(self, code_list_version: _Optional[str] = ..., code: _Optional[str] = ...) -> None: ...
