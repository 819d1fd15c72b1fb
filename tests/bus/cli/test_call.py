"""`govbus call` against a real broker and provider: what it sends, what it shows, and what it keeps to itself."""

import asyncio
import json
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bus.exchange import load_provider_config, serve  # isort: skip - before gRPC
from bus.exchange.errors import Failure, ProviderError  # isort: skip - before gRPC

import grpc
import pytest
import yaml
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from vn.administrative.v1 import administrative_pb2 as pb
from vn.administrative.v1 import administrative_pb2_grpc as rpc
from vn.civilstatus.v1 import civilstatus_pb2
from vn.population.v1 import population_pb2

from bus.cli.call_caller import caller_at
from bus.cli.call_describe import proto_of, template_of
from bus.cli.call_result import Outcome, tell
from bus.edge.instance import make_instance
from bus.edge.nation import GrantPlan, SubsystemPlan, contract_image
from bus.engines.broker import Broker
from tests.bus.cli.conftest import COMMAND, Commands, Done
from tests.integration.world import BROKER, CALLER, PURPOSE, UNITS, Units, nation

SERVICE = "vn.administrative.v1.AdministrativeUnitService"
OTHER = "gov/moha/archive"
NOBODY = "gov/moh/clinic"
GET, RESOLVE, LIST = f"{SERVICE}/GetUnit", f"{SERVICE}/ResolveUnit", f"{SERVICE}/ListUnits"
ASK = {"code": {"code": "01", "codeListVersion": "gso-2025-07"}}
SECRET = "079203001234"  # noqa: S105 - looks like a person's number


@dataclass(frozen=True)
class Calls:
    """`govbus call` as the caller of the small nation."""

    commands: Commands

    def run(self, *arguments: object, purpose: str = PURPOSE, status: int = 0) -> Done:
        said = ("--as", CALLER, "--purpose", purpose, "--descriptor-set", self.contracts)
        return self.commands.run("call", *said, *arguments, status=status)

    def json(self, *arguments: object, purpose: str = PURPOSE, status: int = 0) -> Any:
        return json.loads(self.run(*arguments, "--json", purpose=purpose, status=status).stdout)

    def refused(self, *arguments: object, purpose: str = PURPOSE) -> str:
        done = self.run(*arguments, purpose=purpose, status=2)
        assert done.stdout == ""
        return done.stderr

    @property
    def contracts(self) -> Path:
        return self.commands.state / "contracts.binpb"


@contextmanager
def served(config: Path) -> Iterator[None]:
    """The units' provider, on a loop in a thread of its own."""
    ready, stop = threading.Event(), threading.Event()

    async def main() -> None:
        registration = (rpc.add_AdministrativeUnitServiceServicer_to_server, Units())
        async with serve(load_provider_config(config), [registration]):
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(main()), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield
    finally:
        stop.set()
        thread.join(60)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Calls]:
    state = tmp_path_factory.mktemp("calls") / "a state"
    usual = nation()
    twice = (
        GrantPlan("grant-2", CALLER, UNITS, (f"/{RESOLVE}",), (PURPOSE, "civil.death")),
        GrantPlan("grant-3", CALLER, OTHER, (f"/{RESOLVE}",), ("archive.read",)),
    )
    more = (SubsystemPlan(OTHER, serves=True), SubsystemPlan(NOBODY))
    plan = replace(usual, subsystems=(*usual.subsystems, *more), grants=(*usual.grants, *twice))
    instance = make_instance(state, plan, now=datetime.now(UTC))
    with served(instance.config(UNITS)), Broker(instance.broker_home(BROKER)):
        yield Calls(Commands(state))


