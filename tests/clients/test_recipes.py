"""The recipes of docs/contracts.md make code that compiles, from the set that `govbus contract pull` writes.

Go's is run where its code is used, too: tests/bus/cli/test_proxy_command.py.
"""

import json
from pathlib import Path

from bus.cli.contract_fetch import join_contracts  # isort: skip - before gRPC

import pytest
from vn.administrative.v1 import administrative_pb2
from vn.population.v1 import population_pb2

from bus.edge.nation import contract_image
from tests.clients.tools import KEPT, NODE_MODULES, need, recipe, run


@pytest.fixture
def contracts(tmp_path: Path) -> Path:
    """As pulled by a subsystem that may call two services."""
    file = tmp_path / "contracts.binpb"
    images = [contract_image([module.DESCRIPTOR]) for module in (administrative_pb2, population_pb2)]
    file.write_bytes(join_contracts(images))
    return file


@pytest.mark.soak  # javac takes ten seconds of a core
def test_java_recipe_makes_stubs_that_compile(contracts: Path, tmp_path: Path) -> None:
    need("javac", "protoc", "protoc-gen-grpc-java", KEPT / "java" / "ready")
    run(recipe("Java"), tmp_path)
    # Only what is ours is compiled as a whole: most of the rest is buf/validate.
    sources = sorted(str(path) for path in (tmp_path / "src" / "org" / "example" / "vn").rglob("*.java"))
    assert any(path.endswith("PopulationServiceGrpc.java") for path in sources)
    libraries = f"{KEPT / 'java' / 'libraries'}/*"
    run(["javac", "-implicit:none", "-cp", libraries, "-sourcepath", "src", "-d", "classes", *sources], tmp_path)
    assert list((tmp_path / "classes").rglob("PopulationServiceGrpc.class"))


def test_typescript_recipe_makes_stubs_that_type_check(contracts: Path, tmp_path: Path) -> None:
    need("node", "protoc-gen-ts_proto", KEPT / "node" / "ready")
    run(recipe("TypeScript"), tmp_path)
    assert (tmp_path / "src" / "vn" / "population" / "v1" / "population.ts").exists()
    (tmp_path / "src" / "caller.ts").write_text(
        'import { credentials } from "@grpc/grpc-js";\n'
        'import { PopulationServiceClient } from "./vn/population/v1/population.js";\n'
        'const people = new PopulationServiceClient("127.0.0.1:1", credentials.createInsecure());\n'
        'const asked = { personNumber: undefined, readMask: ["name"] };\n'
        "people.getPerson(asked, (_, answer) => answer?.person?.name?.family);\n"
    )
    options = {"strict": True, "noEmit": True, "module": "nodenext", "target": "es2022", "skipLibCheck": True}
    (tmp_path / "tsconfig.json").write_text(json.dumps({"compilerOptions": options, "include": ["src"]}))
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    run(["node_modules/.bin/tsc", "-p", "."], tmp_path)
