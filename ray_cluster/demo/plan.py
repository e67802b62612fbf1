"""What the demo plays: which rows, how fast, with which settings. Pure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from agent.settings import Settings
from ray_cluster.demo.standing import MODEL, WATCHED_S, Standing

REPLICAS_MIN = 2
MONITORS = [
    {"kind": "error_drift", "use": "adwin", "signal": "loss", "parameters": {"delta": 1e-6}},
    {"kind": "performance", "use": "window_mean", "signal": "loss"},
    {"kind": "prediction_drift", "use": "adwin", "signal": "prediction", "parameters": {"delta": 1e-6}},
    {"kind": "feature_drift", "use": "adwin", "signal": "*", "parameters": {"delta": 1e-8}},
    # Some of its weather stations skip their readings for weeks; only a feature that is all but gone is an incident here.
    {"kind": "data_quality", "use": "missing_rate", "signal": "*", "parameters": {"least": 0.3}},
]
ROWS_QUICK = 80_000
"""The first so many rows are played in a quick run; a stream that has no more is played whole."""
TRAINING_ROWS = 400_000
"""More than any of the streams has: a year's seasons come back, and a model of the newest months has forgotten the others."""
FAST, JUDGING, SLOW = 3000.0, 300.0, 25.0
"""Rows per second of the flights: six months, twenty days and less than two days of the year per minute."""
THIN_S, JUDGING_THIN, SLOW_THIN = 75.0, 75.0, 6.0
"""A stream of fewer rows is fast where all of it takes THIN_S. While it waits a request holds a single row."""
TICK_S = 1.0
LEAD_TICKS = 3.0
"""The stream may run ahead of the agent's newest look by so many of its ticks; then it waits for the next one."""
REQUESTS_PER_S = 8.0
ENDING_S = 20.0
"""While the story is not over the rows that are left last so long at any moment; those that a version is judged by come as they must."""
LATEST_S = 900.0
"""After so long the stream waits for nothing more, so that the whole ends within 20 minutes on any machine."""
TRIALS = 6
ROWS_MANY = 100_000
NOT_FEATURES = ("key", "at_s", "label", "label_at_s")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`rows_trained` rows make the first model; the rest, up to `rows_until`, is played in a time-lapse. Rates are rows per second."""

    stream: str
    rows_trained: int
    rows_until: int
    fast: float
    """While nothing is under way."""
    judging: float
    """While a rollout waits for evidence, which is rows."""
    slow: float
    """While anything else is under way that takes a machine its time: a training, a healing, an act of the demo's own."""
    judged_rows: int
    """Labelled rows before the loss of a challenger is judged."""
    window_rows: int
    held_back: float
    """This last part of the rows is played fast only when the story is over, so that what is left to happen has rows to happen on."""
    last: float
    """Once the story is over, nobody waits for what is under way in this last part of the rows."""
    rows_between_trainings: int
    """In rows, not in seconds: so the trainings of a run come at the same places of the stream on any machine."""
    usual_s: float
    """What the play takes on a machine that has nothing else to do, and a quarter of it more."""
    quick: bool

    @property
    def rows_played(self) -> int:
        return self.rows_until - self.rows_trained

    def pace(self, row: int, passed_s: float, now: Standing, *, acting: bool, over: bool) -> float:
        """How fast rows shall come now that `row` of them were played in `passed_s`.

        `acting`: the demo waits for what its own act does to the agent. `over`: it has no act left.
        """
        if passed_s >= LATEST_S:
            return self.fast
        pace = self.judging if now.judging else self.slow if acting or now.under_way else self.fast
        left = self.rows_played - row
        if over:
            return self.fast if left < self.last * self.rows_played else pace
        if now.judging or left >= self.held_back * self.rows_played:
            return pace
        return min(pace, self.judging, left / ENDING_S)

    def reach(self, row: int, pace: float) -> int:
        """How far the stream may run before the agent looks again."""
        return min(self.rows_played, row + max(1, round(pace * TICK_S * LEAD_TICKS)))


