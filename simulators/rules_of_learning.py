"""Rules of learning: what is trained on, what is promoted, and who answers."""

from policies.action import Promote, Retrain
from policies.observation import JobState, Quarantined
from simulators.engine import Event
from simulators.rule import Look, Rule
from simulators.served import Deed, Served


class NeverPromotedWithoutEvidence(Rule):
    """A promotion has as many labelled rows behind it as the guards ask for."""

    def deed(self, deed: Deed) -> str | None:
        action = deed.order.action
        if not isinstance(action, Promote):
            return None
        model = self.look.world.served[action.model].model
        comparison = model.rollout.comparison if model is not None and model.rollout is not None else None
        rows = max(comparison.paired_loss.n, comparison.challenger.loss.n) if comparison is not None else 0
        least = self.look.settings.guards.promotion_min_rows
        return f"version {action.version} of {action.model} is promoted on {rows} rows" if rows < least else None


class NeverTrainedOnQuarantine(Rule):
    """A training takes no row that was set aside before it began, and does not begin where all its rows are."""

    def __init__(self, look: Look) -> None:
        super().__init__(look)
        self._begun: str | None = None

    def deed(self, deed: Deed) -> str | None:
        action = deed.order.action
        if not isinstance(action, Retrain):
            return None
        self._begun = action.model
        model = self.look.world.served[action.model].model
        if model is None or action.since_s is None:
            return None
        spoilt = any(q.since_s <= action.since_s and q.until_s >= deed.at_s for q in model.quarantined)
        return f"{action.model} is trained on quarantined rows only" if spoilt else None

    def event(self, event: Event) -> str | None:
        name, self._begun = self._begun, None
        model = self.look.world.served[name].model if name is not None else None
        if model is None:
            return None
        spoilt = [q for q in model.quarantined if any(_overlap(q, *span) for span in model.job_spans)]
        return f"{name} is trained on rows that were set aside: {spoilt[0]}" if spoilt else None


def _overlap(quarantined: Quarantined, since_s: float, until_s: float) -> bool:
    return max(since_s, quarantined.since_s) < min(until_s, quarantined.until_s)


class TrainingHoldsOneJob(Rule):
    """A model has at most one training, and holds its place while it runs."""

    def event(self, event: Event) -> str | None:
        world = self.look.world
        for name, served in world.served.items():
            if served.model is None:
                continue
            job = served.model.job
            runs = job is not None and job.state is JobState.RUNNING
            if runs != (name in world.training_nodes):
                return f"the training of {name} {'runs' if runs else 'does not run'} and its place says otherwise"
        return None


class ChampionServes(Rule):
    """Where no rollout runs the champion answers everything; where one runs, its challenger is there."""

    def event(self, event: Event) -> str | None:
        for name, served in self.look.world.served.items():
            told = self._wrong(served)
            if told is not None:
                return f"{name}: {told}"
        return None

    @staticmethod
    def _wrong(served: Served) -> str | None:
        model = served.model
        if model is None:
            return None
        if served.champion.version != model.champion.number:
            return f"version {served.champion.version} answers, {model.champion.number} is the champion"
        version = served.challenger.version if served.challenger is not None else None
        wanted = model.rollout.version if model.rollout is not None else None
        if version != wanted:
            return f"version {version} runs beside the champion, the rollout is of {wanted}"
        if wanted is None and (served.share or served.shadow):
            return f"no rollout runs, and a challenger answers the share {served.share:g}"
        return None


RULES_OF_LEARNING: tuple[type[Rule], ...] = (
    NeverPromotedWithoutEvidence,
    NeverTrainedOnQuarantine,
    TrainingHoldsOneJob,
    ChampionServes,
)
