"""An alarm says the state that is: it goes when the signal has come back, and a second drift is another alarm."""

import pickle

import numpy as np
import pytest

from agent.monitoring.detectors import RIVER, build
from agent.monitoring.model_monitor import ModelMonitor
from agent.monitoring.rows import Labelled, Served
from agent.settings import DriftSettings, MonitorSettings


def spans(detector, values) -> list[tuple[int, int]]:
    """From when until when it alarmed, each time."""
    found: list[tuple[int, int]] = []
    for n, value in enumerate(values):
        detector.update(value)
        if detector.drift_detected:
            start = found[-1][0] if found and found[-1][1] == n - 1 else n
            if start != n:
                found.pop()
            found.append((start, n))
    return found


def served(n: int, **features) -> Served:
    return Served(str(n), float(n), features, 0.3, 0.01, "", "r1")


def test_a_feature_that_drifts_comes_back_and_drifts_again_is_told_of_twice() -> None:
    """Rows 3,000 to 8,000 and from 23,000 on: in between nothing is said, and the second symptom has a time of its own."""
    drawn, monitor = np.random.default_rng(0), ModelMonitor(DriftSettings())
    since: dict[int, list[float]] = {}
    for n in range(26_000):
        shifted = 3000 <= n < 8000 or n >= 23_000
        monitor.rows([served(n, x=float(drawn.normal(5.0 if shifted else 0.0)))])
        if n % 1000 == 999:
            since[n + 1] = [s.since_s for s in monitor.report(float(n)).symptoms if s.signal == "x"]
    assert [at for at, found in since.items() if found] == [*range(4000, 9000, 1000), *range(24_000, 27_000, 1000)]
    assert all(3000 <= found[0] < 3200 for at, found in since.items() if 4000 <= at <= 8000)
    assert all(23_000 <= found[0] < 23_200 for at, found in since.items() if at >= 24_000)


@pytest.mark.parametrize("use", ["adwin", "page_hinkley", "hddm_a", "hddm_w", "ddm", "fhddm"])
@pytest.mark.parametrize("rises_only", [False, True])
def test_every_detector_takes_its_alarm_back_and_alarms_again(use: str, rises_only: bool) -> None:
    """Errors at a tenth, a half, a tenth and a half: it alarms while there are many, and not long after."""
    drawn = np.random.default_rng(3)
    values = np.concatenate([drawn.random(4000) < share for share in (0.1, 0.5, 0.1, 0.5)]).astype(float)
    found = spans(build(use, {}, rises_only=rises_only, loss="zero_one"), values.tolist())
    alarmed = np.zeros(16_000)
    for start, end in found:
        alarmed[start : end + 1] = 1
    assert alarmed[4500:8000].all()
    assert alarmed[12_500:].all()
    assert not alarmed[10_000:12_000].any()


@pytest.mark.parametrize("shift", [0.15, 0.5, 5.0])
def test_a_signal_that_stays_away_stays_an_alarm(shift: float) -> None:
    """For as long as it is away, by little or by much."""
    drawn = np.random.default_rng(1)
    values = np.concatenate([drawn.normal(size=8000), drawn.normal(shift, size=30_000)])
    found = spans(build("adwin", {"delta": 1e-6}), values.tolist())
    assert [end for _, end in found] == [37_999]


@pytest.mark.parametrize("shift", [0.2, 1.0, 5.0])
def test_small_shifts_are_taken_back_too(shift: float) -> None:
    """It takes more rows to be sure."""
    drawn = np.random.default_rng(2)
    values = np.concatenate([drawn.normal(size=6000), drawn.normal(shift, size=6000), drawn.normal(size=15_000)])
    ((start, end),) = spans(build("adwin", {"delta": 1e-6}), values.tolist())
    assert 6000 <= start < 12_000 <= end < 20_000


def test_a_signal_that_has_come_half_the_way_is_not_back() -> None:
    """Two of five deviations are left."""
    drawn = np.random.default_rng(2)
    values = np.concatenate([drawn.normal(m, size=5000) for m in (0.0, 5.0, 2.0)])
    assert [end for _, end in spans(build("adwin", {"delta": 1e-6}), values.tolist())] == [14_999]


