import math

import numpy as np
import pytest

from policies.forecasting.alerts import will_miss
from policies.forecasting.experts import LastValue, SeasonalNaive
from policies.forecasting.mixture import Mixture
from policies.forecasting.rates import RateForecast
from policies.testing import deployment, observation, traffic


def fresh() -> RateForecast:
    return RateForecast(mixture=Mixture([LastValue()], horizon=3))


def see(rates: RateForecast, at_s: float, **rps: float | None) -> None:
    things = [
        deployment(name, traffic=None if each is None else traffic(at_s, round(each * 30), window_s=30.0))
        for name, each in sorted(rps.items())
    ]
    rates.see(observation(at_s, *things), things)


def median(rates: RateForecast) -> list[float]:
    return rates.quantiles()[:, 3, 0].tolist()


def test_a_step_is_learned_when_it_is_over():
    """Windows of 30 s every 10 s: a minute of 10/s, then a minute that begins with 20/s."""
    rates = fresh()
    for at_s in range(30, 61, 10):
        see(rates, at_s, a=10.0)
    assert rates.mixture.steps == 1
    assert median(rates) == pytest.approx([10.0] * 4)
    see(rates, 90.0, a=20.0)
    assert rates.now.tolist() == pytest.approx([20.0])
    assert median(rates) == pytest.approx([20.0] * 4)


def test_the_part_of_a_window_that_lies_in_the_step_before_is_taken_out():
    """20 s into a step of 30/s after one of 12/s the window holds (10 * 12 + 20 * 30) / 30 = 24/s: the step is at 30/s."""
    rates = fresh()
    for at_s in range(30, 61, 10):
        see(rates, at_s, a=12.0)
    see(rates, 80.0, a=24.0)
    assert rates.now.tolist() == pytest.approx([30.0])


def test_silence_is_unknown_and_the_same_traffic_counts_once():
    """A minute without traffic is a gap; traffic that was measured before is not news."""
    rates = fresh()
    for at_s in (40.0, 60.0, 90.0, 120.0, 180.0):
        see(rates, at_s, a=10.0 if at_s < 70 else None)
    assert rates.mixture.steps == 3
    assert median(rates) == pytest.approx([10.0] * 4)
    old = [deployment("a", traffic=traffic(50.0, 600, window_s=30.0))]
    rates.see(observation(200.0, *old), old)
    assert math.isnan(rates.now[0])


def test_looks_that_are_rarer_than_steps_tell_every_step_that_their_window_holds():
    """Windows of two minutes every two minutes: each minute is known, and one that no window holds is not."""
    rates = fresh()
    for at_s, rate in ((120.0, 6.0), (240.0, 10.0)):
        thing = deployment("a", traffic=traffic(at_s, round(rate * 120), window_s=120.0))
        rates.see(observation(at_s, thing), [thing])
    assert rates.mixture.steps == 2
    assert rates.mixture.forecast()[0, 3].tolist() == pytest.approx([10.0])
    late = deployment("a", traffic=traffic(420.0, 720, window_s=60.0))
    rates.see(observation(420.0, late), [late])
    assert rates.mixture.steps == 5
    assert median(rates)[0] == pytest.approx(12.0, abs=1.0)


def test_deployments_come_and_go():
    """A new one is unknown; the old one keeps its forecast, whatever its place."""
    rates = fresh()
    for at_s in (30.0, 60.0):
        see(rates, at_s, b=10.0)
    see(rates, 70.0, a=None, b=None)
    assert rates.names == ("a", "b")
    ahead = rates.quantiles()[:, 3]
    assert np.isnan(ahead[:, 0]).all()
    assert ahead[:, 1] == pytest.approx([10.0] * 4)


def test_the_past_may_be_told():
    """Rates of the minutes before; the shorter one ends with the longer one."""
    rates = fresh()
    rates.recall({"a": (1.0, 3.0, 3.0), "b": (5.0,)})
    assert rates.mixture.steps == 3
    assert rates.quantiles()[3, 3].tolist() == pytest.approx([3.0, 5.0])


def test_an_alert_says_when_the_slo_will_be_missed():
    """The fourth minute from now; late already, never late and not known are no prediction."""
    alert = will_miss("app/model", [0.2, 0.3, 0.5, 0.6, 0.9], 0.72, 60.0)
    assert alert is not None
    assert alert.action.text == "app/model will miss its SLO in 4 minutes at this rate"
    assert (alert.because[0].value, alert.because[0].threshold) == (0.9, 0.72)
    for latencies in ([0.9, 0.9], [0.2, 0.2], [0.2, math.nan]):
        assert will_miss("app/model", latencies, 0.72, 60.0) is None


def test_what_came_counts_where_somebody_counts_it():
    """While a queue grows, answers say what the replicas can do and not what is asked of them."""
    rates = fresh()
    late = deployment("a", traffic=traffic(40.0, 300, window_s=30.0, arrived=900))
    rates.see(observation(40.0, late), [late])
    assert rates.now.tolist() == pytest.approx([30.0])


def test_a_nowcast_follows_the_newest_traffic_at_once_and_learns_steps_all_the_same():
    """A minute of 10/s, then a window of 12/s of which most lies in that minute: it is news, until it is older than a step."""
    rates = RateForecast(mixture=Mixture([LastValue()], horizon=3), nowcast=True)
    for at_s in range(30, 61, 10):
        see(rates, at_s, a=10.0)
    see(rates, 70.0, a=12.0)
    assert rates.now.tolist() == pytest.approx([12.0])
    assert median(rates) == pytest.approx([12.0] * 4)
    old = [deployment("a", traffic=traffic(70.0, 360, window_s=30.0))]
    rates.see(observation(131.0, *old), old)
    assert math.isnan(rates.now[0])
    assert rates.mixture.steps == 2


@pytest.mark.parametrize(("newest", "now"), [(40.0, 100.0), (12.0, math.nan)])
def test_what_chance_does_not_explain_is_taken_at_its_word(newest, now):
    """Ten seconds into a minute after one of 10/s, a window of 30 s: 40/s means that its newest 10 s had 100/s, 12/s may be chance."""
    rates = fresh()
    for at_s in range(30, 61, 10):
        see(rates, at_s, a=10.0)
    see(rates, 70.0, a=newest)
    assert rates.now.tolist() == pytest.approx([now], nan_ok=True)


@pytest.mark.parametrize(("highest", "ahead"), [(12.0, 100.0), (200.0, 10.0)])
def test_what_was_never_seen_is_believed_to_stay(highest, ahead):
    """An expert who knows one level only says that it comes back; he is believed where the surge is within what he remembers."""
    rates = RateForecast(mixture=Mixture([SeasonalNaive(2)], horizon=3, history_steps=90))
    rates.recall({"a": [highest, highest, *[10.0] * 40]})
    for at_s in range(30, 61, 10):
        see(rates, at_s, a=10.0)
    see(rates, 70.0, a=40.0)
    assert rates.quantiles()[1, 3, 0] == pytest.approx(ahead, abs=1.0)
