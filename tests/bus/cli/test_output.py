"""What every command makes of an error: one line and exit code 2 for those that are expected, by their names."""

from importlib import import_module

import pytest
import typer

from bus.cli.output import EXPECTED, UNABLE, Unable, error_lines, print_table


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_an_expected_error_by_its_name_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module, _, kind = name.rpartition(".")
    error = getattr(import_module(module), kind)
    assert f"{error.__module__}.{error.__qualname__}" == name

    class Below(error):  # type: ignore[misc, valid-type]  # whichever it is
        def __init__(self) -> None:
            pass

        def __str__(self) -> str:
            return "what to do"

    with pytest.raises(typer.Exit) as end, error_lines():
        raise Below
    assert end.value.exit_code == UNABLE
    assert capsys.readouterr().err == "govbus: what to do\n"


def test_a_bug_and_a_reader_that_has_gone_are_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    for error in (ValueError, BrokenPipeError):
        with pytest.raises(error), error_lines():
            raise error
    assert capsys.readouterr().err == ""


def test_a_strangers_text_does_not_command_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(["name"], [["before\x1b[2Jafter\r\nnew row"]])
    with pytest.raises(typer.Exit), error_lines():
        raise Unable("no \x1b]0;title\x07")
    said = capsys.readouterr()
    assert said.out.splitlines()[-1].rstrip() == r"before\x1b[2Jafter\x0d\x0anew row"
    assert said.err == "govbus: no \\x1b]0;title\\x07\n"
