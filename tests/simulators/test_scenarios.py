"""Every shipped scenario says why it is there and holds what it expects: one test for each, so that they run beside each other."""

from pathlib import Path

import pytest

from simulators.data_files import DataMissing
from simulators.run import run
from simulators.scenario import load

FOLDER = Path(__file__).parents[2] / "scenarios"
FILES = sorted(FOLDER.glob("*.scenario.yaml"))
ASKED = 17
"""So many kinds of trouble the simulator promises to ship."""


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".scenario.yaml"))
def test_a_shipped_scenario_holds_what_it_expects(file: Path) -> None:
    """With its own policies, from its own seed, under all rules of the checkers."""
    try:
        result = run(load(file))
    except DataMissing as error:
        pytest.skip(str(error))
    assert {each.text: each.value for each in result.expectations if not each.held} == {}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name.removesuffix(".scenario.yaml"))
def test_a_shipped_scenario_is_a_sentence_with_a_reason_and_expects_something(file: Path) -> None:
    """The name is that of the file, in words; `why` is more than a word or two."""
    told = load(file).settings
    assert told.name.replace(" ", "_") + ".scenario.yaml" == file.name
    assert len(told.why.split()) > 8
    assert len(told.expect) >= 3


def test_there_are_as_many_scenarios_as_promised() -> None:
    """At least, and no two of one name."""
    told = [load(file).settings for file in FILES]
    assert len({each.name for each in told}) == len(told) >= ASKED
