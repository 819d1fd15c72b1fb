"""What a run says of itself at its end: whether a test with a program from elsewhere ran, or why it was skipped.

A test tells a line with `tell("jaeger: ran")`, before it skips too. The line travels with the test's report, so it is
printed once however many workers the run has.
"""

from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["pytest_terminal_summary", "tell"]

_NAME = "told"


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Say a line at the end of the run."""
    return lambda line: record_property(_NAME, line)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print what was told, above the closing line."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    told = [value for report in reports for name, value in getattr(report, "user_properties", ()) if name == _NAME]
    for line in sorted(set(told)):
        terminalreporter.write_line(line)
