"""The table is one that a registry takes: every grant is between members, for methods that its provider offers."""

from importlib.util import find_spec

from bus.nation.founding import grant_made
from bus.nation.members import GRANTS, MEMBERS, PROGRAMS, REGISTRY


def test_grants_are_between_members_for_methods_that_are_offered() -> None:
    offers = {one.path: one.service for one in PROGRAMS} | {REGISTRY: "govbus.registry.v1.DirectoryService"}
    paths = set(offers)
    for row in GRANTS:
        assert {row.client, row.provider} <= paths
        assert row.purposes
        assert {method.rpartition("/")[0] for method in row.methods} == {f"/{offers[row.provider]}"}
    assert len({row.grant_id for row in GRANTS}) == len(GRANTS)


def test_grant_by_which_one_could_go_through_a_register_has_a_daily_limit() -> None:
    for row in GRANTS:
        asks_for_residence = any(method.endswith("/ProveResidence") for method in row.methods)
        assert (0 < row.calls_per_day < 100_000) is asks_for_residence
        assert grant_made(row, 0).quota.calls_per_day == row.calls_per_day


def test_members_are_named_in_both_languages_and_have_programs() -> None:
    for path in {one.path for one in PROGRAMS}:
        names = MEMBERS.get(path.rpartition("/")[0], ("given", "at the instance's founding"))
        assert all(names)
    assert all(find_spec(f"{one.module}.__main__") for one in PROGRAMS)
    assert len({one.path for one in PROGRAMS}) == len(PROGRAMS)
