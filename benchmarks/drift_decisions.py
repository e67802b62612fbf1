"""Does the agent decide rightly about drift? Four public streams with the answers of deployed models, through its monitors and OnDrift.

python -m benchmarks.drift_decisions [--streams a,b] [--json FILE]

Right is: retrain where the accuracy falls for good; leave alone where the error improves, and where accuracy is flat over years; set broken
rows aside, and not retrain, where values go missing. A decision is the first order that would be started; nothing is really trained.
Each stream is played under OnDrift as it comes ("default"), and under one that waits for many labelled rows after a drift ("patient").
Needs the streams under HOMEOSTAT_DATA (streams/nannyml_*.csv.gz and acs_employment_ma.csv.gz: data sets of nannyml on PyPI).
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Table

from agent.monitoring.model_monitor import ModelMonitor
from agent.monitoring.rows import Labelled, Served
from agent.settings import DriftSettings
from policies.action import Quarantine, Retrain
from policies.observation import Model, Observation, Quarantined, Version
from policies.retraining.on_drift import OnDrift

TICK_ROWS = 100
"""A row a second; the policy is asked once for so many."""
LABEL_DELAY_ROWS = 500
POLICIES: Mapping[str, Mapping[str, Any]] = {"default": {}, "patient": {"min_rows_after_drift": 10_000}}
CHAMPION = Version(number="1", digest="", created_at_s=0.0)


@dataclass(frozen=True, kw_only=True)
class Stream:
    """A stream with the answers of a deployed model, and what ought to be decided about its change."""

    file: str
    prediction: str
    target: str | None
    drop: tuple[str, ...]
    changed_at: int
    right: str
    """One of retrain, repair, nothing."""
    loss: str = "brier"


STREAMS: Mapping[str, Stream] = {
    "nannyml_car_loan": Stream(
        file="nannyml_car_loan",
        prediction="y_pred_proba",
        target="repaid",
        drop=("timestamp", "y_pred", "part"),
        changed_at=75_000,
        right="retrain",
    ),
    "nannyml_car_price": Stream(
        file="nannyml_car_price",
        prediction="y_pred",
        target="y_true",
        drop=("timestamp", "part"),
        changed_at=90_000,
        right="nothing",
        loss="absolute",
    ),
    "nannyml_car_loan_dq": Stream(
        file="nannyml_car_loan_dq",
        prediction="y_pred_proba",
        target=None,
        drop=("timestamp", "y_pred"),
        changed_at=25_000,
        right="repair",
    ),
    "acs_employment_ma": Stream(
        file="acs_employment_ma",
        prediction="predicted_probability",
        target="employed",
        drop=("year", "prediction", "part"),
        changed_at=68_785,
        right="nothing",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What was decided first of each kind, at which row; None where it never was. `false_alarms` are decisions before the change."""

    stream: str
    policy: str
    rows: int
    changed_at: int
    right: str
    decided: str
    retrain_at: int | None
    repair_at: int | None
    false_alarms: int
    symptoms: tuple[str, ...]
    wall_s: float

    @property
    def is_right(self) -> bool:
        return self.decided == self.right and not self.false_alarms


def play(stream: Stream, policy: str, table: pd.DataFrame, *, first: int = 0) -> Decision:
    """The rows of `table`, the first of which is row number `first` of the stream."""
    began = time.perf_counter()
    taken: dict[str, list[int]] = {"retrain": [], "repair": []}
    symptoms: dict[str, None] = {}
    for row, action, kinds in _course(stream, OnDrift(**POLICIES[policy]), table):
        symptoms |= dict.fromkeys(sorted(kinds))
        if action is not None:
            taken[action].append(first + row)
    retrain_at, repair_at = (taken[kind][0] if taken[kind] else None for kind in ("retrain", "repair"))
    decided = "retrain" if retrain_at is not None else "repair" if repair_at is not None else "nothing"
    return Decision(
        stream=stream.file,
        policy=policy,
        rows=len(table),
        changed_at=stream.changed_at,
        right=stream.right,
        decided=decided,
        retrain_at=retrain_at,
        repair_at=repair_at,
        false_alarms=sum(at < stream.changed_at for each in taken.values() for at in each),
        symptoms=tuple(symptoms),
        wall_s=time.perf_counter() - began,
    )


