"""`--hypothesis-profile fuzz` gives the tests of this folder 100,000 inputs by chance; without it they are given a small fixed sample."""

from typing import Any

from hypothesis import settings

from tests.fuzz.fuzzing import GIVEN

settings.register_profile("fuzz", print_blob=True)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """How many inputs were given."""
    if GIVEN:
        terminalreporter.section("inputs")
        for name, count in sorted(GIVEN.items()):
            terminalreporter.line(f"{count:>8,}  {name}")
        terminalreporter.line(f"{sum(GIVEN.values()):>8,}  in all")
