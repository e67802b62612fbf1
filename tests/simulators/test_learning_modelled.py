"""The modelled fidelity: what is known when, to whom noise belongs, and what versions learn."""

import math

import numpy as np
import pytest

from policies.observation import JobState, Quarantined
from simulators.changes import Change
from simulators.learning import LOOK_S
from simulators.modelled_learning import ModelledLearning, ModelledModel, RowsByTime
from tests.simulators.counted import counters

RATE = 100
"""Requests in a look."""


class Course:
    """A model and the time that passes for it, `RATE` requests a look."""

    def __init__(self, seed: int = 0, **learning) -> None:
        plain = {"label_delay_s": 100.0, "window_rows": 200, "rows_needed": 1000, "noise": 0.2}
        self.model: ModelledModel = ModelledLearning(**(plain | learning)).model("m", np.random.SeedSequence(seed))
        self.at_s = 0.0
        self.champion = self.copies = 0

    def until(self, at_s: float, *, copied: bool = False) -> None:
        while self.at_s < at_s:
            self.at_s += LOOK_S
            self.champion += RATE
            challenger = None
            if self.model.rollout is not None:
                self.copies += RATE if copied else 0
                challenger = counters(self.at_s, self.copies)
            self.model.counted(self.at_s, counters(self.at_s, self.champion), challenger, (0, self.copies))

    def train(self, since_s: float | None = None) -> str:
        """Train for no time; the new version's number."""
        self.model.train("job", self.at_s, since_s, None)
        self.model.end_training(self.at_s, JobState.SUCCEEDED)
        assert self.model.job is not None
        assert self.model.job.version is not None, self.model.job.message
        return self.model.job.version

    def roll_out(self, version: str) -> None:
        self.model.begin_rollout(version, self.at_s)
        self.model.set_rollout(ready=True, shadow=1.0)
        self.copies = 0

    def labelled(self) -> int:
        return self.model.seen(self.at_s).report.labelled_rows


def test_no_label_comes_before_its_delay() -> None:
    """Rows of the first look, whose middle is at 5 s, are labelled at the first look after 105 s."""
    course = Course()
    course.until(100.0)
    assert course.labelled() == 0
    course.until(110.0)
    assert course.labelled() == RATE


def test_a_new_champion_is_judged_by_the_labels_of_its_own_rows_only() -> None:
    """Those of the rows that the old one answered still come, and count for neither."""
    course = Course(bad_versions={2: 0.5})
    course.until(300.0)
    version = course.train()
    course.model.promote(version, course.at_s)
    course.until(400.0)
    report = course.model.seen(course.at_s).report
    assert (report.version, report.labelled_rows, report.loss) == ("2", 0, None)
    course.until(500.0)
    assert course.model.seen(course.at_s).report.loss == pytest.approx(0.6, abs=0.1)


def test_a_rollout_has_no_evidence_of_loss_before_its_first_labels() -> None:
    """What came before the challenger was there says nothing of it, however late its labels come."""
    course = Course()
    course.until(300.0)
    course.roll_out(course.train())
    course.until(400.0, copied=True)
    assert course.model.rollout.comparison.paired_loss.n == 0
    assert course.model.rollout.comparison.challenger.requests == 10 * RATE
    course.until(500.0, copied=True)
    assert course.model.rollout.comparison.paired_loss.n == 10 * RATE


def test_the_noise_of_a_comparison_fits_together() -> None:
    """Where every row is copied the paired difference is exactly that of the arms, and its spread is half of one row's."""
    means = []
    for seed in range(200):
        course = Course(seed, label_delay_s=0.0, noise=0.4)
        course.until(100.0)
        course.roll_out(course.train())
        course.until(200.0, copied=True)
        found = course.model.rollout.comparison
        assert found.paired_loss.mean == pytest.approx(found.challenger.loss.mean - found.champion.loss.mean, abs=1e-12)
        assert found.paired_loss.variance == pytest.approx(0.2**2, rel=0.05)
        means.append((found.champion.loss.mean, found.challenger.loss.mean, found.paired_loss.mean))
    rows = 10 * RATE
    expected = [0.4 / math.sqrt(rows), 0.4 / math.sqrt(rows), 0.2 / math.sqrt(rows)]
    assert np.std(means, axis=0) == pytest.approx(expected, rel=0.15)
    assert np.mean(means, axis=0) == pytest.approx([0.1, 0.1, 0.0], abs=0.003)


def test_what_is_set_aside_is_not_learned() -> None:
    """With the incident's rows among them a version is poisoned; without them it is not, and its job has fewer rows."""
    incident = Change(kind="incident", at_s=200.0, until_s=400.0, harm=0.3)
    poisoned, clean = Course(changes=(incident,)), Course(changes=(incident,))
    for course in (poisoned, clean):
        course.until(1000.0)
    clean.model.quarantined = (Quarantined(since_s=200.0, until_s=400.0),)
    losses = [course.model.true_loss(course.train(), 1000.0) for course in (poisoned, clean)]
    assert losses == pytest.approx([0.1 + 0.3 * 2 / 9, 0.1], abs=0.01)
    assert [course.model.job.rows for course in (poisoned, clean)] == pytest.approx([9000, 7000], abs=RATE)
    assert clean.model.job_spans == [(0.0, 200.0), (400.0, pytest.approx(895.0))]


