"""Whatever bytes somebody registers as a contract cost whoever sends them, and nobody slips past the comparison."""

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from bus.engines.postgres_database import Database
from bus.registry import contract_buf, contract_launch
from bus.registry.contract_buf import find_breaks
from bus.registry.contract_compare import ContractBreaks, Former, verify_compatible
from bus.registry.contract_set import LARGEST_BYTES, parse_contract
from bus.registry.contracts import contract_changes
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.registry import Registry
from bus.registry.store import EventStore
from tests.bus.registry.conftest import Clock
from tests.bus.registry.support import ACT, IMAGE, NOW, SERVICE
from tests.support.contracts import compiled

Edit = Callable[[FileDescriptorSet], object]
kinds = FieldDescriptorProto
SMALL = "vn/population/v1/small.proto"


def small(image: FileDescriptorSet) -> FileDescriptorProto:
    (found,) = [file for file in image.file if file.name == SMALL]
    return found


def edited(edit: Edit) -> bytes:
    image = FileDescriptorSet.FromString(IMAGE)
    edit(image)
    return image.SerializeToString()


def circle(image: FileDescriptorSet) -> None:
    image.file.add(name="a.proto", dependency=["b.proto"])
    image.file.add(name="b.proto", dependency=["a.proto"])


def nested(image: FileDescriptorSet) -> None:
    message = small(image).message_type.add(name="Deep")
    for _ in range(90):
        message = message.nested_type.add(name="Deep")
    for _ in range(60_000):
        message.enum_type.add()


def other_runtime(image: FileDescriptorSet) -> None:
    file = image.file.add(name="google/protobuf/timestamp.proto", package="google.protobuf", syntax="proto3")
    file.message_type.add(name="Timestamp").field.add(
        name="seconds", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL
    )


SETS: dict[str, Edit] = {
    "import that is not there": lambda image: small(image).dependency.append("vn/none.proto"),
    "imports in a circle": circle,
    "imports itself": lambda image: small(image).dependency.append(SMALL),
    "file twice": lambda image: image.file.append(small(image)),
    "declared twice": lambda image: small(image).message_type.add(name="Person"),
    "type that nobody declares": lambda image: (
        small(image)
        .message_type[0]
        .field.add(name="a", number=1, type=kinds.TYPE_MESSAGE, label=kinds.LABEL_OPTIONAL, type_name=".a.B")
    ),
    "name that commands a terminal": lambda image: small(image).message_type.add(name="M\x1b[31m"),
    "file outside the set": lambda image: image.file.add(name="../../etc/passwd.proto"),
    "absolute file": lambda image: image.file.add(name="/etc/a.proto"),
    "name of a file without end": lambda image: image.file.add(name="a" * 300 + ".proto"),
    "too many files": lambda image: [image.file.add(name=f"f{number}.proto") for number in range(1_001)],
    "too many declarations": lambda image: [small(image).message_type.add() for _ in range(50_001)],
    "too many declarations far below": nested,
    "another Timestamp": other_runtime,
    "too large": lambda image: small(image).message_type.add(name="a" * LARGEST_BYTES),
}


@pytest.mark.parametrize("edit", SETS.values(), ids=SETS.keys())
def test_set_that_does_not_hold_together_is_malformed(edit: Edit) -> None:
    with pytest.raises(Refusal) as refused:
        parse_contract(edited(edit))
    assert refused.value.reason is RefusalReason.MALFORMED
    assert len(str(refused.value)) < 700
    assert str(refused.value).isprintable()


