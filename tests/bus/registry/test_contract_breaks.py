"""What breaks whoever relies on a registered contract is found and named; what does not, passes."""

import re
from typing import NoReturn

import pytest
from govbus.ledger.v1 import ledger_pb2
from govbus.registry.v1 import admin_pb2, directory_pb2, renewal_pb2
from vn.administrative.v1 import administrative_pb2
from vn.population.v1 import population_pb2

from bus.edge.nation import contract_image
from bus.registry.change import Change
from bus.registry.contract_buf import Break
from bus.registry.contract_compare import ContractBreaks
from bus.registry.contract_door import ContractDoor
from bus.registry.contracts import contract_changes
from bus.registry.members import InstanceFounded, MemberAdded
from bus.registry.refusal import Refusal, RefusalReason
from bus.registry.services import ServiceOffered
from bus.registry.subsystems import SubsystemAdded
from tests.bus.registry.support import Log
from tests.support.contracts import compiled

FILE = "vn/civil/v1/civil.proto"
COMMON = "vn/place/v1/place.proto"
MOJ, HANOI = "gov/moj/civil", "gov/hanoi/civil"
CIVIL = "vn.civil.v1.CivilService"
PLACE = """package vn.place.v1;
message Place { string code = 1; }
"""
BASE = """package vn.civil.v1;
import "vn/place/v1/place.proto";
enum Kind { KIND_UNSPECIFIED = 0; KIND_BIRTH = 1; }
message Question { string number = 1; string birth_place = 2; int32 year = 3; Kind kind = 4; repeated string tag = 5; }
message Answer { string number = 1; vn.place.v1.Place place = 2; oneof more { string note = 3; int64 count = 4; } }
service CivilService {
  rpc Ask(Question) returns (Answer);
  rpc Find(Question) returns (Answer);
  rpc Follow(Question) returns (Answer);
}
service OtherService { rpc Ask(Question) returns (Answer); }
"""
BROKEN = {
    "KIND_BIRTH = 1;": "",
    "int32 year = 3;": "int32 year = 13;",
    "string note = 3;": "string remark = 3;",
    "string number = 1; string birth": "bytes number = 1; string birth",
    "string birth_place = 2;": 'string birth_place = 2 [json_name = "place"];',
    "repeated string tag": "string tag",
    "vn.place.v1.Place place = 2;": "",
    "rpc Find(Question) returns (Answer);": "",
    "rpc Follow(Question) returns (Answer)": "rpc Follow(Question) returns (stream Answer)",
    "rpc Ask(Question) returns (Answer);\n  ": "rpc Ask(Question) returns (Question);\n  ",
    "service OtherService { rpc Ask(Question) returns (Answer); }": "",
}
FOUND = {
    ("ENUM_VALUE_NO_DELETE_UNLESS_NUMBER_RESERVED", "vn.civil.v1.Kind.1"),
    ("FIELD_NO_DELETE_UNLESS_NUMBER_RESERVED", "vn.civil.v1.Question.year"),
    ("FIELD_WIRE_JSON_COMPATIBLE_TYPE", "vn.civil.v1.Question.number"),
    ("FIELD_SAME_NAME", "vn.civil.v1.Answer.3"),
    ("FIELD_SAME_JSON_NAME", "vn.civil.v1.Question.birth_place"),
    ("FIELD_WIRE_JSON_COMPATIBLE_CARDINALITY", "vn.civil.v1.Question.tag"),
    ("FIELD_NO_DELETE_UNLESS_NAME_RESERVED", "vn.civil.v1.Answer.place"),
    ("RPC_NO_DELETE", "vn.civil.v1.CivilService.Find"),
    ("RPC_SAME_SERVER_STREAMING", "vn.civil.v1.CivilService.Follow"),
    ("RPC_SAME_RESPONSE_TYPE", "vn.civil.v1.CivilService.Ask"),
    ("PACKAGE_SERVICE_NO_DELETE", "vn.civil.v1.OtherService"),
}


def civil(*edits: tuple[str, str], place: str = PLACE) -> bytes:
    text = BASE
    for before, after in edits:
        assert before in text
        text = text.replace(before, after)
    return compiled({COMMON: place, FILE: text})


