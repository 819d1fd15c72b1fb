"""What the pages show of a FileDescriptorSet: packages, their services, messages and enums, with comments and options.

Every name is a full one (`vn.population.v1.Person.residence`): it is the anchor on its package's page, too. What every
runtime brings (google.protobuf) and the rules' own vocabulary (buf.validate) have no page.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
    OneofDescriptorProto,
    ServiceDescriptorProto,
)

from bus.reference.options import own_options
from bus.reference.rules import field_rules, message_rules, oneof_rules
from bus.reference.text import who_may_call

__all__ = ["Entry", "Enum", "Field", "MessageType", "Method", "Package", "Service", "Value", "packages_of"]

_WITHOUT_PAGE: Final = ("google.protobuf", "buf.validate")
_SCALARS: Final = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in FieldDescriptorProto.Type.items()
    if name not in ("TYPE_MESSAGE", "TYPE_ENUM", "TYPE_GROUP")
}
# Where descriptor.proto puts things: SourceCodeInfo.Location.path is made of these field numbers.
_FILE_PACKAGE, _FILE_MESSAGE, _FILE_ENUM, _FILE_SERVICE, _FILE_EXTENSION, _FILE_SYNTAX = 2, 4, 5, 6, 7, 12
_MESSAGE_FIELD, _MESSAGE_NESTED, _MESSAGE_ENUM, _SERVICE_METHOD, _ENUM_VALUE = 2, 3, 4, 2, 2

Path = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Entry:
    """What has a name, an anchor and a comment."""

    name: str
    full_name: str
    comment: str


@dataclass(frozen=True, slots=True)
class Field(Entry):
    """A field of a message, or an extension."""

    number: int = 0
    label: str = ""
    """`repeated`, `optional`, `map`, or nothing."""
    type_name: str = ""
    """A scalar's name, or the full name of a message or enum."""
    key_type: str = ""
    """Of a map."""
    oneof: str = ""
    extends: str = ""
    """Of an extension: what it may stand on."""
    rules: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class MessageType(Entry):
    """A message."""

    fields: tuple[Field, ...] = ()
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Value(Entry):
    """A value of an enum."""

    number: int = 0


@dataclass(frozen=True, slots=True)
class Enum(Entry):
    """An enum."""

    values: tuple[Value, ...] = ()


@dataclass(frozen=True, slots=True)
class Method(Entry):
    """A method; `may_call` is what its comment says about who may."""

    may_call: str = ""
    request: str = ""
    answer: str = ""
    answers: str = "one"
    streams_in: bool = False
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Service(Entry):
    """A service."""

    methods: tuple[Method, ...] = ()


@dataclass(slots=True)
class Package:
    """Everything of one package, over all its files in the set."""

    name: str
    comments: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    services: list[Service] = field(default_factory=list)
    messages: list[MessageType] = field(default_factory=list)
    enums: list[Enum] = field(default_factory=list)
    extensions: list[Field] = field(default_factory=list)


def packages_of(image: FileDescriptorSet) -> list[Package]:
    """Those with services first, then by name; of files that say no package nothing is shown."""
    found: dict[str, Package] = {}
    for file in image.file:
        if file.package and not file.package.startswith(_WITHOUT_PAGE):
            _File(file).into(found.setdefault(file.package, Package(file.package)))
    return sorted(found.values(), key=lambda one: (not one.services, one.name.startswith("govbus."), one.name))


