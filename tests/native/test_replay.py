"""The replay table: an id admitted once is refused for 90 s, and a full table says so instead of forgetting."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from native._fast import ReplayTable
from tests.native.samples import CLIENT, PROVIDER

FRESH, SEEN, FULL = 0, 1, 2
HOLD = 90_000
chance = random.Random("govbus replay")


def test_the_same_id_is_refused_for_its_whole_time_and_free_soon_after() -> None:
    table = ReplayTable(8, HOLD, 5_000)
    asked = chance.randbytes(16)
    assert table.add(CLIENT, asked, 5_000) == FRESH
    assert [table.add(CLIENT, asked, 5_000 + t) for t in (0, 1, 30_000, 89_999, 90_000)] == [SEEN] * 5
    assert table.add(CLIENT, asked, 5_000 + HOLD + 128) == FRESH


def test_being_asked_again_extends_nothing() -> None:
    table = ReplayTable(8, HOLD, 0)
    asked = chance.randbytes(16)
    table.add(CLIENT, asked, 0)
    assert table.add(CLIENT, asked, 80_000) == SEEN
    assert table.add(CLIENT, asked, HOLD + 128) == FRESH


def test_two_clients_may_use_one_id() -> None:
    table = ReplayTable(8, HOLD, 0)
    asked = chance.randbytes(16)
    assert table.add(CLIENT, asked, 0) == FRESH
    assert table.add(PROVIDER, asked, 0) == FRESH


def test_an_id_from_a_recovered_journal_is_held_for_the_rest_of_its_time() -> None:
    table = ReplayTable(8, HOLD, 0)
    asked = chance.randbytes(16)
    assert table.add(CLIENT, asked, 0, 10_000) == FRESH
    assert table.add(CLIENT, asked, 10_000) == SEEN
    assert table.add(CLIENT, asked, 10_128) == FRESH


def test_a_clock_read_a_moment_earlier_changes_nothing() -> None:
    table = ReplayTable(8, HOLD, 1_000)
    asked = chance.randbytes(16)
    table.add(CLIENT, chance.randbytes(16), 50_000)
    assert table.add(CLIENT, asked, 49_000) == FRESH
    assert table.add(CLIENT, asked, 50_000 + HOLD - 1) == SEEN


def test_full_refuses_new_ids_and_keeps_every_old_one() -> None:
    table = ReplayTable(10, HOLD, 0)
    held: list[bytes] = []
    while (answer := table.add(CLIENT, asked := chance.randbytes(16), len(held) // 100)) != FULL:
        assert answer == FRESH
        held.append(asked)
    assert len(held) > 0.9 * 5 * 1024  # moving pairs about lets the table fill
    now = len(held) // 100
    assert all(table.add(CLIENT, each, now) == SEEN for each in held)
    refused = sum(table.add(CLIENT, chance.randbytes(16), now) == FULL for _ in range(2_000))
    assert refused > 0
    assert all(table.add(CLIENT, each, now) == SEEN for each in held)


def test_room_comes_back_with_time() -> None:
    table = ReplayTable(4, HOLD, 0)
    while table.add(CLIENT, chance.randbytes(16), 0) != FULL:
        pass
    later = HOLD + 128
    assert [table.add(CLIENT, chance.randbytes(16), later) for _ in range(20)] == [FRESH] * 20


def test_after_its_units_run_out_it_is_full_and_not_forgetful() -> None:
    table = ReplayTable(4, HOLD, 0)
    assert table.add(CLIENT, chance.randbytes(16), (1 << 32) * 64) == FULL


def test_of_many_threads_with_one_id_exactly_one_is_first() -> None:
    table = ReplayTable(12, HOLD, 0)
    ids = [chance.randbytes(16) for _ in range(400)]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda each: table.add(CLIENT, each, 1), ids * 8))
    assert answers.count(FRESH) == len(ids)
    assert answers.count(SEEN) == 7 * len(ids)


@pytest.mark.parametrize("arguments", [(29, HOLD, 0), (8, 0, 0), (8, -1, 0)])
def test_a_table_that_makes_no_sense_is_not_made(arguments: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="no replay table"):
        ReplayTable(*arguments)