class World:
    """A log with two providers of one contract, and the door before it."""

    def __init__(self) -> None:
        self.images: dict[bytes, bytes] = {}
        self.log = Log(
            [
                InstanceFounded("bus.gov.example"),
                *(MemberAdded("gov", code, code.title(), code.title()) for code in ("moj", "hanoi")),
                *(SubsystemAdded(path) for path in (MOJ, HANOI)),
            ]
        )
        self.door = ContractDoor(self.images.__getitem__)

    def register(self, image: bytes, *more: Change) -> None:
        """As Registry.record does it; Refusal."""
        changes, files = contract_changes(self.log.state, image)
        self.door.judge(self.log.state, changes, files)
        self.images |= files
        self.log.record(*changes, *more)

    def breaks(self, image: bytes) -> tuple[Break, ...]:
        with pytest.raises(ContractBreaks) as refused:
            self.register(image)
        assert refused.value.reason is RefusalReason.CONTRACT_BREAKS
        return refused.value.breaks


@pytest.fixture
def world() -> World:
    made = World()
    made.register(civil(), *(ServiceOffered(path, CIVIL) for path in (MOJ, HANOI)))
    made.log.record(ServiceOffered(MOJ, "vn.civil.v1.OtherService"))
    return made


def test_each_break_is_named_by_file_rule_and_element(world: World) -> None:
    found = world.breaks(civil(*BROKEN.items()))
    assert {(one.rule, one.element) for one in found} >= FOUND
    assert {one.file for one in found} == {FILE}


def test_refusal_says_the_first_few_breaks_and_what_to_do(world: World) -> None:
    with pytest.raises(ContractBreaks) as refused:
        world.register(civil(*BROKEN.items()))
    first, *rest, last = str(refused.value).splitlines()
    assert first.endswith(f"by {len(refused.value.breaks)} changes:")
    assert len(rest) == 5
    assert all(re.fullmatch(rf"  {FILE}: [A-Z_]+: .+", line) for line in rest)
    assert "new version of the package" in last


def test_additions_and_reserved_fields_pass(world: World) -> None:
    before = world.log.state.services[CIVIL].image
    world.register(
        civil(
            ("int32 year = 3;", 'reserved 3; reserved "year"; string month = 6;'),
            ("KIND_BIRTH = 1;", "KIND_BIRTH = 1; KIND_DEATH = 2;"),
            (
                "rpc Ask(Question) returns (Answer);\n",
                "rpc Ask(Question) returns (Answer);\nrpc New(Answer) returns (Answer);",
            ),
            (
                "service OtherService",
                "message Later {} service ThirdService { rpc Ask(Later) returns (Later); }\nservice OtherService",
            ),
            place=PLACE.replace("code = 1;", "code = 1; string name = 2;"),
        )
    )
    assert "/vn.civil.v1.ThirdService/Ask" in world.log.state.methods
    assert world.log.state.services[CIVIL].former == (before,)


def test_package_that_moved_within_its_file_is_refused(world: World) -> None:
    moved = compiled({COMMON: PLACE, FILE: BASE.replace("vn.civil.v1", "vn.civil.v2")})
    assert {one.rule for one in world.breaks(moved)} == {"FILE_SAME_PACKAGE"}


def test_new_version_of_the_package_is_free(world: World) -> None:
    text = BASE.replace("civil.v1", "civil.v2").replace("string number = 1", "bytes number = 1")
    world.register(compiled({COMMON: PLACE, "vn/civil/v2/civil.proto": text}))
    assert {"vn.civil.v1.CivilService", "vn.civil.v2.CivilService"} <= world.log.state.services.keys()


def test_provider_that_is_upgraded_later_registers_nothing_and_breaks_nobody(world: World) -> None:
    world.register(civil(("repeated string tag = 5;", "repeated string tag = 5; string hint = 6;")))
    newest = world.log.state.services[CIVIL].image
    assert contract_changes(world.log.state, civil()) == ([], {})
    elsewhere = compiled({COMMON: PLACE, FILE: BASE}, comments=True)  # the same contract, other bytes
    with pytest.raises(ContractBreaks, match="with nothing to register; else keep") as refused:
        world.register(elsewhere)
    assert refused.value.older
    assert world.log.state.services[CIVIL].image == newest


