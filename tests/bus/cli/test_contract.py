"""`govbus contract`: sets joined and generated from, as a developer elsewhere does.

Pulling is tested where a directory is: tests/integration/test_registry_services.py.
"""

import json
import subprocess
import sys
from pathlib import Path

from bus.cli.contract_fetch import join_contracts  # isort: skip - before gRPC

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from typer.testing import CliRunner
from vn.administrative.v1 import administrative_pb2
from vn.population.v1 import population_pb2

from bus.cli.main import app
from bus.cli.output import Unable
from bus.edge.nation import contract_image
from tests.support.contracts import compiled

UNITS = contract_image([administrative_pb2.DESCRIPTOR])
PEOPLE = contract_image([population_pb2.DESCRIPTOR])


def test_joined_contracts_have_each_file_once_and_imports_first() -> None:
    files = [file.name for file in FileDescriptorSet.FromString(join_contracts([UNITS, PEOPLE, UNITS])).file]
    assert len(files) == len(set(files))
    for file in FileDescriptorSet.FromString(join_contracts([UNITS, PEOPLE])).file:
        assert all(files.index(name) < files.index(file.name) for name in file.dependency)


def test_contracts_that_disagree_about_a_file_are_never_mixed() -> None:
    other = FileDescriptorSet.FromString(PEOPLE)
    (shared,) = [file for file in other.file if file.name == "vn/common/v1/identifiers.proto"]
    shared.message_type[0].name = "Elsewhere"
    with pytest.raises(Unable, match=r"different versions of vn/common/v1/identifiers\.proto"):
        join_contracts([UNITS, other.SerializeToString()])


def test_contracts_compiled_by_different_compilers_join() -> None:
    other = FileDescriptorSet.FromString(PEOPLE)
    for file in other.file:
        if file.name == "google/protobuf/descriptor.proto":
            file.message_type.pop()
        file.source_code_info.location.add(leading_comments="kept by another compiler")
    joined = FileDescriptorSet.FromString(join_contracts([UNITS, other.SerializeToString()]))
    assert "google/protobuf/descriptor.proto" in {file.name for file in joined.file}


def test_stubs_are_importable_where_nothing_but_the_set_is_known(tmp_path: Path) -> None:
    file, out = tmp_path / "a set.binpb", tmp_path / "the stubs"
    file.write_bytes(join_contracts([UNITS, PEOPLE]))
    made = CliRunner().invoke(app, ["contract", "stub", str(file), "--out", str(out)])
    assert made.exit_code == 0, made.stderr
    assert "vn.population.v1.population_pb2" in made.stdout.splitlines()
    assert (out / "vn/population/v1/population_pb2_grpc.pyi").exists()
    assert not (out / "vn/common/v1/identifiers_pb2_grpc.py").exists()
    asked = "from vn.population.v1 import population_pb2_grpc as found; print(found.__file__)"
    ran = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(out)!r}); {asked}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    assert ran.stdout.startswith(str(out))


@pytest.mark.parametrize("content", [b"", b"\xff\xff", b"not a set at all"])
def test_file_that_is_no_set_is_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x").write_bytes(content)
    made = CliRunner().invoke(app, ["contract", "stub", str(tmp_path / "x"), "--out", str(tmp_path / "out")])
    assert made.exit_code == 2
    assert "govbus contract pull" in made.stderr


TEXT = """syntax = "proto3";
package vn.x.v1;
import "vn/options/v1/options.proto";
message Question { string name = 1 [(vn.options.v1.data_class) = DATA_CLASS_OPEN]; int32 year = 2; }
service XService { rpc Ask(Question) returns (Question); }
"""


def test_folder_of_contracts_is_compared_with_a_set_before_anybody_is_asked(tmp_path: Path) -> None:
    folder, pulled = tmp_path / "the contracts", tmp_path / "pulled.binpb"
    file = folder / "vn" / "x" / "v1" / "x.proto"
    file.parent.mkdir(parents=True)
    pulled.write_bytes(compiled({"vn/x/v1/x.proto": TEXT.partition("\n")[2]}))
    asked = ["contract", "check", str(folder), "--against", str(pulled)]
    file.write_text(TEXT.replace("int32 year = 2;", "int32 year = 2; string more = 3;"))
    added = CliRunner().invoke(app, asked)
    assert added.exit_code == 0, added.stderr
    assert added.stdout.splitlines() == [f"{folder} breaks nothing of {pulled}", "it declares vn.x.v1.XService"]
    file.write_text(TEXT.replace("int32 year = 2;", ""))
    broken = CliRunner().invoke(app, asked)
    assert broken.exit_code == 1
    assert broken.stdout.startswith("vn/x/v1/x.proto: FIELD_NO_DELETE_UNLESS_NAME_RESERVED: ")
    assert "a new version of the package" in broken.stderr
    told = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert {one["element"] for one in told["breaks"]} == {"vn.x.v1.Question.year"}
    file.write_text(TEXT.replace("message", "massage"))
    wrong = CliRunner().invoke(app, asked)
    assert (wrong.exit_code, "x.proto:4:1" in wrong.stderr) == (2, True)
