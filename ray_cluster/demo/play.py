"""The demo: sets the stage, plays the year, and says what happened and what it was worth."""

import json
import time
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from agent.journal.record import verify
from agent.journal.replay import replay
from agent.journal.store import SqlJournal
from agent.monitoring.losses import LOSSES
from agent.terminal import Terminal
from ray_cluster.demo import outcome
from ray_cluster.demo.clock import Clock
from ray_cluster.demo.drawing import drawing_of
from ray_cluster.demo.follower import Follower
from ray_cluster.demo.live import Timeline, stream_day
from ray_cluster.demo.plan import REQUESTS_PER_S, Plan, features, plan, settings, validated
from ray_cluster.demo.report import write_report
from ray_cluster.demo.standing import MODEL
from ray_cluster.demo.summary import tell
from ray_cluster.demo.terminal import kept_clean
from ray_cluster.streams import stream

HTTP_PORT = 8199
CPUS = 10
POLL_S = 0.5
LOG = "ray.log"
SLOW_MACHINE = (
    "waits for the agent longer than usual, since this machine is busy or slow; the run may take up to 20 minutes"
)
CHUNK_ROWS = 20_000


def perform(stream_name: str, quick: bool, out: Path | None) -> bool:
    """Play it all and write everything under `out`; whether all that is promised happened. Raises StreamUnavailable."""
    began = time.monotonic()
    folder = (out or Path("runs") / time.strftime("demo-%Y%m%d-%H%M%S")).absolute()
    frame = stream(stream_name)
    folder.mkdir(parents=True, exist_ok=True)
    played = plan(stream_name, len(frame), quick=quick)
    with kept_clean(folder / LOG) as console:
        console.print(f"everything is written to {folder}; what Ray says, to {LOG} there", markup=False, soft_wrap=True)
        raw = _on_a_ray_of_its_own(console, played, frame, folder)
        with console.status("reading the journal, and judging the first model on the same rows"):
            result = _result(played, frame, folder, raw, began)
            (folder / "result.json").write_text(json.dumps(result, indent=2))
            slo_s = validated(played, folder).models[MODEL].deployment.slo_latency_s or 0.0
            drawing = drawing_of(result, raw["lines"], raw["events"], raw["entries"], slo_s=slo_s)
            write_report(folder / "report.html", result, drawing, raw["lines"])
        tell(console, result, folder)
        for claim in result["missing"]:
            console.print(f"did not happen: {claim}", style="red")
    return not result["missing"]


def _on_a_ray_of_its_own(console: Terminal, played: Plan, frame: pd.DataFrame, folder: Path) -> dict[str, Any]:
    from ray_cluster.local import LocalRay, free_port  # noqa: PLC0415 - what Ray reads from the environment comes first

    with console.status("starting Ray and Serve"):
        local = LocalRay.start(num_cpus=CPUS, http_port=free_port(HTTP_PORT))
    try:
        return _play(console, played, frame, folder, local)
    finally:
        local.stop()


def _play(console: Terminal, played: Plan, frame: pd.DataFrame, folder: Path, local: Any) -> dict[str, Any]:
    """The run itself; what was seen of it."""
    from ray_cluster.agents import start_agent, stop_agent  # noqa: PLC0415
    from ray_cluster.demo.story import Player, Story, first_version, wait_for_ticks, write_history  # noqa: PLC0415
    from ray_cluster.managed import ensure_served, wait_until_served  # noqa: PLC0415
    from ray_cluster.registry import MlflowRegistry  # noqa: PLC0415
    from ray_cluster.serve_rest import ServeRest  # noqa: PLC0415

    chosen = validated(played, folder)
    (folder / "homeostat.yaml").write_text(yaml.safe_dump(settings(played, folder), sort_keys=False))
    columns = features(frame)
    registry = MlflowRegistry(chosen.registry.tracking_uri, chosen.registry.artifact_location)
    with console.status("fitting the first version, and serving it"):
        first_version(registry, frame.iloc[: played.rows_trained], columns)
        write_history(chosen.data_log.url, frame.iloc[: played.rows_trained], columns)
        ensure_served(chosen, MODEL, registry, 0, ServeRest(local.dashboard_url))
        wait_until_served(chosen, MODEL)
    with console.status("starting the agent"):
        wait_for_ticks(start_agent(chosen, local.dashboard_url, str(folder)))
    rest_of_it = frame.iloc[played.rows_trained : played.rows_until].reset_index(drop=True)
    rest_of_it.to_parquet(folder / "played.parquet")
    player = Player(
        {
            "url": f"{local.http_url}/{MODEL}", "frame": str(folder / "played.parquet"), "columns": columns,
            "requests_per_s": REQUESTS_PER_S, "predictions": str(folder / "predictions.parquet"),
        },
        folder,
    )  # fmt: skip
    follower = Follower(SqlJournal(chosen.journal.url), lambda at_s: stream_day(player.lines, at_s))
    story = Story(
        registry=registry, rest=ServeRest(local.dashboard_url), player=player, columns=columns,
        look=lambda: follower.standing, treated=lambda: follower.treated,
        sample=frame.iloc[max(0, played.rows_trained - 8000) : played.rows_trained],
    )  # fmt: skip
    try:
        began_s = player.wait_until_it_plays()
        story.start()
        timeline, retrainings = _watch(
            Timeline(console, played.stream, played.rows_played, began_s), played, follower, player, story
        )
    finally:
        player.stop()
    player.end()
    stop_agent(chosen.name)
    (folder / "lines.json").write_text(json.dumps(player.lines))
    return {
        "lines": player.lines, "events": timeline.events, "faults": story.faults, "bad": story.bad, "burst": story.burst,
        "retrainings": retrainings, "entries": list(SqlJournal(chosen.journal.url).entries()),
    }  # fmt: skip