def test_shared_type_may_be_earlier_or_later_elsewhere_but_never_another(world: World) -> None:
    later, other = (PLACE.replace("code = 1;", f"code = 1; {field} = 2;") for field in ("string name", "int32 name"))
    land = (
        'package vn.land.v1; import "vn/place/v1/place.proto";'
        " service {} {{ rpc Ask(vn.place.v1.Place) returns (vn.place.v1.Place); }}"
    )
    world.register(compiled({COMMON: later, "vn/land/v1/land.proto": land.format("LandService")}))
    world.register(compiled({COMMON: PLACE, "vn/land/v1/plot.proto": land.format("PlotService")}))
    wrong = world.breaks(compiled({COMMON: other, "vn/land/v1/deed.proto": land.format("DeedService")}))
    assert {(one.file, one.element) for one in wrong} == {(COMMON, "vn.place.v1.Place.name")}


def test_service_leaves_its_file_when_nobody_offers_it_any_more() -> None:
    world = World()
    world.register(civil(), ServiceOffered(MOJ, CIVIL))
    world.register(civil(("service OtherService { rpc Ask(Question) returns (Answer); }", "")))
    assert "vn.civil.v1.OtherService" in world.log.state.services  # and whoever offers it again keeps its contract


def test_set_without_some_of_the_package_takes_nothing_away(world: World) -> None:
    text = "package vn.civil.v1; message Paper {} service PaperService { rpc Ask(Paper) returns (Paper); }"
    world.register(compiled({"vn/civil/v1/paper.proto": text}))
    assert world.log.state.services.keys() >= {CIVIL, "vn.civil.v1.PaperService"}


def test_declaration_that_moved_to_another_file_is_held_to_what_it_was(world: World) -> None:
    world.register(compiled({COMMON: PLACE, "vn/civil/v1/moved.proto": BASE}))
    broken = compiled({COMMON: PLACE, FILE: BASE.replace("int32 year = 3;", "string year = 3;")})
    assert {one.element for one in world.breaks(broken)} == {"vn.civil.v1.Question.year"}


def test_two_contracts_of_one_request_are_held_against_each_other(world: World) -> None:
    texts = [
        f"package vn.x.v1; message X {{ {field} = 1; }} service X{name} {{ rpc Ask(X) returns (X); }}"
        for field, name in (("string a", "A"), ("int32 a", "B"))
    ]
    brought = [contract_changes(world.log.state, compiled({"vn/x/v1/x.proto": text})) for text in texts]
    changes, files = [one for several, _ in brought for one in several], dict(brought[0][1]) | brought[1][1]
    with pytest.raises(ContractBreaks):
        world.door.judge(world.log.state, changes, files)


def test_judgement_counts_only_by_what_it_was_made(world: World) -> None:
    image = civil(("repeated string tag = 5;", "repeated string tag = 5; string hint = 6;"))
    judged = world.door.judge(world.log.state, *contract_changes(world.log.state, image))
    assert judged.holds(world.log.state)
    world.register(civil(("repeated string tag = 5;", "repeated string tag = 5; bytes hint = 6;")))
    assert not judged.holds(world.log.state)


def test_first_start_compares_nothing_and_starts_no_child() -> None:
    """An instance's and a nation's own contracts, each set beside those before it: what they share is the same."""

    def child(*_: object) -> NoReturn:
        raise AssertionError("a child was started")

    log, images = Log([InstanceFounded("bus.gov.example")]), dict[bytes, bytes]()
    door = ContractDoor(images.__getitem__, child)
    for several in ((directory_pb2, admin_pb2, renewal_pb2), (ledger_pb2,), (population_pb2, administrative_pb2)):
        image = contract_image([one.DESCRIPTOR for one in several], comments=True)
        changes, files = contract_changes(log.state, image)
        door.judge(log.state, changes, files)
        images |= files
        log.record(*changes)
    assert len(log.state.services) >= 6


def test_methods_are_those_that_the_contract_declares(world: World) -> None:
    changes, files = contract_changes(
        world.log.state, compiled({"vn/y/v1/y.proto": BASE.replace("civil.v1", "y.v1"), COMMON: PLACE})
    )
    (first, *_) = changes
    shorter = type(first)(first.service, first.image, first.methods[:1])  # type: ignore[attr-defined,call-arg]
    with pytest.raises(Refusal) as refused:
        world.door.judge(world.log.state, [shorter], files)
    assert refused.value.reason is RefusalReason.MALFORMED
