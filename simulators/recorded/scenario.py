"""A recording as a scenario: the text of its file, with a comment on everything that was estimated or is not known, and its trace."""

import csv
import gzip
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import yaml

from agent.settings import PolicySettings
from policies.imports import Packages
from policies.observation import Deployment, Traffic
from simulators.recorded.faults import Faults, faults
from simulators.recorded.measured import Measured, measured, together
from simulators.recorded.names import model_names, renamed
from simulators.recorded.recording import Recording, moment
from simulators.recorded.service import Estimate, estimate
from simulators.recorded.traffic import Arrivals, arrivals, bin_of, fresh
from simulators.scenario import Scenario, parse_scenario

MINUTE_S = 60.0
ENOUGH_STARTS = 5
"""So many starts make a distribution; fewer a median."""
SLO_TIMES_SERVICE = 10.0
CONSTANT_BELOW = 0.02
"""A lognormal of a smaller shape is as good as constant."""
IDLE = (PolicySettings(use="idle"),)
"""Who watches and wants nothing: without policies nobody would look at all."""
ALMOST_ALL = 0.95
"""Beyond this share of a challenger too little is left to tell the whole by."""
REPORT = "report"
"""The schedule of the daily report, which nobody writes in a simulation."""


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """`text` is the scenario's file, which names `trace_name`; `trace` are the bytes of that one, gzipped CSV."""

    text: str
    trace: bytes
    trace_name: str
    models: Mapping[str, str]
    """Names of the scenario's models by deployment."""
    measured: Mapping[str, Measured]
    """By model: what really happened, as far as the observations tell."""
    notes: tuple[str, ...]
    recording: Recording

    def write(self, file: Path) -> Path:
        """Write both, the trace beside the scenario; where the trace is. Raises OSError."""
        trace = file.parent / self.trace_name
        trace.write_bytes(self.trace)
        file.write_text(self.text, encoding="utf-8")
        return trace

    def loaded(self, folder: Path, allowed: Packages = ()) -> Scenario:
        """As a scenario whose trace lies in `folder`. Raises ScenarioError, which would be a defect of the recording."""
        (folder / self.trace_name).write_bytes(self.trace)
        return parse_scenario(self.text, "the recorded scenario", folder, allowed)


def recorded(recording: Recording, *, source: str, trace_name: str, bin_s: float | None = None) -> Recorded:
    """The scenario of a recording. `source` is the journal's name, without a password; `bin_s` the width of the trace's bins."""
    rows = {name: each for name, each in recording.deployments().items() if any(d.traffic is not None for _, d in each)}
    models = model_names(rows)
    windows = {name: fresh(each) for name, each in rows.items()}
    width_s = bin_s or max(bin_of([seen for seen, _ in each]) for each in windows.values())
    came = {
        name: arrivals(
            _with_challenger(each, recording.shares(name)),
            origin_s=recording.origin_s,
            end_s=recording.end_s,
            bin_s=width_s,
        )
        for name, each in rows.items()
    }
    estimates = {name: estimate(each) for name, each in windows.items()}
    nodes = {node: f"node-{place}" for place, node in enumerate(_nodes(rows), 1)}
    broken = faults(recording, models, nodes if len(nodes) > 1 else None)
    found = {models[name]: measured(each, each[0][1].slo_latency_s) for name, each in rows.items()}
    notes = tuple(_notes(recording, broken, came, rows))
    writer = _Writer(recording, models, rows, came, estimates, broken, trace_name, width_s)
    return Recorded(
        text="\n".join([*writer.head(source, notes), *writer.body(found)]) + "\n",
        trace=_trace({models[name]: each for name, each in came.items()}, width_s),
        trace_name=trace_name,
        models=models,
        measured=found,
        notes=notes,
        recording=recording,
    )


def _with_challenger(rows: Sequence[tuple[float, Deployment]], shares: Mapping[float, float]) -> list[Traffic]:
    """What came to a model altogether: while a challenger answers the part s, the champion's deployment sees 1 - s of it."""
    whole = []
    for at_s, deployment in rows:
        seen, share = deployment.traffic, min(shares.get(at_s, 0.0), ALMOST_ALL)
        if seen is not None and share > 0:
            ongoing = None if seen.ongoing is None else seen.ongoing / (1 - share)
            scaled = replace(seen, requests=round(seen.requests / (1 - share)), ongoing=ongoing)
            whole.append((at_s, replace(deployment, traffic=scaled)))
        else:
            whole.append((at_s, deployment))
    return [seen for seen, _ in fresh(whole)]