def _course(stream: Stream, policy: OnDrift, table: pd.DataFrame) -> Iterator[tuple[int, str | None, set[str]]]:
    """(row, decision, kinds of symptoms) at every tick; what is set aside is shown to the policy, as in a world."""
    monitor = ModelMonitor(DriftSettings.model_validate({"loss": stream.loss}))
    monitor.reset(CHAMPION.number)
    aside: tuple[Quarantined, ...] = ()
    for until in _feed(stream, monitor, table):
        report = monitor.report(float(until))
        model = Model(name="m", champion=CHAMPION, champion_since_s=0.0, report=report, managed=True, quarantined=aside)
        kinds = {each.kind for each in report.symptoms}
        actions = [each.action for each in policy.propose(Observation(at_s=float(until), models={"m": model}))]
        aside += tuple(Quarantined(since_s=a.since_s, until_s=a.until_s) for a in actions if isinstance(a, Quarantine))
        found = {Retrain: "retrain", Quarantine: "repair"}
        decided = [found[type(each)] for each in actions if type(each) in found]
        for each in decided or [None]:
            yield until, each, kinds


def _feed(stream: Stream, monitor: ModelMonitor, table: pd.DataFrame) -> Iterator[int]:
    """Give the monitor rows, and labels as late as they are; after each piece, how many rows came."""
    columns = {stream.prediction, stream.target, *stream.drop}
    features = table.drop(columns=[name for name in table.columns if name in columns])
    answers = table[stream.prediction].tolist()
    truth = table[stream.target].tolist() if stream.target is not None else []
    for start in range(0, len(table), TICK_ROWS):
        until = min(len(table), start + TICK_ROWS)
        part = features.iloc[start:until]
        rows = part.astype(object).where(part.notna(), None).to_dict(orient="records")
        monitor.rows(
            Served(
                str(start + n), float(start + n), {str(k): v for k, v in row.items()}, answers[start + n], 0.0, "1", ""
            )
            for n, row in enumerate(rows)
        )
        due = range(max(0, start - LABEL_DELAY_ROWS), max(0, until - LABEL_DELAY_ROWS)) if truth else ()
        monitor.labels(Labelled(str(n), float(until), truth[n]) for n in due)
        yield until


def path_of(stream: Stream) -> Path:
    return Path(os.environ.get("HOMEOSTAT_DATA", ".")) / "streams" / f"{stream.file}.csv.gz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", default=",".join(STREAMS))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    names = arguments.streams.split(",")
    if unknown := [name for name in names if name not in STREAMS]:
        parser.error(f"unknown streams {', '.join(unknown)}; expected some of {', '.join(STREAMS)}")
    if lacking := [str(path_of(STREAMS[name])) for name in names if not path_of(STREAMS[name]).is_file()]:
        sys.exit(f"not at hand: {', '.join(lacking)}; set HOMEOSTAT_DATA to the folder that holds streams/")
    tables = {name: pd.read_csv(path_of(STREAMS[name])) for name in names}
    decisions = [play(STREAMS[name], policy, tables[name]) for policy in POLICIES for name in names]
    _tell(decisions)
    if arguments.json:
        rows = [asdict(each) | {"is_right": each.is_right} for each in decisions]
        right = {policy: sum(each.is_right for each in decisions if each.policy == policy) for policy in POLICIES}
        arguments.json.write_text(json.dumps({"decisions": rows, "right": right, "of": len(names)}, indent=2))


def _tell(decisions: list[Decision]) -> None:
    table = Table(
        "stream", "policy", "changes at", "right", "decided", "at row", "", "symptoms", title="drift: what to do"
    )
    for each in decisions:
        at = each.retrain_at if each.decided == "retrain" else each.repair_at
        table.add_row(
            each.stream, each.policy, str(each.changed_at), each.right, each.decided, "" if at is None else str(at),
            "right" if each.is_right else "WRONG", ", ".join(each.symptoms),
        )  # fmt: skip
    Console().print(table)


if __name__ == "__main__":
    main()
