from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Signature(_message.Message):
    __slots__ = ("key_id", "algorithm", "size", "index", "path", "value")
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    ALGORITHM_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    key_id: bytes
    algorithm: int
    size: int
    index: int
    path: bytes
    value: bytes
    def __init__(self, key_id: _Optional[bytes] = ..., algorithm: _Optional[int] = ..., size: _Optional[int] = ..., index: _Optional[int] = ..., path: _Optional[bytes] = ..., value: _Optional[bytes] = ...) -> None: ...