def _notes(
    recording: Recording,
    broken: Faults,
    came: Mapping[str, Arrivals],
    rows: Mapping[str, Sequence[tuple[float, Deployment]]],
) -> Iterator[str]:
    yield from recording.notes
    for gap in recording.gaps:
        yield (
            f"nothing was seen from {moment(gap.begin_s)} for {gap.length_s:.0f} s; "
            "the arrivals of that time are a straight line between those before and after it"
        )
    unmeasured = [name for name, each in came.items() if each.answered_only]
    if unmeasured:
        yield f"queues of {', '.join(unmeasured)} were not measured: what was answered stands for what came"
    silent = sorted({name for seen in recording.seen for name in seen.deployments} - set(rows))
    if silent:
        yield f"left out, for no traffic of it was seen: {', '.join(silent)}"
    if any(seen.models for seen in recording.seen):
        yield "drift, retraining and rollouts are not recorded: add `learning:` to a model to play them"
    words = sorted({said["word"] for _, said in recording.said} - {"start", "run"})
    if words:
        yield f"people said {', '.join(words)} meanwhile; a scenario has no people, so the agent in it is not told"
    if recording.settings.autonomy.default.value != "act":
        yield (
            f"autonomy was {recording.settings.autonomy.default.value!r} where nothing else was said: "
            "under it policies do not act by themselves"
        )
    if len(broken.found) > 20:
        yield f"{len(broken.found)} faults were found; counts that another autoscaler sets look like a foreign hand"