def plan(stream: str, rows: int, *, quick: bool) -> Plan:
    """The plan for a stream of `rows` rows."""
    # About a tenth of a year: a first model that has never seen a spring or a summer. A quick run sees less of the year, and its first
    # model the first two weeks, so that there is as much to learn.
    long = stream == "flights"
    trained = (12_000 if quick else 36_000) if long else rows // 8
    until = min(rows, trained + ROWS_QUICK) if quick else rows
    played = until - trained
    return Plan(
        stream=stream,
        rows_trained=trained,
        rows_until=until,
        fast=FAST if long else played / THIN_S,
        judging=JUDGING if long else JUDGING_THIN,
        slow=SLOW if long else SLOW_THIN,
        judged_rows=500 if long else 300,
        window_rows=min(4_000 if quick else 15_000, played // 12),
        # Two versions are judged in the story, the retrained one and the bad one; and labels come some time after their rows.
        held_back=(0.25 if quick else 0.15) if long else 0.35,
        last=1.0 if quick else 0.1,
        rows_between_trainings=(20_000 if quick else 64_000) if long else played // 8,
        usual_s=240.0 if quick else 420.0,
        quick=quick,
    )


def features(frame: pd.DataFrame) -> list[str]:
    """Names of the columns that the model may read."""
    return [str(name) for name in frame.columns if name not in NOT_FEATURES]


def settings(played: Plan, folder: Path) -> dict[str, Any]:
    """The agent's configuration for the demo, as it is written to homeostat.yaml."""
    return {
        "name": "demo",
        "tick_s": TICK_S,
        "autonomy": {"default": "act"},
        "budget": {"replicas": 6},
        # Long enough for a machine that has other work to do.
        "deadlines": {"retrain_s": 600.0, "rollout_s": 240.0, "scale_s": 120.0, "restart_s": 120.0},
        "journal": {"url": f"sqlite:///{folder}/journal.db"},
        "registry": {"tracking_uri": f"sqlite:///{folder}/mlflow.db", "artifact_location": f"{folder}/artifacts"},
        "data_log": {"url": f"{folder}/data", "flush_s": 2.0},
        "models": {MODEL: _model(played, folder)},
        "policies": _policies(played),
    }


def _model(played: Plan, folder: Path) -> dict[str, Any]:
    return {
        "deployment": {"min_replicas": REPLICAS_MIN, "max_replicas": 4, "slo_latency_s": 0.5},
        "server": {"replica_cpus": 0.5, "max_ongoing_requests": 30, "fault_injection": True},
        "drift": {"loss": "brier", "window_rows": played.window_rows, "label_wait_s": 1200.0, "monitors": MONITORS},
        "training": {
            "recipes": ["hist_gradient_boosting", "river_logistic", "logistic"],
            "trials": TRIALS,
            "time_budget_s": 240.0,
            "rows_max": TRAINING_ROWS,
            "concurrent_trials": 2,
            "study_url": f"sqlite:///{folder}/studies.db",
        },
    }


def _policies(played: Plan) -> list[dict[str, Any]]:
    """Quick ones: what takes minutes or hours in production has to be over in seconds here."""
    return [
        {
            "use": "replace_unhealthy",
            "patience_s": 6,
            "unhealthy_for_s": 5,
            "settle_s": 8,
            "min_requests": 3,
            "slow_floor_s": 0.3,
            "stale_after_s": 15,
        },
        {
            "use": "staged",
            "steps": [0.1, 0.5],
            "stage_min_s": 4,
            "stage_timeout_s": 120,
            "min_rows": played.judged_rows,
            # Where there are fewer rows, what fewer rows can show.
            "margin": 0.002 if played.rows_played > ROWS_MANY else 0.005,
            "error_margin": 0.02 if played.rows_played > ROWS_MANY else 0.05,
            "latency_factor": 4.0,
            "latency_floor_s": 0.1,
            "watch_s": WATCHED_S,
        },
        {
            "use": "on_drift",
            "settle_s": 15,
            "min_rows": played.rows_between_trainings,
            "retry_after_s": 20,
            "margin_s": 3600,
        },
        {
            "use": "target_utilization",
            "targets": [f"{MODEL}/ModelServer"],
            "target": 0.12,
            "up_window_s": 5,
            "down_window_s": 12,
            "start_patience_s": 20,
            "stale_after_s": 15,
        },
    ]


def validated(played: Plan, folder: Path) -> Settings:
    return Settings.model_validate(settings(played, folder))