def asking(place: str, kind: "kinds.Type.ValueType", *, alone: bool = True, stamp: bytes = b"") -> bytes:
    """A contract whose message lies in a file named `place`, its service there or in one of its own."""
    types = FileDescriptorProto(name=place, package="vn.z.v1", syntax="proto3")
    field = types.message_type.add(name="Z").field.add(name="a", number=1, type=kind, label=kinds.LABEL_OPTIONAL)
    if kind == kinds.TYPE_MESSAGE:
        field.type_name = ".google.protobuf.Timestamp"
    runtime = FileDescriptorSet.FromString(stamp).file
    types.dependency.extend(file.name for file in runtime)
    own = FileDescriptorProto(name="vn/z/v1/z.proto", package="vn.z.v1", syntax="proto3", dependency=[place])
    served = types if alone else own
    served.service.add(name="ZService").method.add(name="Ask", input_type=".vn.z.v1.Z", output_type=".vn.z.v1.Z")
    return FileDescriptorSet(file=[*runtime, types, *([] if alone else [own])]).SerializeToString()


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("place", ["buf/validate/z.proto", "google/protobuf/z.proto", "google/protobuf/empty.proto"])
def test_contract_does_not_hide_among_what_comes_with_every_runtime(place: str, alone: bool) -> None:
    def register_and_break() -> None:
        old, new = (parse_contract(asking(place, one, alone=alone)) for one in (kinds.TYPE_STRING, kinds.TYPE_INT32))
        verify_compatible(new, [Former(old, old.services)], old.services, find_breaks)

    with pytest.raises(Refusal) as refused:
        register_and_break()
    assert refused.value.reason in (RefusalReason.MALFORMED, RefusalReason.CONTRACT_BREAKS)


@pytest.mark.parametrize("name", ["Timestamp", "Mine"])
def test_what_comes_with_every_runtime_has_no_more_than_everybody_knows(name: str) -> None:
    stamp = FileDescriptorSet()
    file = stamp.file.add(name="google/protobuf/timestamp.proto", package="google.protobuf", syntax="proto3")
    message = file.message_type.add(name="Timestamp")
    for number, (field, kind) in enumerate((("seconds", kinds.TYPE_INT64), ("nanos", kinds.TYPE_INT32)), 1):
        message.field.add(name=field, number=number, type=kind, label=kinds.LABEL_OPTIONAL)
    parse_contract(asking("vn/z/v1/t.proto", kinds.TYPE_MESSAGE, stamp=stamp.SerializeToString()))
    more = message if name == "Timestamp" else file.message_type.add(name=name)
    more.field.add(name="zone", number=3, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    with pytest.raises(Refusal, match=f"google.protobuf.{name}"):
        parse_contract(asking("vn/z/v1/t.proto", kinds.TYPE_MESSAGE, stamp=stamp.SerializeToString()))


def test_of_what_grows_with_a_runtime_nothing_new_is_used() -> None:
    file = FileDescriptorProto(name="buf/validate/validate.proto", package="buf.validate", syntax="proto2")
    file.message_type.add(name="LaterRules")
    image = FileDescriptorSet.FromString(asking("vn/z/v1/t.proto", kinds.TYPE_STRING))
    image.file.append(file)
    parse_contract(image.SerializeToString())
    image.file[0].dependency.append(file.name)
    later = image.file[0].message_type[0].field.add(name="b", number=2, label=kinds.LABEL_OPTIONAL)
    later.type, later.type_name = kinds.TYPE_MESSAGE, ".buf.validate.LaterRules"
    with pytest.raises(Refusal, match="not everybody has"):
        parse_contract(image.SerializeToString())


def test_set_cut_anywhere_is_malformed() -> None:
    for end in range(0, len(IMAGE), 7):
        with pytest.raises(Refusal) as refused:
            parse_contract(IMAGE[:end])
        assert refused.value.reason is RefusalReason.MALFORMED


def test_field_on_a_reserved_number_is_malformed_though_nothing_is_compared(registry: Registry) -> None:
    file = FileDescriptorProto(name="vn/z/v1/z.proto", package="vn.z.v1", syntax="proto3")
    message = file.message_type.add(name="Z")
    message.reserved_range.add(start=1, end=2)
    message.field.add(name="a", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL)
    file.service.add(name="ZService").method.add(name="Ask", input_type=".vn.z.v1.Z", output_type=".vn.z.v1.Z")
    changes, files = contract_changes(registry.state(), FileDescriptorSet(file=[file]).SerializeToString())
    with pytest.raises(Refusal, match="reserved") as refused:
        registry.record(changes, ACT, files)
    assert refused.value.reason is RefusalReason.MALFORMED


def test_comparison_that_comes_to_no_end_is_a_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contract_buf, "_SECONDS", 0.001)
    files = FileDescriptorSet.FromString(compiled({"slow.proto": "package slow.v1; message Never {}"})).file
    with pytest.raises(Refusal) as refused:
        find_breaks(files, files)
    assert refused.value.reason is RefusalReason.CONTRACT_UNCOMPARED


