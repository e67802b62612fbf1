"""Conditions on results: what can be written, and what is measured by it."""

import pytest

from simulators.expectations import ExpectationError, check, lookup, parse
from simulators.tuning_choice import Condition

MEASURES = {
    "dropped": 0.0,
    "models": {
        "meta-llama/Llama-3.1-8B-Instruct": {"p99_s": 0.3},
        "fraud model": {"p99_s": 0.4},
        "a": {"p99_s": 0.5},
        "a.b": {"p99_s": 0.6},
        "x <= y": {"p99_s": 0.7},
        "größe (neu)": {"p99_s": None},
    },
}


@pytest.mark.parametrize(
    ("text", "held", "value"),
    [
        ("models.meta-llama/Llama-3.1-8B-Instruct.p99_s < 10", True, 0.3),
        ("  models.fraud model.p99_s>=.5 ", False, 0.4),
        ("models.a.p99_s == 0.5", True, 0.5),
        ("models.a.b.p99_s != 5e-1", True, 0.6),
        ("models.x <= y.p99_s <= 1", True, 0.7),
        ("models.größe (neu).p99_s < 1", False, None),
        ("dropped <= 0", True, 0.0),
    ],
)
def test_models_are_named_as_they_are_called(text: str, held: bool, value: float | None) -> None:
    """With slashes, spaces, dots and anything else; the longest name that fits is meant, and the last comparison counts."""
    found = check(parse(text), MEASURES)
    assert (found.text, found.held, found.value) == (text, held, value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<",
        "dropped",
        "dropped <",
        "< 3",
        "dropped < 1 < ",
        "dropped = 1",
        "dropped < many",
        "dropped < 1e9999",
        "dropped < 1e400",
        "dropped > -2.5e308",
        f"dropped < {'9' * 400}",
        "a < 1" * 200,
    ],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    """Quickly, also where it is long."""
    with pytest.raises(ExpectationError, match="expected a measure, a comparison and a number"):
        parse(text)


def test_a_name_that_is_not_there_says_which_are() -> None:
    """A slip of the pen."""
    with pytest.raises(ExpectationError, match=r"there is no measure 'models.fraud.p99_s'; known here: a, a.b"):
        lookup("models.fraud.p99_s", MEASURES)


def test_conditions_of_a_tuning_name_them_too() -> None:
    """And may be relative to what was before."""
    plain, relative = (
        Condition.parse("models.fraud model.p99_s <= 2"),
        Condition.parse("models.a/b.p99_s < 1.1 * before"),
    )
    assert plain == Condition(measure="models.fraud model.p99_s", comparison="<=", number=2.0, relative=False)
    assert relative == Condition(measure="models.a/b.p99_s", comparison="<", number=1.1, relative=True)
    for wrong in ("dropped == before", f"dropped < {'9' * 400} * before", "dropped < 1e400"):
        with pytest.raises(ExpectationError, match="expected a measure"):
            Condition.parse(wrong)


@pytest.mark.parametrize(("turned", "meant"), [("=<", "<="), ("=>", ">=")])
def test_a_comparison_that_is_turned_round_says_which_was_meant(turned: str, meant: str) -> None:
    """Instead of taking half of it for the measure's name."""
    with pytest.raises(ExpectationError) as error:
        parse(f"requests {turned} 3")
    assert str(error.value) == f"found {turned!r} in 'requests {turned} 3'; expected {meant!r}, or '==' for equality"
