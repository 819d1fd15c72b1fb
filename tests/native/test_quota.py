"""Check 9's table under clocks that are given: exact rates, days in UTC, nothing used by what is refused, bounded."""

import random
import threading
from dataclasses import dataclass

import pytest

from native._fast import QuotaTable, TakenCall

YES, RATE, CALLS, BYTES, FULL = range(5)
GRANT, PEER = 1, 2
S = 1_000_000_000
DAY = 86_400_000
NOON = 20_000 * DAY + DAY // 2


def took(table: QuotaTable, name: str, at_ns: int, **limits: int) -> int:
    return table.take(name, at_ns, NOON, **limits)[0]


def test_a_burst_is_there_at_once_and_then_one_token_at_a_time() -> None:
    table = QuotaTable(8)
    assert [took(table, "g", 0, rate=4, burst=3) for _ in range(4)] == [YES, YES, YES, RATE]
    assert table.take("g", 0, NOON, rate=4, burst=3)[1] == S // 4
    assert took(table, "g", S // 4 - 1, rate=4, burst=3) == RATE
    assert took(table, "g", S // 4, rate=4, burst=3) == YES
    assert took(table, "g", S // 4, rate=4, burst=3) == RATE


@pytest.mark.parametrize(("rate", "held"), [(1, 1), (7, 7), (100, 100)])
def test_a_burst_of_0_holds_as_many_as_a_second_brings(rate: int, held: int) -> None:
    table = QuotaTable(8)
    assert [took(table, "g", 5, rate=rate) for _ in range(held + 1)] == [YES] * held + [RATE]
    assert [took(table, "g", 5 + 3600 * S, rate=rate) for _ in range(held + 1)] == [YES] * held + [RATE]


@pytest.mark.parametrize("rate", [1, 3, 7, 999, 1_000_003, 4_294_967_295])
def test_the_time_to_wait_is_the_first_moment_at_which_a_token_is_there(rate: int) -> None:
    table, now = QuotaTable(8), 17
    assert took(table, "g", now, rate=rate, burst=1) == YES
    for _ in range(20):
        answer, wait, _ = table.take("g", now, NOON, rate=rate, burst=1)
        assert answer == RATE
        assert wait >= 1
        assert took(table, "g", now + wait - 1, rate=rate, burst=1) == RATE
        now += wait
        assert took(table, "g", now, rate=rate, burst=1) == YES


def test_no_rounding_is_carried_on_over_a_day_of_calls() -> None:
    table, now, yes = QuotaTable(8), 0, 0
    chance = random.Random("govbus quota drift")
    while now < 10_000 * S:
        now += chance.randrange(1, S)
        yes += took(table, "g", now, rate=3, burst=1_000) == YES
        if yes % 5 == 0:
            table.move("g", -2)  # two more, debt or not
            yes += 2
    assert now * 3 // S - 10 <= yes <= now * 3 // S + 1_010


def test_a_clock_read_before_another_workers_takes_nothing_back() -> None:
    table = QuotaTable(8)
    assert took(table, "g", 10 * S, rate=1) == YES
    assert took(table, "g", 9 * S, rate=1) == RATE
    assert took(table, "g", 11 * S - 1, rate=1) == RATE
    assert took(table, "g", 11 * S, rate=1) == YES


def test_debt_is_paid_before_the_next_token() -> None:
    table = QuotaTable(8)
    assert took(table, "peer", 0, rate=10, burst=20) == YES
    table.move("peer", -9 - 19)
    assert table.take("peer", 0, NOON, rate=10, burst=20)[:2] == (RATE, S)
    assert took(table, "peer", S, rate=10, burst=20) == YES


def test_a_token_given_back_is_there_again_and_never_above_the_burst() -> None:
    table = QuotaTable(8)
    assert took(table, "g", 0, rate=1, burst=2) == YES
    table.move("g", 5)
    assert [took(table, "g", 0, rate=1, burst=2) for _ in range(3)] == [YES, YES, RATE]


def test_other_limits_keep_what_was_used() -> None:
    table = QuotaTable(8)
    assert [took(table, "g", 0, rate=1, burst=10) for _ in range(10)] == [YES] * 10
    assert took(table, "g", 0, rate=100, burst=1_000) == RATE, "a raised limit is no gift"
    assert took(table, "g", S // 100, rate=100, burst=1_000) == YES
    assert [took(table, "h", 0, rate=1, burst=10) for _ in range(2)] == [YES] * 2
    assert [took(table, "h", 0, rate=1, burst=3) for _ in range(4)] == [YES] * 3 + [RATE]


def test_names_are_told_apart_in_full_and_by_kind() -> None:
    table = QuotaTable(2)  # four buckets: everything collides
    for name in ("a", "aa", "a" * 64):
        assert [took(table, name, 0, rate=1) for _ in range(2)] == [YES, RATE]
    assert table.take("a", 0, NOON, kind=PEER, rate=1)[0] == YES
    assert table.used == 4


def test_a_name_longer_than_the_table_takes_gets_no_row() -> None:
    assert took(QuotaTable(8, 64), "g" * 65, 0, rate=1) == FULL
    assert took(QuotaTable(8, 200), "g" * 200, 0, rate=1) == YES


def test_pending_calls_and_bytes_count_until_they_are_given_back() -> None:
    table = QuotaTable(8)
    first, second = (table.take("g", 0, NOON, calls=2)[2] for _ in range(2))
    assert first is not None
    assert second is not None
    assert took(table, "g", 0, calls=2) == CALLS
    assert first.add_bytes(100, 60, NOON) == YES
    assert second.add_bytes(100, 41, NOON) == BYTES
    assert second.add_bytes(100, 40, NOON) == YES
    assert table.row("g") == (0, 0, 0, 2, 100)
    assert took(table, "g", 0, bytes=100) == BYTES
    first.give_back()
    assert table.row("g") == (0, 0, 0, 1, 40)
    assert took(table, "g", 0, calls=2) == YES
    del second
    assert table.row("g") == (0, 0, 0, 0, 0)


def test_what_is_refused_uses_nothing_up() -> None:
    table = QuotaTable(8)
    assert [took(table, "g", 0, rate=1, burst=1, calls=5) for _ in range(3)] == [YES, RATE, RATE]
    assert table.row("g") == (0, 0, 0, 0, 0), "calls that were forgotten were given back, refused ones never counted"
    table.count("h", 1, NOON, 5, 0)
    assert took(table, "h", 0, rate=1, burst=1, calls=5) == CALLS
    assert took(table, "h", 0, rate=1, burst=1, calls=6) == YES, "the token was left"


def test_a_day_is_utcs_and_a_late_record_counts_on_the_day_of_its_intent() -> None:
    table = QuotaTable(8)
    last = 20_001 * DAY - 1
    assert table.count("g", 5, last, 1, 10)
    assert table.row("g") == (20_000, 1, 10, 0, 0)
    assert table.take("g", 0, last, calls=1)[0] == CALLS
    assert table.take("g", 0, last + 1, calls=1)[0] == YES
    assert table.count("g", 6, last, 0, 90)
    assert table.row("g") == (20_000, 1, 100, 0, 0)
    assert table.count("g", 7, last + 1, 1, 3)
    assert table.count("g", 8, last, 0, 1_000), "an answer of yesterday's call"
    assert table.row("g") == (20_001, 1, 3, 0, 0)
    assert table.take("g", 0, last, calls=1)[0] == CALLS, "a clock that went back over midnight finds no new day"


def test_a_record_counts_once_however_often_it_is_told() -> None:
    table = QuotaTable(8)
    for sequence in (3, 3, 2, 4, 4, 1):
        table.count("g", sequence, NOON, 1, 7)
    assert table.row("g") == (20_000, 2, 14, 0, 0)


def test_a_full_table_forgets_nothing_that_still_counts() -> None:
    table = QuotaTable(6)
    names = [f"g-{i}" for i in range(64)]
    calls = [table.take(name, 0, NOON, rate=1, calls=9)[2] for name in names[:20]]
    for i, name in enumerate(names[20:40]):
        assert table.count(name, i + 1, NOON, 1, 0)
    for name in names[40:]:
        assert took(table, name, 0, rate=1) == YES  # an empty bucket
    strangers = [f"s-{i}" for i in range(2_000)]
    assert {took(table, name, 0, rate=1) for name in strangers} == {FULL}
    assert table.used == 64
    assert [took(table, name, 0, rate=1) for name in names[40:]] == [RATE] * 24
    assert all(table.row(name) == (20_000, 1, 0, 0, 0) for name in names[20:40])
    assert len(calls) == 20
    assert all(table.row(name) == (0, 0, 0, 1, 0) for name in names[:20])


def test_rows_that_count_nothing_any_more_are_given_to_others() -> None:
    table = QuotaTable(6)
    for i in range(64):
        assert table.count(f"g-{i}", i + 1, NOON, 1, 0)
    assert all(took(table, f"s-{i}", 0, rate=1) == FULL for i in range(200))
    tomorrow = [table.take(f"s-{i}", S, NOON + DAY, rate=1)[0] for i in range(200)]
    assert YES in tomorrow
    assert tomorrow.count(YES) <= 64
    # Their buckets are full again two seconds later, and go round.
    assert YES in [table.take(f"t-{i}", 9 * S, NOON + DAY, rate=1)[0] for i in range(200)]


def test_workers_together_take_no_more_than_there_is() -> None:
    table, answers = QuotaTable(8), []
    kept: list[TakenCall] = []

    def work() -> None:
        for _ in range(500):
            answer, _, call = table.take("g", 7, NOON, rate=1, burst=1_500, calls=1_000)
            answers.append(answer)
            if call is not None:
                kept.append(call)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (answers.count(YES), answers.count(CALLS)) == (1_000, 3_000)
    assert table.row("g") == (0, 0, 0, 1_000, 0)
    kept.clear()
    assert table.row("g") == (0, 0, 0, 0, 0)


@dataclass
class Bucket:
    """The readable definition: whole tokens in thousands of millionths, on one clock."""

    level: int = -1
    at: int = 0

    def take(self, now: int, rate: int, burst: int) -> tuple[int, int]:
        size = (burst or max(1, rate)) * S
        if self.level < 0:
            self.level, self.at = size, now
        self.level = min(size, self.level + max(0, now - self.at) * rate)
        self.at = max(self.at, now)
        if self.level < S:
            return RATE, -(-(S - self.level) // rate)
        self.level -= S
        return YES, 0


def test_the_table_answers_as_the_definition_does() -> None:
    chance = random.Random("govbus quota model")
    table, model, now = QuotaTable(10), {f"g-{i}": Bucket() for i in range(40)}, 1
    limits = {
        name: (chance.choice((1, 2, 50, 3_000_000_000)), chance.choice((0, 1, 5, 4_000_000_000))) for name in model
    }
    for _ in range(20_000):
        now += chance.choice((0, 1, 1_000, 10_000_000, S))
        name = chance.choice(list(model))
        if chance.random() < 0.01:
            limits[name] = chance.randrange(1, 100), chance.randrange(0, 100)
        rate, burst = limits[name]
        seen = now - chance.choice((0, 0, 0, 500))
        assert table.take(name, seen, NOON, rate=rate, burst=burst)[:2] == model[name].take(seen, rate, burst)


def test_a_question_costs_little_among_200_000_grants() -> None:
    table = QuotaTable(18)
    names = [b"grant-%06d" % i for i in range(200_000)]
    table.time_take(names, 1, 1_000, 0)
    assert table.used == 200_000
    some = random.Random("govbus quota cost").sample(names, 20_000)
    nanoseconds, yes = table.time_take(some, 3, 1_000_000, 0)
    print(f"a question costs {nanoseconds:.0f} ns")
    assert yes == 60_000