def test_breaks_without_number_are_told_up_to_a_limit() -> None:
    name = "n" * 1_000
    old = FileDescriptorProto(name="many.proto", package="many.v1", syntax="proto3")
    for number in range(600):
        old.message_type.add(name=f"M{number}{name}").field.add(
            name="a", number=1, type=kinds.TYPE_STRING, label=kinds.LABEL_OPTIONAL
        )
    new = FileDescriptorProto.FromString(old.SerializeToString())
    for message in new.message_type:
        message.field[0].type = kinds.TYPE_INT32
    found = find_breaks([new], [old])
    assert 1 < len(found) <= 100
    assert all(len(str(one)) < 1_000 for one in found)


def test_comparing_child_is_bounded_alone_and_ends_with_whoever_asked(tmp_path: Path) -> None:
    tell = (
        "import os, resource, socket; print(resource.getrlimit(resource.RLIMIT_DATA)[0],"
        " resource.getrlimit(resource.RLIMIT_CPU)[0], [n for _, n in socket.if_nameindex()])"
    )
    command = [sys.executable, "-I", "-S", contract_launch.__file__]
    told = subprocess.run(
        [*command, str(os.getpid()), sys.executable, "-I", "-S", "-c", tell], capture_output=True, text=True, check=True
    )
    memory, seconds, interfaces = told.stdout.split(maxsplit=2)
    assert (int(memory), int(seconds)) == (1 << 30, 20)
    assert interfaces.strip() in ("['lo']", "[]") or os.geteuid() != 0
    assert resource.getrlimit(resource.RLIMIT_DATA)[0] == resource.RLIM_INFINITY
    orphan = subprocess.run([*command, "1", sys.executable, "-c", ""], capture_output=True, text=True, check=False)
    assert (orphan.returncode, orphan.stderr) == (1, "whoever asked is gone\n")


def test_nothing_of_a_comparison_stays_on_the_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    files = FileDescriptorSet.FromString(compiled({"left.proto": "package left.v1; message Over {}"})).file
    assert find_breaks(files, files) == ()
    assert list(tmp_path.iterdir()) == []


TEXT = """package vn.population.v1; import "vn/options/v1/options.proto";
message Person {{ {} }} service PopulationService {{ {} }}"""
METHODS = """rpc GetPerson(Person) returns (Person) {
  option (vn.options.v1.idempotent) = true; option (vn.options.v1.max_lifetime_ms) = 30000; }
rpc ListPersons(Person) returns (stream Person);"""


def test_of_two_that_break_each_other_one_is_refused_whoever_was_compared_first(
    registry: Registry, store: EventStore, database: Database
) -> None:
    """Both are compared with what there was, and wait for the log that is locked here; only one can stand."""
    several = [compiled({SMALL: TEXT.format(field, METHODS)}) for field in ("string name = 1;", "int32 age = 1;")]
    writers = [registry, Registry(store, Clock(NOW + 1))]

    def record(number: int) -> str:
        try:
            changes, files = contract_changes(writers[number].state(), several[number])
            writers[number].record(changes, ACT, files)
        except ContractBreaks as refusal:
            return refusal.breaks[0].file
        return "recorded"

    with ThreadPoolExecutor(2) as pool, database.connect() as connection:
        connection.execute("LOCK TABLE registry_event IN EXCLUSIVE MODE")
        results = [pool.submit(record, number) for number in range(2)]
        _wait_for_locks(database, 2)
        connection.rollback()
        assert sorted(one.result() for one in results) == ["recorded", SMALL]
    kept = registry.attachment(registry.state().services[SERVICE].image)
    assert kept in several


def _wait_for_locks(database: Database, several: int) -> None:
    query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'registry_event'::regclass"
    with database.connect(autocommit=True) as connection:
        for _ in range(600):
            row = connection.execute(query).fetchone()
            if row is not None and row[0] == several:
                return
            connection.execute("SELECT pg_sleep(0.02)")
    raise psycopg.errors.LockNotAvailable("nobody waits for the log")