def _watch(
    timeline: Timeline, played: Plan, follower: Follower, player: Any, story: Any
) -> tuple[Timeline, dict[str, dict[str, Any]]]:
    """Follow the journal and the story until the client has played all, and wind the stream's clock."""
    from ray_cluster.training import details  # noqa: PLC0415

    retrainings: dict[str, dict[str, Any]] = {}
    clock = Clock(played)
    told, began, late = 0, time.monotonic(), False
    with timeline:
        while player.playing:
            passed_s = time.monotonic() - began
            for event in follower.news():
                timeline.tell(*event)
            for at_s, what in story.said[told:]:
                timeline.tell(at_s, "demo", what)
            told = len(story.said)
            if not late and passed_s > played.usual_s:
                late = True
                timeline.tell(time.time(), "stream", SLOW_MACHINE)
            record = details(MODEL)
            if record:
                retrainings[record["job"]["id"]] = record
            row = player.lines[-1]["row"] if player.lines else 0
            wound = clock.wound(follower.standing, row, passed_s, acting=story.acting, over=not story.is_alive())
            if wound is not None:
                player.pace(*wound)
            timeline.show(player.lines[-1] if player.lines else None, follower.standing)
            time.sleep(POLL_S)
    return timeline, retrainings


def _result(played: Plan, frame: pd.DataFrame, folder: Path, raw: dict[str, Any], began: float) -> dict[str, Any]:
    entries, last = raw["entries"], raw["lines"][-1]
    failures = [failure for line in raw["lines"] for failure in line["failures"]]
    replayed = replay(entries)
    result = {
        "requests": {
            "sent": last.get("sent", 0), "failed": last.get("failed", 0),
            "lost_by_agent": outcome.lost_by_agent(failures, raw["faults"]),
            "retried": last.get("retried", 0), "slow": last.get("slow", 0),
        },
        "drift": outcome.drift(entries),
        "retrainings": [_retraining(record) for record in raw["retrainings"].values()],
        "rollouts": outcome.rollouts(entries),
        "healing": outcome.healing(entries, raw["faults"]),
        "scaling": outcome.scaling(entries),
        "decisions": outcome.decisions(entries, when=lambda at_s: stream_day(raw["lines"], at_s)),
        "quality": _quality(played, frame, folder),
        "journal": {
            "entries": len(entries), "verified": verify(entries).ok, "replayed_identically": replayed.identical,
            "ticks": replayed.ticks,
        },
        "stream": played.stream, "quick": played.quick, "rows": played.rows_played,
        "began_s": raw["lines"][0]["at_s"], "wall_s": time.monotonic() - began,
    }  # fmt: skip
    promised = outcome.promises(result, bad_version=raw["bad"], burst=raw["burst"])
    return result | {
        "promises": [{"text": text, "held": held} for text, held in promised.items()],
        "missing": [text for text, held in promised.items() if not held],
    }


def _retraining(record: dict[str, Any]) -> dict[str, Any]:
    job = record["job"]
    return {
        "engine": record["engine"], "search": record["search"], "trials": job["trials_done"],
        "best_recipe": record["best_recipe"],
        "recipes_tried": list(record["recipes_tried"]),
        "rows": job["rows"], "wall_s": record["wall_s"], "version": job["version"],
        "state": str(job["state"]), "message": job["message"],
    }  # fmt: skip


def _quality(played: Plan, frame: pd.DataFrame, folder: Path) -> dict[str, Any]:
    """Mean loss of the answers as they were served, beside the first version's on the same rows."""
    from ray_cluster.registry import MlflowRegistry  # noqa: PLC0415

    chosen = validated(played, folder)
    path = folder / "predictions.parquet"
    if not path.exists():
        return {"metric": chosen.models[MODEL].drift.training_loss, "frozen": None, "agent": None, "rows": 0}
    served = pd.read_parquet(path)
    rows = frame.iloc[played.rows_trained : played.rows_until].reset_index(drop=True)
    answered = (rows["label"].notna() & served["prediction"].notna()).to_numpy()
    rows, predictions = rows[answered], served["prediction"][answered].tolist()
    registry = MlflowRegistry(chosen.registry.tracking_uri)
    first = registry.load(MODEL, "1", registry.digest(MODEL, "1"))
    columns = features(frame)
    frozen: list[float] = []
    for start in range(0, len(rows), CHUNK_ROWS):
        frozen += first.predict(rows[columns].iloc[start : start + CHUNK_ROWS].to_dict(orient="records"))
    loss = LOSSES[chosen.models[MODEL].drift.training_loss]
    labels = rows["label"].tolist()
    weeks = ((rows["at_s"] - rows["at_s"].iloc[0]) // (7 * 86_400)).astype(int).tolist()
    table = pd.DataFrame(
        {
            "week": weeks,
            "frozen": [loss(p, y) for p, y in zip(frozen, labels, strict=True)],
            "agent": [loss(p, y) for p, y in zip(predictions, labels, strict=True)],
        }
    )
    by_week = table.groupby("week").mean()
    return {
        "metric": chosen.models[MODEL].drift.training_loss, "frozen": float(table["frozen"].mean()),
        "agent": float(table["agent"].mean()), "rows": len(table),
        "by_week": [{"week": int(w), "frozen": float(r.frozen), "agent": float(r.agent)} for w, r in by_week.iterrows()],
    }  # fmt: skip
