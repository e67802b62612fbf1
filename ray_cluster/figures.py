"""The agent's own figures, as Prometheus metrics through Ray's endpoints."""

from ray.util.metrics import Counter, Gauge

from agent.core import Decision
from agent.settings import BudgetSettings
from policies.observation import Observation


class Figures:
    """Counts decisions and shows gates, lag and budget. Names begin with `ray_homeostat_` once exported."""

    def __init__(self) -> None:
        self._orders = Counter("homeostat_orders", "Orders issued", tag_keys=("action", "policy"))
        self._outcomes = Counter("homeostat_outcomes", "Orders ended", tag_keys=("status",))
        self._vetoes = Counter("homeostat_vetoes", "Proposals that a rule kept back", tag_keys=("rule",))
        self._gate_value = Gauge("homeostat_gate_value", "Value of the evidence of the last order", tag_keys=("gate",))
        self._gate_threshold = Gauge("homeostat_gate_threshold", "What it was held against", tag_keys=("gate",))
        self._lag = Gauge("homeostat_loop_lag_seconds", "How late the last tick began")
        self._tick = Gauge("homeostat_tick_seconds", "How long the last tick took")
        self._budget = Gauge("homeostat_budget_left_replicas", "Replicas that the budget still allows")

    def tick(self, decision: Decision, *, lag_s: float, took_s: float) -> None:
        self._lag.set(lag_s)
        self._tick.set(took_s)
        for order in decision.orders:
            self._orders.inc(1, {"action": order.action.kind, "policy": order.policy})
            for evidence in order.because:
                if evidence.value is not None:
                    self._gate_value.set(evidence.value, {"gate": evidence.name})
                if evidence.threshold is not None:
                    self._gate_threshold.set(evidence.threshold, {"gate": evidence.name})
        for outcome in decision.outcomes:
            self._outcomes.inc(1, {"status": outcome.status.value})
        for veto in decision.vetoes:
            self._vetoes.inc(1, {"rule": veto.rule})

    def budget(self, seen: Observation, budget: BudgetSettings) -> None:
        if budget.replicas is not None:
            used = sum(deployment.replicas_wanted for deployment in seen.deployments.values())
            self._budget.set(budget.replicas - used)
