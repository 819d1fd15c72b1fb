"""What the supervisor looks after must not end it: its end is the brokers' end."""

import logging
from pathlib import Path

import pytest

from bus.up.layout import Layout
from bus.up.running import Options, Running


def test_unforeseen_failure_of_a_renewal_is_told_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running = Running(Layout(tmp_path), Options(), lambda _: None)
    asked = []

    def damaged() -> None:
        asked.append(1)
        raise IndexError

    with caplog.at_level(logging.ERROR):
        running._try("credentials of a broker", damaged)
        running._try("credentials of a broker", damaged)
    assert (len(asked), len(caplog.records)) == (1, 1)
