"""A loss that means nothing is not told: which pairs have one, and when none is taken at all."""

import numpy as np
import pytest

from agent.monitoring import fitting
from agent.monitoring.model_monitor import ModelMonitor
from agent.monitoring.rows import Labelled, Served
from agent.settings import DriftSettings
from policies.observation import Report

DRAWN = np.random.default_rng(0)
P = DRAWN.random(1000)
YES = (DRAWN.random(1000) < P).astype(float)
PRICES = 350 + 30 * DRAWN.normal(size=1000)


def told(predictions, labels, loss: str = "auto") -> Report:
    monitor = ModelMonitor(DriftSettings(loss=loss, window_rows=200))
    for n, (prediction, label) in enumerate(zip(predictions, labels, strict=True)):
        monitor.rows([Served(str(n), float(n), {}, float(prediction), 0.0, "", "r")])
        monitor.labels([Labelled(str(n), float(n), float(label))])
    return monitor.report(1000.0)


def test_probabilities_are_judged_by_brier_from_the_first_row() -> None:
    """As where it is named."""
    assert told(P, YES) == told(P, YES, "brier")
    assert (told(P, YES).loss_name, told(P, YES).labelled_rows) == ("brier", 1000)


@pytest.mark.parametrize(
    ("what", "answers", "truths"),
    [
        ("prices", PRICES + 10, PRICES), ("ranks", 1 + np.arange(1000) % 10, 1 + (np.arange(1000) + 1) % 10),
        ("counts", DRAWN.poisson(6, 1000) + 0.5, DRAWN.poisson(6, 1000)), ("temperatures", -PRICES, -PRICES + 1),
    ],
)  # fmt: skip
def test_numbers_that_are_no_parts_of_one_are_judged_by_how_far_off_they_are(what: str, answers, truths) -> None:
    """After a hundred of them; none of those before counts as a Brier loss, and nothing was refused."""
    report = told(answers, truths)
    assert (report.loss_name, report.labelled_rows, report.refused) == ("absolute", 901, {})
    assert report.loss_reference == pytest.approx(np.abs(answers - truths)[99:299].mean())


@pytest.mark.parametrize(
    ("answers", "truths", "loss", "reason"),
    [
        (np.log(P / (1 - P)), YES, "auto", fitting.PREDICTION), (100 * P, YES, "brier", fitting.PREDICTION),
        (P, YES + 1, "auto", fitting.LABEL), (P, 2 * YES - 1, "auto", fitting.LABEL), (P, YES + 1, "brier", fitting.LABEL),
        (P, 2 * YES - 1, "log_loss", fitting.LABEL), (P > 0.5, np.arange(1000) % 3, "zero_one", fitting.LABEL),
        (PRICES, PRICES, "brier", fitting.LABEL),
    ],
    ids=["log-odds", "per cent", "1 and 2", "-1 and 1", "1 and 2 by name", "-1 and 1 by name", "0, 1 and 2", "prices by name"],
)  # fmt: skip
def test_where_only_one_of_the_two_is_a_probability_there_is_no_loss_and_the_reason_is_told(
    answers, truths, loss: str, reason: str
) -> None:
    """Neither a number nor a symptom of it, however many rows come."""
    report = told(answers, truths, loss)
    assert (report.loss_name, report.loss, report.loss_reference, report.symptoms) == (None, None, None, ())
    assert report.refused[reason] >= 300


def test_a_few_labels_that_are_none_cost_themselves_only() -> None:
    """Two of a hundred: the loss is that of the others."""
    odd = YES.copy()
    odd[::50] = 7.0
    report = told(P, odd)
    keep = np.arange(1000) % 50 != 0
    assert (report.loss_name, report.refused) == ("brier", {fitting.LABEL: 20})
    assert report.loss_reference == pytest.approx(((P - YES) ** 2)[keep][:200].mean())


def test_a_loss_is_taken_again_when_labels_are_mended() -> None:
    """The reference begins anew with the mended ones."""
    report = told(np.tile(P, 2), np.concatenate([YES + 1, YES]))
    assert (report.loss_name, report.labelled_rows) == ("brier", 901)
    assert report.loss_reference == pytest.approx(((P - YES) ** 2)[99:299].mean())