def test_a_training_without_rows_fails_and_says_why() -> None:
    """As on a cluster, where 50 labelled rows are the least."""
    course = Course()
    course.until(50.0)
    course.model.train("job", 50.0, None, None)
    course.model.end_training(60.0, JobState.SUCCEEDED)
    job = course.model.job
    assert (job.state, job.version) == (JobState.FAILED, None)
    assert job.message == "only 0 labelled rows may be trained on; at least 50 are needed"


def test_concepts_that_take_turns_are_known_by_the_rows_of_their_turn() -> None:
    """Trained on new rows a version forgets the old concept; trained on both alike it is half right at any time."""
    change = Change(kind="recurring", at_s=1000.0, period_s=1000.0, harm=0.4)
    course = Course(changes=(change,), label_delay_s=0.0)
    course.until(2000.0)
    only_new, both = course.train(since_s=1000.0), course.train()
    losses = {v: [course.model.true_loss(v, at_s) for at_s in (500.0, 1500.0, 2500.0)] for v in ("1", only_new, both)}
    assert losses["1"] == pytest.approx([0.1, 0.5, 0.1])
    assert losses[only_new] == pytest.approx([0.5, 0.1, 0.5], abs=0.01)
    assert losses[both] == pytest.approx([0.3, 0.3, 0.3], abs=0.01)


def test_the_first_version_knows_what_lasts_from_the_beginning_wherever_it_is_listed() -> None:
    """The second change is as old as the model; the first is still to come."""
    changes = (Change(kind="harmful", at_s=500.0, harm=0.2), Change(kind="harmful", at_s=0.0, harm=0.3))
    model = Course(changes=changes).model
    assert [model.true_loss("1", at_s) for at_s in (0.0, 600.0)] == pytest.approx([0.1, 0.3])


def test_harm_is_found_and_harmlessness_is_not_taken_for_it() -> None:
    """Harmful: error and performance. Harmless: features only. A loss that falls: nothing. Nothing at all in 10 hours of peace."""
    changes = {
        "harmful": Change(kind="harmful", at_s=2000.0, harm=0.2),
        "harmless": Change(kind="harmless", at_s=2000.0),
        "better": Change(kind="season", at_s=-3000.0, until_s=3000.0, harm=0.3),
    }
    found = {}
    for name, change in changes.items():
        course = Course(changes=(change,))
        course.until(4000.0)
        found[name] = {each.kind for each in course.model.seen(4000.0).report.symptoms}
    assert found == {
        "harmful": {"error_drift", "performance", "feature_drift"},
        "harmless": {"feature_drift"},
        "better": set(),
    }
    calm = Course(seed=3)
    calm.until(36_000.0)
    assert calm.model.seen(36_000.0).report.symptoms == ()


def test_labels_that_are_away_wait_and_lost_ones_never_come() -> None:
    """What waits comes all at once; what is lost can not be learned from either."""
    course = Course()
    course.until(200.0)
    course.model.labels_away = True
    course.until(400.0)
    held = course.labelled()
    course.model.labels_away = False
    course.until(410.0)
    assert (held, course.labelled()) == (10 * RATE, 31 * RATE)
    course.model.labels_lost = True
    course.until(610.0)
    course.model.labels_lost = False
    course.until(710.0)
    assert course.labelled() == 41 * RATE
    course.model.train("job", course.at_s, None, None)
    assert course.model.job.rows == 41 * RATE


def test_what_the_first_version_would_have_lost_is_known() -> None:
    """On the same rows: a better champion makes the difference."""
    course = Course(changes=(Change(kind="harmful", at_s=0.1, harm=0.5),), label_delay_s=0.0)
    course.until(1000.0)
    assert course.model.loss_total == pytest.approx(course.model.frozen_total)
    course.model.promote(course.train(), course.at_s)
    course.until(2000.0)
    losses = (course.model.loss_total / course.model.loss_rows, course.model.frozen_total / course.model.loss_rows)
    assert losses == pytest.approx((0.35, 0.6), abs=0.01)


def test_rows_are_counted_by_time_and_found_again() -> None:
    """Ten a second for 1,000 s: between two moments, and since when the newest came."""
    rows = RowsByTime()
    for at_s in range(10, 1001, 10):
        rows.add(float(at_s), 100)
    assert rows.between(100.0, 250.0) == pytest.approx(1500.0)
    assert rows.since(1000.0, 2000) == pytest.approx(800.0)
    assert rows.since(1000.0, 99_999) == 0.0
