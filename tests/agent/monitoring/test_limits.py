"""Parameters of detectors: what is accepted can be run, and what can not be run is refused where it is written, with the range."""

import itertools
import math
from typing import Any

import numpy as np
import pytest

from agent.monitoring import limits
from agent.monitoring.detectors import RIVER, WINDOWS, build
from agent.settings_file import SettingsError, parse

ODD: list[Any] = [
    0, -1, 0.0, -0.5, 1, 2, 3, 40, 99, 200, 1e-300, 0.5, 0.999999, 1.0, 1.5, 10**6, 10**9, 1e300, 10**400, 10**5000, math.nan, math.inf,
    -math.inf, "x", "5", "", None, True, [1], {"a": 1},
]  # fmt: skip
MANY = np.random.default_rng(0)
STREAM = np.concatenate([MANY.random(450) * 0.4, 0.6 + MANY.random(450) * 0.4]).tolist()


def run(use: str, parameters: dict[str, Any]) -> str:
    """Why the detector is refused; nothing where it took a stream with a change in it and never raised."""
    try:
        detector = build(use, parameters, loss="brier")
    except ValueError as error:
        return str(error)
    for value in STREAM:
        detector.update(value)
    assert getattr(detector, "failures", 0) == 0, f"{use} with {parameters} raises when rows come"
    return ""


@pytest.mark.parametrize("use", [*RIVER, *WINDOWS])
def test_whatever_a_parameter_is_it_can_be_run_or_is_refused_with_its_name_and_range(use: str) -> None:
    """Each alone, zero or negative, huge or no number; no sentence of a library, no exception but ours."""
    for name, value in itertools.product([*limits.LIMITS[use], *limits.SWITCHES.get(use, {})], ODD):
        told = run(use, {name: value})
        assert told == "" or (f"detector {use!r}: {name}: found " in told and "; expected " in told), (
            name,
            value,
            told,
        )


@pytest.mark.parametrize("use", sorted(limits.FITTING))
def test_two_parameters_that_do_not_fit_one_another_are_refused_and_those_that_do_run(use: str) -> None:
    """Whichever of them is written, and with what is given where the other is not."""
    small, _, large = limits.FITTING[use]
    numbers = [0.3, 0.5, 0.95, 0.99] if use == "eddm" else [1, 2, 30, 31, 99, 100, 101]
    for first, second in itertools.product([None, *numbers], [None, *numbers]):
        written = {name: value for name, value in ((small, first), (large, second)) if value is not None}
        told = run(use, written)
        assert not told or ": expected at " in told.replace("; ", ": "), (written, told)


@pytest.mark.parametrize(
    ("use", "parameters", "fault"),
    [
        ("fhddm", {"short_window_size": 101}, ("short_window_size", "found 101; expected at most 100, since sliding_window_size is 100")),
        ("fhddm", {"sliding_window_size": 5, "short_window_size": 5}, None),
        ("kswin", {"window_size": 59}, ("window_size", "found 59; expected at least 60, since stat_size is 30")),
        ("kswin", {"stat_size": 51, "window_size": 101}, ("stat_size", "found 51; expected at most 50.5, since window_size is 101")),
        ("kswin", {}, None),
        ("eddm", {"alpha": 0.5}, ("alpha", "found 0.5; expected at least 0.9, since beta is 0.9")),
        ("kswin", {"window_size": 10**9}, ("window_size", "found 1000000000; expected a whole number of at least 1 and at most 10,000")),
        ("hddm_w", {"two_sided_test": 1}, ("two_sided_test", "found 1; expected one of true, false")),
        ("eddm", {"bets": 1}, ("bets", "there is no parameter 'bets'; expected one of alpha, beta, warm_start; did you mean 'beta'?")),
    ],
)  # fmt: skip
def test_the_fault_names_the_parameter_that_was_written(use: str, parameters: dict, fault: tuple | None) -> None:
    """With what was found, and what was expected beside the other one."""
    assert limits.fault(use, parameters) == fault


FILE = """\
models:
  m:
    drift:
      monitors:
        - {kind: error_drift, use: adwin}
        - kind: error_drift
          use: USE
          parameters:
            KEY: VALUE
"""


@pytest.mark.parametrize(
    ("use", "key", "value", "told"),
    [
        ("fhddm", "short_window_size", "200", "found 200; expected at most 100, since sliding_window_size is 100"),
        ("kswin", "stat_size", "0", "found 0; expected a whole number of at least 1 and at most 10,000"),
        ("eddm", "beta", ".nan", "found nan; expected a number above 0 and below 1"),
        ("page_hinkley", "threshold", "-5", "found -5; expected a number above 0"),
        ("adwin", "delta", "small", "found 'small'; expected a number above 0 and below 1"),
        ("hddm_a", "drift_confidence", "1e9", "found 1000000000.0; expected a number above 0 and below 1"),
    ],
)
def test_a_configuration_says_file_line_and_key_of_a_parameter(use: str, key: str, value: str, told: str) -> None:
    """As of every other setting."""
    text = FILE.replace("USE", use).replace("KEY", key).replace("VALUE", value)
    with pytest.raises(SettingsError) as refused:
        parse(text, "f.yaml", {})
    place = f"f.yaml:9: models.m.drift.monitors[1].parameters.{key}"
    assert str(refused.value) == f"{place}: detector {use!r}: {key}: {told}"


class Strict:
    """A detector of a user's own that takes no wrong parameter."""

    drift_detected = False

    def __init__(self, level: float = 1.0) -> None:
        if level <= 0:
            raise ArithmeticError("level must be positive")

    def update(self, value: float) -> None: ...


@pytest.mark.parametrize("parameters", [{"level": 0}, {"levle": 1}, {1: 2}])
def test_what_a_detector_of_a_users_own_says_of_its_parameters_is_a_fault_of_the_configuration(
    parameters: dict,
) -> None:
    """Whatever it raises, at the line of the monitor."""
    text = FILE.replace("USE", f'"{__name__}:Strict"').replace(
        "KEY: VALUE", ", ".join(f"{k}: {v}" for k, v in parameters.items())
    )
    with pytest.raises(SettingsError, match=r"^f.yaml:6: models.m.drift.monitors\[1\]: detector .* can not be made: "):
        parse(text, "f.yaml", {}, allowed=(__name__.partition(".")[0], __name__))
