"""Tables that one can read: nothing padded, no word broken, nothing lost, a row a line in a pipe."""

import pytest

from bus.cli.near import did_you_mean
from bus.cli.table import cell_width, folded, table_lines

COLUMNS = ("grant", "client", "provider", "for")
ROWS = [
    ("births", "gov/moj/portal", "gov/moj/civil-status", "civil.birth: RegisterBirth GetBirthCertificate"),
    ("wards", "gov/moj/portal", "gov/moha/units", "civil.birth: ResolveUnit"),
]
WORDS = [word for row in (COLUMNS, *ROWS) for cell in row for word in cell.split()]


@pytest.mark.parametrize("width", [None, 200, 100, 80, 60, 40, 20, 1])
def test_every_word_is_whole_and_in_its_place_at_any_width(width: int | None) -> None:
    lines = [line for row in table_lines(COLUMNS, ROWS, width) for line in row]
    assert " ".join(lines).split() == WORDS
    assert [line for line in lines if line != line.rstrip()] == []


@pytest.mark.parametrize("width", [100, 80, 60, 40])
def test_a_terminal_is_not_overrun_where_words_have_room(width: int) -> None:
    lines = [line for row in table_lines(COLUMNS, ROWS, width) for line in row]
    assert max(map(len, lines)) <= width


def test_a_row_in_a_pipe_is_one_line() -> None:
    assert [len(row) for row in table_lines(COLUMNS, ROWS, None)] == [1, 1, 1]


def test_no_head_and_no_rows() -> None:
    assert table_lines(("", ""), [("a", "b")], 80) == [["a  b"]]
    assert table_lines(("", ""), [], 80) == []
    assert table_lines(("one", "two"), [], 80) == [["one  two"]]


def test_letters_of_other_scripts_take_the_columns_that_a_terminal_gives_them() -> None:
    assert [cell_width(text) for text in ("Bo", "Bộ", "Bo\u0323\u0302", "部")] == [2, 2, 2, 2]


def test_a_long_text_goes_on_indented() -> None:
    assert folded("  one two three", 10, "    ") == "  one two\n    three"
    assert folded("  one two three", None, "    ") == "  one two three"
    assert folded("averylongword", 5) == "averylongword"


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("gov/mps/populaton", "gov/mps/population"),
        ("GOV/MPS/POPULATION", "gov/mps/population"),
        ("population", "gov/mps/population"),
        ("PopulationService", "vn.population.v1.PopulationService"),
        ("something-else", None),
        ("", None),
        ("gov/mps/population", None),
    ],
)
def test_the_name_that_was_meant(wrong: str, meant: str | None) -> None:
    known = ("gov/mps/population", "gov/mps/portal", "vn.population.v1.PopulationService", "births")
    assert did_you_mean(wrong, known) == (f"; did you mean {meant}?" if meant else "")
