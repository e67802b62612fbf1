"""Models that really answer: rows of a stream, recipes that really fit, the agent's own monitors, and small searches by Optuna.

1. Answered requests consume the rows of the stream in order; a row came when its request was answered, spread evenly over a look.
2. The champion predicts it, or the challenger does for its share; copies go to the challenger too. The losses are the real ones.
3. Its label comes by key after the delay, and the row is then one that may be trained on.
4. A training takes the newest such rows that were not set aside. How long it lasts is modelled; what it makes is real.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.monitoring.losses import LOSSES
from agent.monitoring.model_monitor import ModelMonitor
from agent.monitoring.rows import Labelled, Served
from agent.recipes.recipe import Fitted
from agent.settings import DriftSettings
from policies.imports import Packages
from policies.observation import Report
from simulators.changes import Span
from simulators.learning import FIRST, WILD, Answers, Learning, Losses, Made, NothingLearned, SimModel, seed_of
from simulators.played_search import PlayedSearch
from simulators.row_streams import Rows, RowStream

BLOCK = 1024
FATES = 3
"""Chances of a row: who answers it, whether it is copied, whether its label ever comes."""
WAITING_MAX = 200_000
"""Rows whose label has not come, kept at most; the oldest go first, as in a monitor."""
NEWEST = 500
"""The loss of now is that of the newest so many rows."""
FITTED_KEPT = 8
"""So many of the newest versions are kept, besides those that serve or may have to."""


@dataclass(frozen=True, kw_only=True)
class PlayedLearning(Learning):
    """`stream` makes the rows from a seed. Version 1 is fitted on the first `first_rows` of them, before the run."""

    stream: Callable[[np.random.SeedSequence], RowStream]
    recipes: tuple[str, ...] = ("logistic",)
    drift: DriftSettings = field(default_factory=DriftSettings)
    first_rows: int = 2000
    rows_per_request: float = 1.0
    rows_max: int = 20_000
    """The newest so many labelled rows are kept to train on."""
    validation_share: float = 0.25
    allowed: Packages = ()
    """Packages whose recipes and detectors may be named by import path."""

    def model(self, name: str, seed: np.random.SeedSequence) -> "PlayedModel":
        """Raises NothingLearned where no first version can be fitted."""
        return PlayedModel(name, self, seed)


class _Row(NamedTuple):
    """A row of which the label is still to come, or has come."""

    key: str
    at_s: float
    features: dict[str, Any]
    label: float


class Defective:
    """A version with a defect: it mixes its answer with the opposite one by the part `defect`."""

    def __init__(self, inner: Fitted, defect: float) -> None:
        self._inner = inner
        self._defect = min(1.0, defect)

    @property
    def columns(self) -> tuple[str, ...]:
        return self._inner.columns

    def predict(self, rows: Sequence[Any]) -> list[float]:
        return [p + self._defect * (1.0 - 2.0 * p) for p in self._inner.predict(rows)]


class PlayedModel(SimModel):
    """See `simulators.learning.SimModel`."""

    learning: PlayedLearning

    def __init__(self, name: str, learning: PlayedLearning, seed: np.random.SeedSequence) -> None:
        self._stream = learning.stream(seed_of(seed, "rows"))
        self._fates = Fates(seed_of(seed, "fates"))
        self._loss = LOSSES[learning.drift.training_loss]
        self._search = PlayedSearch(
            recipes=learning.recipes,
            loss=learning.drift.training_loss,
            trials=learning.trials,
            validation_share=learning.validation_share,
            seed=int(seed_of(seed, "search").generate_state(1)[0]),
            allowed=learning.allowed,
        )
        self._fitted: dict[str, Fitted] = {}
        self._requests = self._given = 0
        self._waiting: deque[_Row] = deque(maxlen=WAITING_MAX)
        self._log: deque[_Row] = deque(maxlen=learning.rows_max)
        self._chosen: list[_Row] = []
        self._unasked: list[tuple[dict[str, Any], float]] = []
        self._frozen_total = 0.0
        self._newest: deque[float] = deque(maxlen=NEWEST)
        drawn = int(seed_of(seed, "detectors").generate_state(1)[0])
        self._monitor = ModelMonitor(learning.drift, learning.allowed, seed=drawn)
        self._monitor.reset(FIRST)
        begun = self._stream.rows(0, np.zeros(learning.first_rows))
        self._fresh, made = self._found(begun.features, begun.labels)
        super().__init__(name, learning, seed, made)

    # -- the part of a fidelity ----------------------------------------------------------------------------------

    def loss_now(self, at_s: float) -> float | None:
        return math.fsum(self._newest) / len(self._newest) if self._newest else None

    def _report(self, at_s: float) -> Report:
        return self._monitor.report(at_s)

    def _losses(self, at_s: float) -> Losses:
        found = self._monitor.comparison(at_s)
        if found is None:
            return Losses()
        return Losses(
            champion=found.champion.loss,
            challenger=found.challenger.loss,
            paired=found.paired_loss,
            over_constant=found.loss_over_constant,
            covariance=found.covariance,
        )

    def _stage(self) -> None:
        if self.rollout is None:
            self._monitor.stage(None)
        else:
            self._monitor.stage(self.rollout.version, self.rollout.share)

    def _begin_anew(self) -> None:
        self._monitor.reset(self.champion.number)

    # -- rows ----------------------------------------------------------------------------------------------------

    def _take(self, answers: Answers) -> None:
        self._requests += answers.rows
        wanted = math.floor(self._requests * self.learning.rows_per_request + 1e-9) - self._given
        if wanted > 0:
            at_s = answers.since_s + (np.arange(wanted) + 0.5) / wanted * (answers.at_s - answers.since_s)
            first = self.learning.first_rows + self._given
            rows = self._stream.rows(first, at_s)
            if rows.labels:
                self._answer(rows, first, at_s, answers)
            self._given += len(rows.labels)
        self._tell_truth(answers.at_s)

    def _answer(self, rows: Rows, first: int, at_s: NDArray[np.float64], answers: Answers) -> None:
        """Predictions for all rows, to the monitors; what they lose, to the account of the run."""
        fates = self._fates.of(first, len(rows.labels))
        theirs = fates[:, 0] < answers.challenger / answers.rows
        copied = ~theirs & (fates[:, 1] < answers.copies / max(1, answers.champion))
        challenger = self.rollout.version if self.rollout is not None else None
        if challenger is None:
            theirs[:] = copied[:] = False
        main = self._predicted(self.champion.number, rows, ~theirs)
        beside = self._predicted(challenger or FIRST, rows, theirs | copied)
        served = []
        for n, (features, label) in enumerate(zip(rows.features, rows.labels, strict=True)):
            key, came_s = str(first + n), float(at_s[n])
            answer = beside[n] if theirs[n] else main[n]
            version = str(challenger) if theirs[n] else self.champion.number
            served.append(Served(key, came_s, features, answer, 0.0, version, ""))
            if copied[n]:
                served.append(Served(key, came_s, features, beside[n], 0.0, str(challenger), "", shadow=True))
            if label is None:
                continue
            self._lose(answer, features, label, frozen=version == FIRST)
            if fates[n, 2] < self.learning.label_share:
                self._waiting.append(_Row(key, came_s, features, label))
        self._monitor.rows(served)

    def _predicted(self, version: str, rows: Rows, asked: NDArray[np.bool_]) -> dict[int, float]:
        """Row's place -> what `version` answers, for the rows `asked`."""
        places = np.flatnonzero(asked).tolist()
        answers = self._fitted[version].predict([rows.features[n] for n in places]) if places else []
        return dict(zip(places, answers, strict=True))

    def _lose(self, answer: float, features: dict[str, Any], label: float, *, frozen: bool) -> None:
        """A row is answered, by the first version where it is `frozen`; else what that one would have answered is asked later."""
        loss = self._loss(answer, label)
        self.loss_rows += 1
        self.loss_total += loss
        self._newest.append(loss)
        if frozen:
            self._frozen_total += loss
            return
        self._unasked.append((features, label))
        if len(self._unasked) >= BLOCK:
            self._ask_first()

    def _ask_first(self) -> None:
        """Many rows at a time, since asking a model has a price of its own."""
        rows, self._unasked = self._unasked, []
        answers = self._fitted[FIRST].predict([features for features, _ in rows])
        self._frozen_total += math.fsum(self._loss(p, label) for p, (_, label) in zip(answers, rows, strict=True))

    @property
    def frozen_total(self) -> float:
        self._ask_first()
        return self._frozen_total

    def _tell_truth(self, at_s: float) -> None:
        """Labels that are due."""
        due = []
        while self._waiting and self._is_due(self._waiting[0].at_s, at_s):
            due.append(self._waiting.popleft())
        if self.labels_lost:
            return
        if self.labels_wild:  # they come to the door of the monitor, and are no rows to learn from
            self._monitor.labels(Labelled(row.key, at_s, WILD) for row in due)
            return
        self._monitor.labels(Labelled(row.key, at_s, row.label) for row in due)
        self._log.extend(due)

    # -- trainings -----------------------------------------------------------------------------------------------

    def _gather(self, at_s: float, since_s: float | None, rows_max: int | None) -> tuple[Span, int]:
        oldest_s = since_s if since_s is not None else -math.inf
        kept = [row for row in self._log if row.at_s >= oldest_s and not self._is_set_aside(row.at_s)]
        self._chosen = kept[-rows_max:] if rows_max is not None else kept
        if not self._chosen:
            return (at_s, at_s), 0
        return (self._chosen[0].at_s, math.nextafter(self._chosen[-1].at_s, math.inf)), len(self._chosen)

    def _is_set_aside(self, at_s: float) -> bool:
        return any(each.since_s <= at_s < each.until_s for each in self.quarantined)

    def _fit(self, at_s: float) -> Made:
        rows, self._chosen = self._chosen, []
        self._fresh, made = self._found([row.features for row in rows], [row.label for row in rows])
        return made

    def _found(self, features: list[dict[str, Any]], labels: Sequence[float | None]) -> tuple[Fitted, Made]:
        """Of the rows whose label is known. Raises NothingLearned."""
        known = [(row, label) for row, label in zip(features, labels, strict=True) if label is not None]
        if not known:
            raise NothingLearned("the stream has no rows to fit a first version on")
        found = self._search.find([row for row, _ in known], [label for _, label in known])
        return found.fitted, Made(recipe=found.recipe, score=found.score)

    def _registered(self, number: str) -> None:
        defect = self.learning.bad_versions.get(int(number))
        self._fitted[number] = self._fresh if defect is None else Defective(self._fresh, defect)
        if number == FIRST:
            return
        versions = (self.champion, self.previous, *self.candidates)
        needed = {FIRST, number, *(each.number for each in versions if each is not None)}
        newest = list(self._fitted)[-FITTED_KEPT:]
        self._fitted = {each: made for each, made in self._fitted.items() if each in needed or each in newest}


class Fates:
    """Chances of each row by its number, made by the block: how a run is cut changes none."""

    def __init__(self, seed: np.random.SeedSequence) -> None:
        self._seed = seed
        self._made: tuple[int, NDArray[np.float64]] = (-1, np.empty((0, FATES)))

    def of(self, first: int, count: int) -> NDArray[np.float64]:
        """count x FATES, each in [0, 1)."""
        blocks = [self._block(n) for n in range(first // BLOCK, (first + max(1, count) - 1) // BLOCK + 1)]
        skip = first % BLOCK
        return np.concatenate(blocks)[skip : skip + count]

    def _block(self, number: int) -> NDArray[np.float64]:
        if self._made[0] != number:
            drawn = np.random.default_rng(seed_of(self._seed, "block", number)).random((BLOCK, FATES))
            self._made = (number, drawn)
        return self._made[1]