@pytest.mark.parametrize("use", sorted(RIVER))
def test_no_detector_falls_over_at_its_second_alarm(use: str) -> None:
    """Good and bad in turns, for any loss."""
    for loss in ("zero_one", "brier", "log_loss", "absolute", "squared"):
        drawn = np.random.default_rng(7)
        settings = MonitorSettings(kind="error_drift", use=use)
        monitor = ModelMonitor(DriftSettings(loss=loss, window_rows=500, monitors=(settings,)))
        alarmed = 0
        for n in range(8000):
            of_numbers = loss in {"absolute", "squared"}
            wrong = drawn.random() < (0.1 if (n // 1000) % 2 == 0 else 0.9 if of_numbers else 0.5)
            size = 10.0 if of_numbers else 0.9
            monitor.rows([Served(str(n), float(n), {}, size, 0.0, "", "r1")])
            label = size + drawn.normal(0, 9 if wrong else 1) if size > 1 else float(not wrong)
            monitor.labels([Labelled(str(n), float(n), float(label))])
            alarmed += n % 500 == 499 and bool(monitor.report(float(n)).symptoms)
        assert alarmed > 0, f"{use} is deaf on {loss}"
        assert monitor.refused == {}


class Raising:
    """A detector of a user's own that raises at every hundredth value, and alarms from 50 on."""

    def __init__(self) -> None:
        self.n = 0
        self.drift_detected = False

    def update(self, value: float) -> None:
        self.n += 1
        self.drift_detected = self.n > 50
        if self.n == 100:
            raise RuntimeError("a bug")


class Drawing:
    """A detector of a user's own that draws by chance."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed
        self.drift_detected = False

    def update(self, value: float) -> None:
        self.drift_detected = False


class NoDetector:
    """It has an update, and no alarm."""

    def update(self, value: float) -> None: ...


def test_a_detector_that_raises_costs_no_row_and_is_told_of() -> None:
    """It begins anew; rows and labels are taken in; the report names it."""
    settings = MonitorSettings(kind="prediction_drift", use=f"{__name__}:Raising", signal="prediction")
    monitor = ModelMonitor(DriftSettings(monitors=(settings,)), ("tests",))
    for n in range(1000):
        monitor.rows([served(n)])
    report = monitor.report(1000.0)
    told = f"detector {__name__}:Raising raised on a value of prediction, and began anew"
    assert (report.rows, report.refused) == (1000, {told: 10})


def test_what_is_no_detector_is_refused_when_it_is_built() -> None:
    """Not at the first row."""
    with pytest.raises(ValueError, match="has no update and drift_detected"):
        build(f"{__name__}:NoDetector", {}, allowed=("tests",))


def test_a_detector_that_draws_by_chance_draws_the_same_every_time_and_each_its_own() -> None:
    """The seed comes from outside; one that is given stays."""

    def seeds(drawn: int, **given) -> list[int]:
        settings = tuple(
            MonitorSettings(kind="feature_drift", use=f"{__name__}:Drawing", signal=name, parameters=given)
            for name in ("x", "y")
        )
        monitor = ModelMonitor(DriftSettings(monitors=settings), ("tests",), seed=drawn)
        monitor.rows([served(0, x=1.0, y=1.0)])
        return [w._detector._inner.seed for w in monitor._watches._all()]

    assert seeds(0) == seeds(0) != seeds(1)
    assert len(set(seeds(0) + seeds(1))) == 4
    assert seeds(0, seed=5) == [5, 5]


def test_kswin_says_the_same_every_time() -> None:
    """It draws from its window."""
    values = np.random.default_rng(0).normal(size=3000).tolist()
    assert spans(build("kswin", {}), values) == spans(build("kswin", {}), values)


def test_kswin_is_calm_where_nothing_changes_and_wakes_up_where_labels_turn() -> None:
    """Not River's defaults are used, but some for a test at every row; a parameter that is given leaves the choice to people."""
    drawn = np.random.default_rng(1)
    p = drawn.random(6000)
    right = drawn.random(6000) < p
    right[5000:] = ~right[5000:]
    ((start, _),) = spans(build("kswin", {}), ((p - right) ** 2).tolist())
    assert 5000 <= start < 5400
    assert build("kswin", {"alpha": 0.01})._inner.window_size == 100


def test_a_detector_survives_being_written_down() -> None:
    """In the middle of an alarm: pickled and read again it goes on as it would have."""
    drawn = np.random.default_rng(0)
    values = np.concatenate([drawn.normal(m, size=1500) for m in (0.0, 5.0, 0.0, 5.0)]).tolist()
    monitor = ModelMonitor(DriftSettings(window_rows=200))
    for n, value in enumerate(values[:2000]):
        monitor.rows([served(n, x=value)])
    other = pickle.loads(pickle.dumps(monitor))  # noqa: S301 - our own
    for n, value in enumerate(values[2000:], start=2000):
        monitor.rows([served(n, x=value)])
        other.rows([served(n, x=value)])
    assert monitor.report(1.0) == other.report(1.0)


@pytest.mark.parametrize(
    ("use", "parameters", "told"),
    [
        ("adwin", {"delta": 5}, "delta: found 5; expected a number above 0 and below 1"),
        ("adwin", {"delta": "5"}, "delta: found '5'; expected a number above 0 and below 1"),
        ("adwin", {"delta": float("nan")}, "delta: found nan"),
        ("adwin", {"clock": 0}, "clock: found 0; expected a whole number of at least 1"),
        ("page_hinkley", {"mode": "sideways"}, "mode: found 'sideways'; expected one of up, down, both"),
        ("kswin", {"alpha": 1}, "alpha: found 1"),
        ("window_mean", {"window": 0}, "window: found 0; expected a whole number of at least 10"),
        ("population_stability", {"threshold": -1}, "threshold: found -1; expected a number of at least 0"),
        ("ddm", {"drift": 3}, "there is no parameter 'drift'; expected one of drift_threshold, warm_start, warning_threshold"),
        ("missing_rate", {"confirm": True}, "confirm: found True"),
    ],
)  # fmt: skip
def test_a_parameter_out_of_its_range_is_said_where_it_is_written(use: str, parameters: dict, told: str) -> None:
    """In the settings, before anything runs, and where the detector is built."""
    with pytest.raises(ValueError, match=told):
        MonitorSettings(kind="performance", use=use, parameters=parameters)
    with pytest.raises(ValueError, match=told):
        build(use, parameters)


@pytest.mark.parametrize("use", ["ddm", "eddm", "fhddm"])
def test_detectors_of_right_and_wrong_watch_the_loss_alone(use: str) -> None:
    """A feature is neither."""
    with pytest.raises(ValueError, match="is for right and wrong answers; its signal can only be loss, not 'x'"):
        MonitorSettings(kind="feature_drift", use=use, signal="x")


# -- features of all kinds ----------------------------------------------------------------------------------------


def calm(draw: np.random.Generator, n: int) -> dict:
    """Features that do not change."""
    zone = int(draw.zipf(1.3)) % 3000
    return {
        "postcode": f"{draw.integers(10_000):05d}", "id": f"{draw.integers(2**63):x}", "street": f"street {zone}",
        "shops": f"shop {draw.integers(250)}",
        "price as text": f"{draw.normal(50, 10):.2f}", "country": draw.choice(["DE", "FR", "NO"]),
        "session": f"session {n // 20}", "device": f"device {(n // 20) * 7919 % 40}", "note": "".join(draw.choice(list("abc"), 9)),

        "time": f"2026-01-01T{n // 3600 % 24:02d}:{n // 60 % 60:02d}:{n % 60:02d}",
        "minute": f"2026-01-01 {n // 3600 % 24:02d}:{n // 60 % 60:02d}",
        "income": float(draw.lognormal(10, 2)), "duration": float(draw.pareto(1.1)), "cauchy": float(draw.standard_cauchy()),
        "thousandths": float(draw.normal(5, 0.001)), "rare": float(draw.random() < 0.01), "constant": 7.0,
    }  # fmt: skip


def test_features_that_do_not_change_are_said_to_be_calm_however_many_values_they_have() -> None:
    """Identifiers, names, times, numbers as texts, categories in runs, heavy tails: 12,000 rows without a symptom."""
    draw, monitor = np.random.default_rng(5), ModelMonitor(DriftSettings())
    for n in range(12_000):
        monitor.rows([served(n, **calm(draw, n))])
    assert monitor.report(1.0).symptoms == ()


def test_features_that_change_are_found_however_many_values_they_have() -> None:
    """Other postcodes, shops and countries; a tail that shifts; a feature in thousandths that moves by one deviation; a constant."""
    draw, monitor = np.random.default_rng(5), ModelMonitor(DriftSettings())
    for n in range(12_000):
        row = calm(draw, n)
        if n >= 6000:
            row |= {
                "postcode": f"{draw.integers(2000):05d}", "shops": f"shop {int(draw.normal(125, 25))}",
                "country": draw.choice(["DE", "PL"]),
                "income": float(draw.lognormal(11, 2)), "thousandths": float(draw.normal(5.001, 0.001)), "constant": 8.0,
            }  # fmt: skip
        monitor.rows([served(n, **row)])
    found = {s.signal for s in monitor.report(1.0).symptoms}
    assert found == {"postcode", "shops", "country", "income", "thousandths", "constant"}


def test_the_index_of_a_few_categories_is_what_it_is_by_custom() -> None:
    """What chance explains of it is little there: two windows of 2,000 rows over two categories."""
    detector = build("population_stability", {})
    for share in (0.5, 0.8, 0.8):
        for n in np.random.default_rng(0).permutation(2000):
            detector.update("ab"[int(n >= share * 2000)])
    assert detector.value == pytest.approx(0.3 * np.log(0.8 / 0.5) - 0.3 * np.log(0.2 / 0.5), abs=0.002)
    assert detector.drift_detected