class _File:
    def __init__(self, file: FileDescriptorProto) -> None:
        self._file = file
        self._comments: dict[Path, str] = {}
        for location in file.source_code_info.location:
            said = [*location.leading_detached_comments] if tuple(location.path) == (_FILE_SYNTAX,) else []
            said += [location.leading_comments, location.trailing_comments]
            self._comments[tuple(location.path)] = "\n\n".join(_unindented(one) for one in said if one.strip())

    def into(self, package: Package) -> None:
        file, name = self._file, self._file.package
        package.files.append(file.name)
        package.comments += [said for part in (_FILE_SYNTAX, _FILE_PACKAGE) if (said := self._said((part,)))]
        package.services += [
            self._service(one, f"{name}.{one.name}", (_FILE_SERVICE, at)) for at, one in enumerate(file.service)
        ]
        for at, message in enumerate(file.message_type):
            self._message(message, f"{name}.{message.name}", (_FILE_MESSAGE, at), package)
        package.enums += [
            self._enum(one, f"{name}.{one.name}", (_FILE_ENUM, at)) for at, one in enumerate(file.enum_type)
        ]
        package.extensions += [
            self._field(one, name, (_FILE_EXTENSION, at), {}, ()) for at, one in enumerate(file.extension)
        ]

    def _said(self, path: Path) -> str:
        return self._comments.get(path, "")

    def _service(self, service: ServiceDescriptorProto, name: str, path: Path) -> Service:
        methods = tuple(
            self._method(one, f"{name}.{one.name}", (*path, _SERVICE_METHOD, at))
            for at, one in enumerate(service.method)
        )
        return Service(service.name, name, self._said(path), methods)

    def _method(self, method: MethodDescriptorProto, name: str, path: Path) -> Method:
        may_call, comment = who_may_call(self._said(path))
        return Method(
            method.name,
            name,
            comment,
            may_call,
            method.input_type.lstrip("."),
            method.output_type.lstrip("."),
            "many" if method.server_streaming else "one",
            method.client_streaming,
            own_options(method.options),
        )

    def _message(self, message: DescriptorProto, name: str, path: Path, package: Package) -> None:
        """It and what is declared inside it; entries of maps are no messages to a reader."""
        maps = {f".{name}.{one.name}": one for one in message.nested_type if one.options.map_entry}
        fields = tuple(
            self._field(one, name, (*path, _MESSAGE_FIELD, at), maps, message.oneof_decl)
            for at, one in enumerate(message.field)
        )
        package.messages.append(
            MessageType(message.name, name, self._said(path), fields, message_rules(message.options))
        )
        for at, nested in enumerate(message.nested_type):
            if not nested.options.map_entry:
                self._message(nested, f"{name}.{nested.name}", (*path, _MESSAGE_NESTED, at), package)
        package.enums += [
            self._enum(one, f"{name}.{one.name}", (*path, _MESSAGE_ENUM, at))
            for at, one in enumerate(message.enum_type)
        ]

    def _field(
        self,
        field: FieldDescriptorProto,
        owner: str,
        path: Path,
        maps: Mapping[str, DescriptorProto],
        oneofs: Sequence[OneofDescriptorProto],
    ) -> Field:
        entry = maps.get(field.type_name)
        key = _type_of(entry.field[0]) if entry else ""
        inside = oneofs[field.oneof_index] if field.HasField("oneof_index") and not field.proto3_optional else None
        rules = list(field_rules(field.options))
        if inside is not None:
            rules += [f"{rule} ({inside.name})" for rule in oneof_rules(inside.options)]
        return Field(
            field.name,
            f"{owner}.{field.name}",
            self._said(path),
            number=field.number,
            label=_label(field, bool(entry)),
            type_name=_type_of(entry.field[1] if entry else field),
            key_type=key,
            oneof=inside.name if inside is not None else "",
            extends=field.extendee.lstrip("."),
            rules=tuple(rules),
            options=own_options(field.options),
        )

    def _enum(self, enum: EnumDescriptorProto, name: str, path: Path) -> Enum:
        values = tuple(
            Value(one.name, f"{name}.{one.name}", self._said((*path, _ENUM_VALUE, at)), one.number)
            for at, one in enumerate(enum.value)
        )
        return Enum(enum.name, name, self._said(path), values)


def _label(field: FieldDescriptorProto, is_map: bool) -> str:
    if is_map:
        return "map"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return "repeated"
    return "optional" if field.proto3_optional else ""


def _type_of(field: FieldDescriptorProto) -> str:
    return _SCALARS.get(field.type) or field.type_name.lstrip(".")


def _unindented(comment: str) -> str:
    """protoc keeps the blank after each `//`."""
    return "\n".join(_lines(comment)).strip()


def _lines(comment: str) -> Iterator[str]:
    for line in comment.splitlines():
        yield line.removeprefix(" ")
