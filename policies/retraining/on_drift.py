"""OnDrift: learn again where drift does harm, and only there.

Which rows a training takes, and how it searches, is the trainer's part. What counts as drift is the monitors' part.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from policies.action import Alert, Evidence, Hold, Proposal, Quarantine, Retrain
from policies.observation import JobState, Model, Observation, Report, Symptom
from policies.parameters import not_negative, positive
from policies.retraining.quarantine import BadRows

Because = tuple[Evidence, ...]
SymptomKind = Literal["error_drift", "prediction_drift", "feature_drift", "data_quality", "performance"]
"""What monitors tell of."""
Told = tuple[str, str]
"""Kind and signal of a symptom: two detectors that say the same of one signal are one piece of news."""
NAMED = 2
"""So many signals of a kind an alert names; the rest is a number, and stands in the report."""
WORDS = {
    "data_quality": ("values are broken in", "features have broken values"),
    "error_drift": ("the error drifts:", "measures of error drift"),
    "performance": ("performance is worse:", "measures of performance are worse"),
    "prediction_drift": ("the predictions drift:", "streams of predictions drift"),
    "feature_drift": ("1 feature drifts:", "features drift"),
}
"""How one signal of a kind is told, and how several are; what does harm is told first."""


@dataclass(slots=True)
class _Memory:
    """What is remembered of one model."""

    told: frozenset[Told] = frozenset()
    """What people were told of, as long as it lasts."""
    failed_job: str | None = None
    failures: int = 0
    """Training jobs that failed in a row."""
    labelled_at_training: int = 0
    """Labelled rows that the report counted when a training was last seen to run or end."""
    drift_since_s: float | None = None
    labelled_at_drift: int = 0
    """Labelled rows that the report counted when the harmful drift was first seen."""
    bad_rows: BadRows = field(default_factory=BadRows)


@dataclass(kw_only=True, eq=False)
class OnDrift:
    """Retrain a managed model whose champion's error has drifted; tell people of drift that does no harm.

    At every tick, for each model:

    1. No report, a stale one, or one about another version than the champion: hold.
    2. Rows are broken (`data_quality`): quarantine them, from the symptom on for as long as it lasts, tell people, and do not
       retrain; repair the data first.
    3. Drift of other kinds than `kinds`, that is of features or predictions alone: tell people once, in one alert that counts what
       drifts and names the two signals that do so most; again when as many more do, or when it is over and begins anew.
    4. Harmful drift (`kinds`) of a model that is not managed: tell people once.
    5. Harmful drift of a managed model: retrain, unless one of these says to hold:
       a training runs, a rollout runs, or a candidate waits; the champion, or the last training, is younger than `settle_s`;
       fewer than `min_rows` labelled rows came since the last training, or fewer than `min_rows_after_drift` since the drift;
       rows were broken less than `settle_s` ago, so that what is judged may be those; the loss is back within `recovered_within`
       of its reference, as after an incident or a season. An alarm of `error_drift` that began on broken rows does not count: it
       stays when they are over, while `performance` is taken back;
       the last training failed less than `retry_after_s` ago, doubled for each further failure in a row.

    Where at least `min_rows` labelled rows came since the drift, older rows than `margin_s` before it are left out.
    """

    kinds: tuple[SymptomKind, ...] = ("error_drift", "performance")
    min_rows: int = 500
    min_rows_after_drift: int = 0
    margin_s: float = 0.0
    """A detector sees a drift late; rows from so long before its alarm belong to the new times too."""
    settle_s: float = 600.0
    recovered_within: float = 0.05
    """A loss at most so much above its reference, as a part of that, does no harm worth learning from."""
    retry_after_s: float = 600.0
    retry_after_max_s: float = 86400.0
    rows_max: int | None = None
    stale_after_s: float = 300.0
    quarantine_step_s: float = 300.0
    """While broken rows keep coming, the quarantine is extended when so much of them is not covered."""

    _models: dict[str, _Memory] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        if not self.kinds:
            raise ValueError("kinds must name at least one kind of symptom")
        positive(retry_after_s=self.retry_after_s, stale_after_s=self.stale_after_s, rows_max=self.rows_max)
        positive(quarantine_step_s=self.quarantine_step_s)
        not_negative(min_rows=self.min_rows, min_rows_after_drift=self.min_rows_after_drift, margin_s=self.margin_s)
        not_negative(settle_s=self.settle_s, retry_after_max_s=self.retry_after_max_s)
        not_negative(recovered_within=self.recovered_within)

    def propose(self, seen: Observation) -> Iterable[Proposal]:
        self._models = {name: self._models.get(name, _Memory()) for name in sorted(seen.models)}
        proposals: list[Proposal] = []
        for name, memory in self._models.items():
            proposals += self._one(seen.models[name], memory, seen.at_s)
        return proposals

    def _one(self, model: Model, memory: _Memory, at_s: float) -> list[Proposal]:
        report = model.report
        unreadable = self._unreadable(model, at_s)
        if report is None or unreadable is not None:
            return [Proposal(action=Hold(subject=model.name), because=(unreadable,))] if unreadable is not None else []
        broken = [each for each in report.symptoms if each.kind == "data_quality"]
        drifted = [each for each in report.symptoms if each.kind in self.kinds and each not in broken]
        harmful = [
            each for each in drifted if each.kind != "error_drift" or not self._began_on_broken_rows(each, model)
        ]
        self._remember(model, memory, report, harmful)
        proposals = self._quarantine(model, memory, broken, at_s)
        if harmful and model.managed:
            proposals.append(self._retrain(model, memory, report, harmful, at_s, broken=bool(broken)))
        acted_on = drifted if model.managed else []
        proposals += self._tell(model, memory, [each for each in report.symptoms if each not in acted_on])
        return proposals

    def _began_on_broken_rows(self, symptom: Symptom, model: Model) -> bool:
        """Within a quarantined stretch, or so soon after it that their labels were still coming."""
        return any(each.since_s <= symptom.since_s < each.until_s + self.settle_s for each in model.quarantined)

    def _unreadable(self, model: Model, at_s: float) -> Evidence | None:
        """Why the report of `model` can not be used."""
        report, champion = model.report, model.champion
        if report is None:
            return Evidence(name="report", note="there is no report")
        age_s = at_s - report.measured_at_s
        if age_s > self.stale_after_s:
            return Evidence(name="report_age_s", value=age_s, threshold=self.stale_after_s, note="the report is stale")
        if champion is not None and report.version not in (None, champion.number):
            note = f"the report is about version {report.version}, the champion is {champion.number}"
            return Evidence(name="report_version", note=note)
        return None

    def _remember(self, model: Model, memory: _Memory, report: Report, harmful: list[Symptom]) -> None:
        job, labelled = model.training, report.labelled_rows
        if job is not None and job.state is JobState.FAILED and job.id != memory.failed_job:
            memory.failed_job, memory.failures = job.id, memory.failures + 1
        elif job is not None and job.state is JobState.SUCCEEDED:
            memory.failures = 0
        if labelled < max(memory.labelled_at_training, memory.labelled_at_drift):  # the monitors were reset
            memory.labelled_at_training = memory.labelled_at_drift = 0
        if job is not None and job.state is JobState.RUNNING:
            memory.labelled_at_training = labelled
        if not harmful:
            memory.drift_since_s = None
        elif memory.drift_since_s is None:
            memory.drift_since_s, memory.labelled_at_drift = min(each.since_s for each in harmful), labelled

    # 2. broken rows

    def _quarantine(self, model: Model, memory: _Memory, broken: list[Symptom], at_s: float) -> list[Proposal]:
        if not model.managed:
            return []
        since_s = min((each.since_s for each in broken), default=None)
        rows = memory.bad_rows.uncovered(since_s, model.quarantined, at_s, step_s=self.quarantine_step_s)
        if rows is None:
            return []
        action = Quarantine(model=model.name, since_s=rows.since_s, until_s=rows.until_s)
        ended = Evidence(name="data_quality", note="the symptom is gone; its last rows are still to be covered")
        return [Proposal(action=action, because=tuple(map(_shown, broken)) or (ended,))]

    # 3., 4. people

    def _tell(self, model: Model, memory: _Memory, symptoms: list[Symptom]) -> list[Proposal]:
        kinds = sorted({each.kind for each in symptoms}, key=_rank)
        groups = [_ranked(each for each in symptoms if each.kind == kind) for kind in kinds]
        memory.told &= {_told(each) for each in symptoms}
        news = [group for group in groups if _is_news(group, memory.told)]
        memory.told |= {_told(each) for group in news for each in group}
        if not news:
            return []
        words = "; ".join(map(_words, news))
        action = Alert(subject=f"drift of {model.name}", text=f"{model.name}: {words}")
        return [Proposal(action=action, because=tuple(_shown(each) for group in news for each in group))]

    # 5. learn again

    def _retrain(
        self, model: Model, memory: _Memory, report: Report, harmful: list[Symptom], at_s: float, *, broken: bool
    ) -> Proposal:
        shown = tuple(map(_shown, harmful))
        against = (
            *((Evidence(name="data_quality", note="repair the data before learning from it"),) if broken else ()),
            *self._busy(model),
            *self._too_soon(model, memory, at_s),
            *self._too_few(memory, report),
            *self._broken_lately(memory, at_s),
            *self._recovered(report),
        )
        if against:
            return Proposal(action=Hold(subject=model.name), because=(*against, *shown))
        action = Retrain(model=model.name, since_s=self._since_s(memory, report), rows_max=self.rows_max)
        loss = Evidence(
            name="loss", value=report.loss, threshold=report.loss_reference, n=report.window_rows, note="now"
        )
        return Proposal(action=action, because=(*shown, loss))

    def _since_s(self, memory: _Memory, report: Report) -> float | None:
        """The time of the drift less the margin, where enough labelled rows came after it; else None, all rows."""
        enough = report.labelled_rows - memory.labelled_at_drift >= max(1, self.min_rows)
        return memory.drift_since_s - self.margin_s if enough and memory.drift_since_s is not None else None

    def _busy(self, model: Model) -> Because:
        if model.training is not None and model.training.state is JobState.RUNNING:
            return (Evidence(name="training", note=f"job {model.training.id} runs"),)
        if model.rollout is not None:
            return (Evidence(name="rollout", note=f"version {model.rollout.version} is being rolled out"),)
        if model.candidates:
            return (Evidence(name="candidates", value=len(model.candidates), threshold=0, note="a candidate waits"),)
        return ()

    def _too_soon(self, model: Model, memory: _Memory, at_s: float) -> Because:
        since_s = model.champion_since_s
        if since_s is not None and at_s - since_s < self.settle_s:
            return (Evidence(name="champion_age_s", value=at_s - since_s, threshold=self.settle_s, note="it settles"),)
        job = model.training
        if job is None or job.finished_at_s is None:
            return ()
        wait_s = self.settle_s
        if job.state is JobState.FAILED:
            wait_s = min(self.retry_after_max_s, self.retry_after_s * 2.0 ** min(memory.failures - 1, 60))
        rested_s = at_s - job.finished_at_s
        if rested_s >= wait_s:
            return ()
        return (
            Evidence(name="since_last_training_s", value=rested_s, threshold=wait_s, note=f"job {job.id} {job.state}"),
        )

    def _broken_lately(self, memory: _Memory, at_s: float) -> Because:
        ended_s = memory.bad_rows.until_s
        if ended_s <= 0 or at_s - ended_s >= self.settle_s:
            return ()
        note = "their labels may still be coming"
        return (Evidence(name="since_broken_rows_s", value=at_s - ended_s, threshold=self.settle_s, note=note),)

    def _recovered(self, report: Report) -> Because:
        loss, reference = report.loss, report.loss_reference
        if loss is None or reference is None:
            return ()
        least = reference + self.recovered_within * abs(reference)
        if loss > least:
            return ()
        return (Evidence(name="loss", value=loss, threshold=least, n=report.window_rows, note="back at its reference"),)

    def _too_few(self, memory: _Memory, report: Report) -> Because:
        since_training = report.labelled_rows - memory.labelled_at_training
        since_drift = report.labelled_rows - memory.labelled_at_drift
        if since_training < self.min_rows:
            return (
                Evidence(
                    name="labelled_rows", value=since_training, threshold=self.min_rows, note="since the last training"
                ),
            )
        if since_drift < self.min_rows_after_drift:
            return (
                Evidence(
                    name="labelled_rows",
                    value=since_drift,
                    threshold=self.min_rows_after_drift,
                    note="since the drift was seen",
                ),
            )
        return ()


def _told(symptom: Symptom) -> Told:
    return (symptom.kind, symptom.signal)


def _is_news(group: list[Symptom], told: frozenset[Told]) -> bool:
    """Whether at least as many signals of a kind are untold as were told and last: features that follow one another are few alerts."""
    signals = {_told(each) for each in group}
    return len(signals - told) >= max(1, len(signals & told))


def _rank(kind: str) -> tuple[int, str]:
    return (list(WORDS).index(kind) if kind in WORDS else len(WORDS), kind)


def _ranked(symptoms: Iterable[Symptom]) -> list[Symptom]:
    """Most of all first: what several detectors say, then what is furthest above its threshold, then what began first."""
    found = sorted(symptoms, key=lambda each: (each.signal, each.detector))
    agreeing = Counter(each.signal for each in found)
    return sorted(found, key=lambda each: (-agreeing[each.signal], -_excess(each), each.since_s))


def _excess(symptom: Symptom) -> float:
    """How many times its threshold a symptom's value is; 0 where that is not known."""
    if symptom.value is None or symptom.threshold is None or symptom.threshold <= 0:
        return 0.0
    return symptom.value / symptom.threshold


def _words(group: list[Symptom]) -> str:
    """One kind of symptom, as people are told: "12 features drift, most of all dep_delay and temp"."""
    kind, signals = group[0].kind, list(dict.fromkeys(each.signal for each in group))
    one, several = WORDS.get(kind, (f"{kind} of", f"signals show {kind}"))
    if len(signals) == 1:
        detectors = ", ".join(dict.fromkeys(each.detector for each in group))
        return f"{one} {signals[0]} ({detectors})"
    most = ", most of all" if len(signals) > NAMED else ":"
    return f"{len(signals)} {several}{most} {' and '.join(signals[:NAMED])}"


def _shown(symptom: Symptom) -> Evidence:
    return Evidence(
        name=f"{symptom.kind}:{symptom.detector}",
        value=symptom.value,
        threshold=symptom.threshold,
        n=symptom.n,
        note=symptom.signal,
    )