def test_json_goes_in_and_the_verified_answer_comes_out(calls: Calls, tmp_path: Path) -> None:
    done = calls.run(GET, json.dumps(ASK))
    assert json.loads(done.stdout)["unit"]["provinceCode"] == "01"
    assert "Thành phố Hà Nội" in done.stdout
    (tmp_path / "body.json").write_text(json.dumps(ASK))
    told = calls.json(GET, f"@{tmp_path / 'body.json'}", "--case", "case-7", "--official", "op-4")
    assert (told["status"], told["error"], told["answer"]["unit"]["code"]["code"]) == ("OK", None, "01")
    assert (told["call"]["case_id"], told["call"]["grant"]) == ("case-7", "grant-1")
    assert told["receipt"]["outcome_sequence"] > told["receipt"]["intent_sequence"] > 0
    assert told["milliseconds"] > 0


def test_stream_is_one_json_a_line(calls: Calls) -> None:
    asked = json.dumps({"codeListVersion": "gso-2025-07"})
    lines = calls.run(LIST, asked).stdout.splitlines()
    assert [json.loads(line)["units"][0]["code"]["code"] for line in lines] == ["01", "02", "03"]
    told = calls.json(LIST, asked)
    assert (len(told["answers"]), told["sealed"]) == (3, True)


def test_exit_code_says_who_said_no(calls: Calls) -> None:
    unknown = json.dumps({"code": ASK["code"] | {"code": "99"}})
    by_provider = calls.json(GET, unknown, status=1)
    assert (by_provider["status"], by_provider["error"]["said_by"]) == ("NOT_FOUND", "provider")
    assert by_provider["receipt"] is not None
    both = ("--provider", UNITS, "--grant", "grant-1")
    by_bus = calls.json(GET, json.dumps(ASK), *both, purpose="tax.audit", status=3)
    assert (by_bus["error"]["said_by"], by_bus["error"]["reason"]) == ("bus", "NO_GRANT")
    assert by_bus["error"]["provider_called"] == "no"
    assert by_bus["error"]["do"]
    done = calls.run(GET, json.dumps(ASK), *both, purpose="tax.audit", status=3)
    assert done.stderr.startswith("govbus: the bus refused: NO_GRANT: ")


def test_providers_own_words_end_before_what_is_added_to_them(calls: Calls, capsys: pytest.CaptureFixture[str]) -> None:
    caller = caller_at(calls.commands.state / "subsystems" / CALLER.replace("/", "."))
    for text in ("look at the list", "Look at the list."):
        failure = Failure(None, grpc.StatusCode.NOT_FOUND, text, request_id=b"\x01\xa2")
        assert tell(Outcome(False, [], ProviderError(failure), None, 1.0), caller, None, False) == 1
        assert capsys.readouterr().err.lower().endswith("look at the list. request 01a2.\n")


def test_evidence_of_answer_and_of_error_verifies(calls: Calls, tmp_path: Path) -> None:
    key = ("--policy-key", calls.commands.state / "policy-key.pem")
    for code, status in (("01", 0), ("99", 1)):
        bundle = tmp_path / f"{code}.bundle"
        body = json.dumps({"code": ASK["code"] | {"code": code}})
        told = calls.json(GET, body, "--evidence", bundle, status=status)
        assert told["evidence"]["file"] == str(bundle)
        verified = calls.commands.json("verify", bundle, *key)
        assert verified["call"]["request_id"] == told["call"]["request_id"]
        assert {step["name"] for step in verified["steps"] if step["present"]} >= {"request body", "receipt signature"}


def test_refused_before_the_intent_leaves_no_evidence(calls: Calls, tmp_path: Path) -> None:
    both = ("--provider", UNITS, "--grant", "grant-1", "--evidence", tmp_path / "none")
    done = calls.run(GET, json.dumps(ASK), *both, purpose="tax.audit", status=3)
    assert "no intent was recorded" in done.stderr
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"code": {"code": [SECRET]}}, "code.code: expected text"),
        ({"code": SECRET}, "code: expected an object"),
        ({"code": {"person": SECRET}}, "code.person: no such field"),
        ({SECRET: "01"}, "the body: no such field"),
        ([SECRET], "the body: expected an object"),
        ({"code": {"code": SECRET, "codeListVersion": "gso-2025-07"}}, "code.code: breaks a rule"),
        ({"code": ASK["code"], "Code": SECRET}, "Code: no such field"),
    ],
)
def test_wrong_body_is_told_by_field_and_never_by_value(calls: Calls, body: Any, field: str) -> None:
    said = calls.refused(GET, json.dumps(body))
    assert said.startswith(f"govbus: {field}")
    assert SECRET not in said