def _trace(came: Mapping[str, Arrivals], bin_s: float) -> bytes:
    """One column a model; bins of 60 s are minutes, others are counted as seconds and stretched by the scenario."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(["minute" if bin_s == MINUTE_S else "second", *came])
    table = np.column_stack([each.counts for each in came.values()])
    lines.writerows([place, *row] for place, row in enumerate(table.tolist()))
    return gzip.compress(text.getvalue().encode(), mtime=0)


@dataclass(frozen=True)
class _Writer:
    """Lines of YAML."""

    recording: Recording
    models: Mapping[str, str]
    rows: Mapping[str, Sequence[tuple[float, Deployment]]]
    came: Mapping[str, Arrivals]
    estimates: Mapping[str, Estimate | None]
    broken: Faults
    trace_name: str
    bin_s: float

    def head(self, source: str, notes: Sequence[str]) -> Iterator[str]:
        begin, end = moment(self.recording.origin_s), moment(self.recording.end_s)
        yield f"# Recorded by `homeostat sim record` from {source}: {begin} to {end} UTC."
        yield "# Moments are seconds since that begin; hours of the day and cron expressions count from it, too: it is 00:00 here."
        yield from (f"# Note: {note}." for note in notes)
        yield from _item("name", f"{self.recording.settings.name}, {begin} to {end} UTC")
        yield from _item("why", "What happened once shall be met better, and not worse, the next time.")

    def body(self, found: Mapping[str, Measured]) -> Iterator[str]:
        settings = self.recording.settings
        yield from _item("duration_s", _short(self.recording.duration_s))
        yield from _item("tick_s", settings.tick_s)
        yield from self._cluster()
        yield from self._telemetry()
        yield "models:"
        for name, model in self.models.items():
            yield from (f"  {line}" for line in self._model(name, model))
        if self.broken.found:
            yield "# Faults as far as observations show them; what broke unseen is not here."
            yield from _item("faults", [self._moved(each) for each in self.broken.found])
        yield "# The agent's settings are those of the journal."
        yield from _item("policies", [_policy(each) for each in renamed(settings.policies, self.models) or IDLE])
        yield from _item("autonomy", settings.autonomy.model_dump(mode="json", exclude_none=True))
        for name in ("budget", "guards", "deadlines"):
            plain = getattr(settings, name).model_dump(mode="json", exclude_defaults=True)
            yield from _item(name, plain) if plain else ()
        crons = {name: cron for name, cron in settings.schedules.items() if name != REPORT}
        yield from _item("schedules", crons) if crons else ()
        yield from self._expect(found)

    def _moved(self, fault: Mapping[str, Any]) -> dict[str, Any]:
        """With the moment that a scenario counts from."""
        at_s = max(0.0, fault["at_s"] - self.recording.origin_s)
        return {name: _short(value) for name, value in {**fault, "at_s": at_s}.items()}

    def _expect(self, found: Mapping[str, Measured]) -> Iterator[str]:
        rate = together(found).violation_rate
        told = "not known" if rate is None else f"about {rate:.4f}"
        yield f"# What really happened: slo_violation_rate {told}, estimated from quantiles. Say what you expect of a policy, such as:"
        yield f"# expect: [slo_violation_rate <= {_short(max(1.2 * (rate or 0.0), 0.01))}]"
        yield "expect: []"

    # -- the cluster ---------------------------------------------------------------------------------------------

    def _cluster(self) -> Iterator[str]:
        needed_cpus, needed_gpus = self._needed()
        cpus, gpus = self._room()
        if cpus is None:
            most = self.recording.settings.budget.cpus or self._most_replicas()
            cpus, gpus = max(most, needed_cpus), needed_gpus
            yield "# The cluster's capacity was not seen: this has room for every replica that bounds and budget allow."
        else:
            yield "# What serving, and what was free beside it, had together; what others used is left out."
        count = self._node_count(cpus)
        yield f"# {'How nodes part it is not known.' if count == 1 else 'Nodes are taken to be alike.'}"
        per_node = max(cpus, needed_cpus) / count
        node: dict[str, Any] = {"name": "node", "count": count, "cpus": _short(_rounded_up(per_node))}
        if max(gpus, needed_gpus) > 0:
            node["gpus"] = _short(_rounded_up(max(gpus, needed_gpus) / count))
        yield from _item("cluster", {"nodes": [node]})

    def _room(self) -> tuple[float | None, float]:
        """The most of (CPUs, GPUs) that was free or taken by deployments; a training takes its part for a while only."""
        rooms = []
        for seen in self.recording.seen:
            free = seen.capacity.free or seen.capacity.total
            if free is None:
                continue
            taken = [(len(each.running), each.resources) for each in seen.deployments.values()]
            if seen.capacity.free is None:
                taken = []
            cpus = free.cpus + sum(count * each.cpus for count, each in taken)
            rooms.append((cpus, free.gpus + sum(count * each.gpus for count, each in taken)))
        if not rooms:
            return None, 0.0
        return max(cpus for cpus, _ in rooms), max(gpus for _, gpus in rooms)

    def _needed(self) -> tuple[float, float]:
        """What the replicas with which the scenario begins take."""
        firsts = [each[0][1] for each in self.rows.values()]
        return tuple(sum(_at_first(d) * getattr(d.resources, kind) for d in firsts) for kind in ("cpus", "gpus"))  # type: ignore[return-value]

    def _most_replicas(self) -> float:
        latest = [each[-1][1] for each in self.rows.values()]
        budget = self.recording.settings.budget.replicas
        most = sum(
            (d.max_replicas or budget or max(len(each.replicas) for _, each in self.rows[d.name])) * d.resources.cpus
            for d in latest
        )
        return math.ceil(most)

    def _node_count(self, cpus: float) -> int:
        nodes = _nodes(self.rows)
        if any("node" in fault for fault in self.broken.found):
            return len(nodes)  # faults name them, so all must be there
        if self.broken.nodes_lost:
            return max(2, round(cpus / median(each.cpus for each in self.broken.nodes_lost)))
        return len(nodes) if nodes and cpus % len(nodes) == 0 else 1

    def _telemetry(self) -> Iterator[str]:
        windows = [
            (at_s, d.traffic, any(replica.traffic is not None for replica in d.replicas))
            for each in self.rows.values()
            for at_s, d in each
            if d.traffic is not None
        ]
        lag_s = median(max(0.0, at_s - seen.measured_at_s) for at_s, seen, _ in windows)
        plain: dict[str, Any] = {"window_s": _short(median(seen.window_s for _, seen, _ in windows))}
        if lag_s > 0.5:
            plain["lag_s"] = _short(lag_s)
        if not any(by_replica for _, _, by_replica in windows):
            plain["by_replica"] = False
        yield from _item("telemetry", plain)

    # -- a model -------------------------------------------------------------------------------------------------

    def _model(self, name: str, model: str) -> Iterator[str]:
        first, last = self.rows[name][0][1], self.rows[name][-1][1]
        yield f"{_key(model)}:"
        lines = [
            f"# {name}: {int(self.came[name].counts.sum()):,} requests, counted in bins of {self.bin_s:g} s.",
            *_item("traffic", [self._traffic(model)]),
            *self._service(name),
            *_item("replicas", _at_first(first)),
            *_item("min_replicas", last.min_replicas),
            *(_item("max_replicas", last.max_replicas) if last.max_replicas is not None else ()),
            *_item("cpus", _short(last.resources.cpus)),
            *(_item("gpus", _short(last.resources.gpus)) if last.resources.gpus else ()),
            *self._slo(name, last),
            *self._ongoing(last),
            *self._lifecycle(name),
        ]
        yield from (f"  {line}" for line in lines)

    def _traffic(self, model: str) -> dict[str, Any]:
        plain: dict[str, Any] = {"kind": "trace", "path": self.trace_name, "column": model}
        return plain if self.bin_s == MINUTE_S else plain | {"stretch": _short(self.bin_s)}

    def _service(self, name: str) -> Iterator[str]:
        found = self.estimates[name]
        if found is None:
            yield "# No latency was measured. This is a guess: put the service time of your model here."
            yield from _item("service", {"kind": "exponential", "mean_s": 0.1})
            return
        yield (
            f"# From {found.requests:,} requests in calm windows (replicas at most {100 * found.utilisation_max:.0f} % busy), "
            f"mean {found.mean_s:.4g} s."
        )
        if found.utilisation_max > 0.5:
            yield "# It was never calmer: part of this may be waiting, although a queue's mean wait was taken off."
        if found.shape is None:
            yield "# Quantiles were not measured: service times are taken to be exponential."
            yield from _item("service", {"kind": "exponential", "mean_s": _short(found.mean_s)})
        elif found.shape < CONSTANT_BELOW:
            yield from _item("service", {"kind": "constant", "seconds": _short(found.mean_s)})
        else:
            scale_s = found.mean_s * math.exp(-(found.shape**2) / 2)
            plain = {"kind": "lognormal", "scale_s": _short(scale_s), "shape": _short(found.shape)}
            yield from _item("service", plain)
        if found.concurrency > 1:
            yield "# Replicas answered more than one request at a time; so many at least."
            yield from _item("concurrency", found.concurrency)

    def _slo(self, name: str, last: Deployment) -> Iterator[str]:
        if last.slo_latency_s is not None:
            yield from _item("slo_latency_s", last.slo_latency_s)
            return
        found = self.estimates[name]
        yield f"# No objective was set. This is {SLO_TIMES_SERVICE:g} times the service time: put your own here."
        yield from _item("slo_latency_s", _short(SLO_TIMES_SERVICE * (found.mean_s if found is not None else 0.1)))

    @staticmethod
    def _ongoing(last: Deployment) -> Iterator[str]:
        if last.max_ongoing_requests is None:
            yield "# max_ongoing_requests was not seen: Serve's default of 5 stands."
        else:
            yield from _item("max_ongoing_requests", last.max_ongoing_requests)

    def _lifecycle(self, name: str) -> Iterator[str]:
        lived = self.broken.lives[name]
        plain: dict[str, Any] = {}
        if len(lived.starts_s) >= ENOUGH_STARTS:
            places = np.linspace(0.0, 1.0, min(11, len(lived.starts_s)))
            seconds = [_short(float(each)) for each in np.quantile(lived.starts_s, places)]
            plain["cold_start"] = {"kind": "empirical", "seconds": seconds}
        elif lived.starts_s:
            plain["cold_start"] = {"kind": "constant", "seconds": _short(median(lived.starts_s))}
        if lived.stops_s:
            plain["stop_s"] = _short(median(lived.stops_s))
        if lived.starts_s:
            yield f"# {len(lived.starts_s)} starts were seen, each to within a tick of {self.recording.settings.tick_s:g} s."
        else:
            yield "# No replica was seen to start: the default of 10 s stands."
        yield from _item("lifecycle", plain) if plain else ()


def _nodes(rows: Mapping[str, Sequence[tuple[float, Deployment]]]) -> list[str]:
    """Every node that a replica was seen on."""
    return sorted({replica.node for each in rows.values() for _, d in each for replica in d.replicas if replica.node})


def _at_first(deployment: Deployment) -> int:
    return len(deployment.running) or deployment.replicas_wanted


def _policy(policy: PolicySettings) -> dict[str, Any]:
    plain: dict[str, Any] = policy.model_dump(mode="json")
    if plain["targets"] == ["*"]:
        del plain["targets"]
    return plain


def _item(key: str, value: Any) -> list[str]:
    flow = None if isinstance(value, list | dict) else False
    dumped = yaml.safe_dump({key: value}, sort_keys=False, allow_unicode=True, width=120, default_flow_style=flow)
    return dumped.rstrip("\n").split("\n")


def _key(name: str) -> str:
    return _item(name, 0)[0].rsplit(":", 1)[0]


def _rounded_up(value: float) -> float:
    """To four figures, never less than `value`."""
    return math.ceil(value * 1e4 - 1e-6) / 1e4


def _short(value: Any) -> Any:
    """A number with six figures that matter, whole where it is whole; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, float):
        return value
    rounded = float(f"{value:.6g}")
    return int(rounded) if rounded.is_integer() else rounded
