"""Features whose names are those of other things are features all the same."""

from dataclasses import replace

import numpy as np
import pytest

from agent.monitoring.model_monitor import ModelMonitor
from agent.monitoring.rows import Labelled, Served
from agent.monitoring.signals import OWN, apart, means
from agent.settings import DriftSettings, MonitorSettings

NAMES = (
    "loss",
    "prediction",
    "*",
    "label",
    "error",
    "key",
    "version",
    "latency",
    "at_s",
    "feature.loss",
    "feature.",
    "",
)


def symptoms(settings: DriftSettings, name: str) -> set[tuple[str, str]]:
    """What is told where the feature `name` moves by five deviations after 3,000 rows, and nothing else does."""
    drawn = np.random.default_rng(0)
    monitor = ModelMonitor(settings)
    row = Served("", 0.0, {}, 0.5, 0.01, "1", "r")
    for n in range(6000):
        value = float(drawn.normal(5.0 if n >= 3000 else 0.0))
        monitor.rows([replace(row, key=str(n), at_s=float(n), features={name: value, "calm": float(drawn.normal())})])
        monitor.labels([Labelled(str(n), float(n), float(n % 2))])
    return {(each.kind, each.signal) for each in monitor.report(6000.0).symptoms}


@pytest.mark.parametrize("name", NAMES)
def test_a_feature_that_drifts_is_told_as_a_feature_whatever_it_is_called(name: str) -> None:
    """Its drift is none of the error or of the predictions, by the monitors that there are without a word of anybody."""
    signal = f"feature.{name}" if name in {"loss", "prediction", "*", "feature.loss", "feature."} else name
    assert symptoms(DriftSettings(window_rows=500), name) == {("feature_drift", signal)}


def test_a_monitor_of_the_loss_is_put_on_no_feature_of_that_name_and_one_of_the_feature_not_on_the_loss() -> None:
    """With the prefix a feature can be named whatever it is called."""
    of_loss = MonitorSettings(kind="error_drift", use="adwin", signal="loss", parameters={"delta": 1e-6})
    of_feature = replace_signal(of_loss, "feature.loss")
    assert symptoms(DriftSettings(window_rows=500, monitors=(of_loss,)), "loss") == set()
    assert symptoms(DriftSettings(window_rows=500, monitors=(of_loss, of_feature)), "loss") == {
        ("feature_drift", "feature.loss")
    }
    assert symptoms(DriftSettings(window_rows=500, monitors=(of_feature,)), "feature.loss") == set()


def replace_signal(monitor: MonitorSettings, signal: str) -> MonitorSettings:
    return monitor.model_copy(update={"signal": signal, "kind": "feature_drift"})


def test_no_two_features_share_a_signal_and_none_has_one_of_the_monitors_own() -> None:
    """Whatever their names are."""
    signals = [apart(name, OWN) for name in NAMES]
    assert len(set(signals)) == len(NAMES)
    assert not OWN & set(signals)
    for signal in [*signals, *OWN]:
        assert sum(means(signal, name) for name in NAMES) == (signal not in OWN)