@pytest.mark.parametrize("body", ['{"code": ', '{"code": NaN}', '{"code": {}, "code": {}}', "[" * 100_000, "@/nowhere"])
def test_what_is_no_json_is_refused_before_anything_is_sent(calls: Calls, body: str) -> None:
    assert calls.refused(GET, body).startswith("govbus: ")


def test_only_grant_that_fits_is_taken_and_several_are_named(calls: Calls) -> None:
    said = calls.refused(RESOLVE, json.dumps(ASK))
    assert f"--provider {UNITS} --grant grant-1 or --provider {UNITS} --grant grant-2" in said
    assert calls.json(RESOLVE, json.dumps(ASK), purpose="civil.death")["call"]["grant"] == "grant-2"
    assert calls.json(RESOLVE, json.dumps(ASK), "--grant", "grant-1")["call"]["grant"] == "grant-1"
    assert f"archive.read for {OTHER} by grant-3" in calls.refused(RESOLVE, json.dumps(ASK), purpose="tax.audit")
    assert "no grant in force" in calls.refused("vn.population.v1.PopulationService/GetPerson")


def test_what_does_not_fit_is_named(calls: Calls) -> None:
    body = json.dumps(ASK)
    wrong = calls.refused(RESOLVE, body, purpose="tax.audit")
    assert "no grant fits the purpose tax.audit; there is" in wrong
    assert wrong.endswith("; nothing was sent, so `govbus explain` has nothing of it\n")  # `last` is an earlier call
    assert f"no grant fits the provider {NOBODY}; " in calls.refused(RESOLVE, body, "--provider", NOBODY)
    assert "no grant fits the name grant-9; " in calls.refused(RESOLVE, body, "--grant", "grant-9")
    together = calls.refused(RESOLVE, body, "--grant", "grant-3")  # that purpose by another grant
    assert "no grant fits all that was said at once; " in together


