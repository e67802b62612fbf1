"""What the demo plays: which rows, how fast, with which settings. Pure."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from agent.settings import Settings

MODEL = "demo"
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
JUDGED_ROWS = 500
JUDGED_WITHIN_S = 8.0
"""A loss is judged on JUDGED_ROWS, or on as many as come within so long in a slow ending: a thin stream would not show more before a
stage times out."""
ENDING = 0.25
"""The part of the rows that may come slower."""
HASTE = 2.0
"""They begin so many times faster than evenly: a story is over early more often than late, and then they need not last."""
NOT_FEATURES = ("key", "at_s", "label", "label_at_s")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """`rows_trained` rows make the first model; the rest, up to `rows_until`, is played in `play_s` seconds."""

    stream: str
    rows_trained: int
    rows_until: int
    play_s: float
    play_max_s: float
    """On a slow machine the last rows come slower, so that what is left to happen has until then."""
    requests_per_s: float
    window_rows: int
    pause_s: float
    """Between two acts of the demo's own."""
    burst_s: float
    trials: int
    settle_s: float
    """What a new champion is given before the next training."""
    quick: bool

    @property
    def rows_played(self) -> int:
        return self.rows_until - self.rows_trained

    @property
    def judged_rows(self) -> int:
        """Labelled rows before the loss of a challenger is judged: as many as even a slow ending shows in time."""
        before = 1.0 - ENDING
        slow = min(1.0, self._even_pace(self.rows_played * before, self.play_s * before))
        return min(JUDGED_ROWS, int(self.rows_played / self.play_s * slow * JUDGED_WITHIN_S))

    def pace(self, row: int, passed_s: float, *, over: bool) -> float:
        """How fast rows shall come now that `row` of them were played in `passed_s`: 1, but for the end of a story that is not over."""
        if over or row < self.rows_played * (1.0 - ENDING):
            return 1.0
        return min(1.0, HASTE * self._even_pace(row, passed_s))

    def _even_pace(self, row: float, passed_s: float) -> float:
        """That at which the rows that are left last until the latest end."""
        left = 1.0 - row / self.rows_played
        return left * self.play_s / max(1.0, self.play_max_s - passed_s)


def plan(stream: str, rows: int, *, quick: bool) -> Plan:
    """The plan for a stream of `rows` rows."""
    # About a tenth of a year: a first model that has never seen a spring or a summer. A quick run sees less of the year, and its first
    # model the first two weeks, so that there is as much to learn.
    trained = (12_000 if quick else 36_000) if stream == "flights" else rows // 8
    # The others are shorter, and change more often in the same time.
    settle_s = (40.0 if quick else 90.0) / (1.0 if stream == "flights" else 2.0)
    until = min(rows, trained + ROWS_QUICK) if quick else rows
    return Plan(
        stream=stream,
        rows_trained=trained,
        rows_until=until,
        play_s=(120.0 if stream == "flights" else 200.0) if quick else 400.0,
        play_max_s=300.0 if quick else 500.0,
        requests_per_s=8.0,
        window_rows=min(4_000 if quick else 15_000, (until - trained) // 12),
        pause_s=2.0 if quick else 8.0,
        burst_s=20.0 if quick else 30.0,
        trials=6 if quick else 12,
        settle_s=settle_s,
        quick=quick,
    )


def features(frame: pd.DataFrame) -> list[str]:
    """Names of the columns that the model may read."""
    return [str(name) for name in frame.columns if name not in NOT_FEATURES]


def settings(played: Plan, folder: Path) -> dict[str, Any]:
    """The agent's configuration for the demo, as it is written to homeostat.yaml."""
    return {
        "name": "demo",
        "tick_s": 1.0,
        "autonomy": {"default": "act"},
        "budget": {"replicas": 6},
        "deadlines": {"retrain_s": 240.0, "rollout_s": 120.0, "scale_s": 60.0, "restart_s": 60.0},
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
        "drift": {"loss": "brier", "window_rows": played.window_rows, "label_wait_s": 600.0, "monitors": MONITORS},
        "training": {
            "recipes": ["hist_gradient_boosting", "river_logistic", "logistic"],
            "trials": played.trials,
            "time_budget_s": 45.0 if played.quick else 90.0,
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
            "stage_timeout_s": 60,
            "min_rows": played.judged_rows,
            # In a quick run, what fewer rows can show within a minute.
            "margin": 0.005 if played.quick else 0.002,
            "error_margin": 0.05 if played.quick else 0.02,
            "latency_factor": 4.0,
            "latency_floor_s": 0.1,
            "watch_s": 10,
        },
        {
            "use": "on_drift",
            "settle_s": played.settle_s,
            "min_rows": played.window_rows // 3,
            "retry_after_s": 20,
            "margin_s": 3600,
            "rows_max": TRAINING_ROWS,
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