def test_collector_that_is_away_costs_spans_and_neither_answer_nor_status(
    calls: Calls, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert calls.json(GET, json.dumps(ASK))["trace_id"] is None  # nobody said where to
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
    told = calls.json(GET, json.dumps(ASK))
    assert (told["status"], len(bytes.fromhex(told["trace_id"]))) == ("OK", 16)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    assert "set it to grpc, or unset it" in calls.refused(GET, json.dumps(ASK))


def test_list_shows_what_may_be_called_now(calls: Calls) -> None:
    found = calls.commands.json("call", "--as", CALLER, "--list")
    assert {(one["method"], one["grant"]) for one in found} == {
        *((each, "grant-1") for each in (GET, RESOLVE, LIST)),
        (RESOLVE, "grant-2"),
        (RESOLVE, "grant-3"),
    }
    assert {one["method"] for one in found if one["stream"]} == {LIST}
    assert "client is missing" in calls.commands.refused("call", "--as", NOBODY, "--list")
    assert GET in calls.commands.run("call", "--as", CALLER, "--list").stdout


def test_description_is_a_body_that_parses(calls: Calls, tmp_path: Path) -> None:
    told = calls.json("--describe", LIST)
    assert told["stream"]
    assert told["request"] == {"codeListVersion": "", "level": "UNIT_LEVEL_PROVINCE", "withinCode": ""}
    done = calls.run("--describe", GET)
    shown = done.stdout
    assert "no grant" not in done.stderr
    (tmp_path / "people.binpb").write_bytes(contract_image([population_pb2.DESCRIPTOR]))
    people = ("vn.population.v1.PopulationService/GetPerson", "--descriptor-set", tmp_path / "people.binpb")
    other = calls.commands.run("call", "--as", CALLER, "--describe", *people)
    assert f"no grant in force lets {CALLER} call it" in other.stderr  # who may not call it may read of it
    assert f"service {SERVICE} {{" in shown
    assert "string code = 2" in shown
    assert "pattern" in shown


@pytest.mark.parametrize("module", [pb, civilstatus_pb2, population_pb2])
def test_every_contract_can_be_described(module: Any) -> None:
    for service in module.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            for message in (method.input_type, method.output_type):
                json_format.ParseDict(template_of(message), GetMessageClass(message)())
            assert method.input_type.full_name in proto_of(method)
            assert "\\'" not in proto_of(method)


def test_contract_cannot_make_its_description_endless() -> None:
    """Thirty levels of four fields each would be 4^30 names; a message inside itself would never end."""
    file = FileDescriptorProto(name="deep.proto", package="deep", syntax="proto3")
    for level in range(30):
        message = file.message_type.add(name=f"L{level}")
        for number in range(1, 5):
            inner = f".deep.L{min(level + 1, 29)}"
            message.field.add(
                name=f"f{number}", number=number, type="TYPE_MESSAGE", type_name=inner, label="LABEL_OPTIONAL"
            )
    pool = DescriptorPool()
    pool.Add(file)
    message_type = pool.FindMessageTypeByName("deep.L0")
    template = template_of(message_type)
    assert len(json.dumps(template)) < 200_000
    json_format.ParseDict(template, GetMessageClass(message_type)())


def test_interrupt_ends_a_call_that_waits_without_a_trace(calls: Calls, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(calls.commands.state / "subsystems" / CALLER.replace("/", "."), home)
    with socket.socket() as nobody:  # bound, and listening to nobody
        nobody.bind(("127.0.0.1", 0))
        config = yaml.safe_load((home / "config.yaml").read_text("utf-8"))
        config["client"]["brokers"][0]["address"] = f"127.0.0.1:{nobody.getsockname()[1]}"
        (home / "config.yaml").write_text(yaml.safe_dump(config), "utf-8")
        said = ["call", "--home", home, "--purpose", PURPOSE, "--descriptor-set", calls.contracts, "--timeout", "120"]
        command = [*COMMAND, *map(str, said), GET, json.dumps(ASK)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            assert running.stderr is not None
            assert running.stderr.readline() == "waiting for the answer\n"
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
    assert (running.returncode, out) == (130, "")
    assert err == "govbus: interrupted; the provider may have acted\n"


def test_wrong_usage_says_what_to_do(calls: Calls, tmp_path: Path) -> None:
    run = calls.commands.refused
    assert "--home DIR" in run("call", "--list")
    assert "not both" in run("call", "--list", "--as", CALLER, "--home", tmp_path)
    assert "keeps no home of gov/x/y" in run("call", "--as", "gov/x/y", "--list")
    assert "No such file" in run("call", "--home", tmp_path, "--list")
    assert "package.Service/Method" in run("call", "--as", CALLER)
    assert "package.Service/Method" in calls.refused("GetUnit")
    assert "no service vn.x.v1.None" in calls.refused("vn.x.v1.None/Get", "--provider", UNITS, "--grant", "g")
    assert "it has GetUnit" in calls.refused(f"{SERVICE}/Nothing", "--provider", UNITS, "--grant", "g")
    assert "no grant for the directory" in run("call", "--as", CALLER, "--purpose", PURPOSE, GET)
    (tmp_path / "torn.binpb").write_bytes(calls.contracts.read_bytes()[:-7])
    said = run("call", "--as", CALLER, "--purpose", PURPOSE, GET, "--descriptor-set", tmp_path / "torn.binpb")
    assert "no whole FileDescriptorSet" in said


def test_incomplete_contract_is_refused(calls: Calls, tmp_path: Path) -> None:
    whole = contract_image([pb.DESCRIPTOR])
    assert whole
    alone = tmp_path / "alone.binpb"
    alone.write_bytes(_only_last(whole))
    said = calls.commands.refused("call", "--as", CALLER, "--purpose", PURPOSE, GET, "--descriptor-set", alone)
    assert "imports included" in said


def _only_last(image: bytes) -> bytes:
    return FileDescriptorSet(file=FileDescriptorSet.FromString(image).file[-1:]).SerializeToString()
