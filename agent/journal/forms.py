"""The forms of entries: what commands, pages and reports count on in a payload of each kind. Pure.

A journal may come from a stranger, from another version, or from a hand that repaired it: its chain can be whole while a payload is of
another form. Whoever shows entries to people takes them through here, so that one that does not fit is told by its number and key.
What is only shown, such as an order's evidence, may hold anything.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from agent.journal.record import Entry, Kind, reading


class Newest(Protocol):
    """A journal that can be asked for its newest entry of a kind."""

    def last(self, kind: Kind) -> Entry | None: ...


class Form(BaseModel):
    """What is not named in a form may be anything; only what every reader needs must be there."""

    model_config = ConfigDict(strict=True, extra="allow")


class ActionForm(Form):
    kind: str
    deployment: str = ""
    model: str = ""
    version: str = ""
    subject: str = ""


class ProposalForm(Form):
    action: ActionForm
    because: list[dict[str, Any]] = []
    policy: str = ""


class OrderForm(ProposalForm):
    number: int
    inverse: ActionForm | None = None


class SuggestionForm(Form):
    proposal: ProposalForm
    autonomy: str


class VetoForm(Form):
    proposal: ProposalForm
    rule: str


class AlertForm(Form):
    severity: str = ""
    subject: str = ""
    text: str = ""


class DecidedForm(Form):
    awaiting: list[OrderForm] | None = None
    suggestions: list[SuggestionForm] | None = None
    vetoes: list[VetoForm] | None = None
    holds: list[ProposalForm] | None = None
    alerts: list[AlertForm] | None = None


class OutcomeForm(Form):
    number: int
    status: str
    detail: str = ""
    at_s: float = 0.0


class RefusedForm(Form):
    number: int
    reason: str = ""


class BudgetForm(Form):
    replicas: float | None = None
    cpus: float | None = None
    gpus: float | None = None


class SettingsForm(Form):
    name: str = ""
    budget: BudgetForm | None = None
    models: dict[str, Any] = {}


class StartedForm(Form):
    settings: SettingsForm | None = None
    open_orders: list[OrderForm] | None = None


class ControlForm(Form):
    word: str = ""
    by: str = ""
    reason: str = ""


class TrafficForm(Form):
    requests: float | None = None
    errors: float = 0.0
    window_s: float | None = None
    latency_mean_s: float | None = None
    latency_p95_s: float | None = None


class ReplicaForm(Form):
    state: str | None = None


class DeploymentForm(Form):
    name: str = ""
    status: str | None = None
    replicas: list[ReplicaForm] | None = None
    replicas_wanted: float | None = None
    resources: BudgetForm | None = None
    traffic: TrafficForm | None = None
    slo_latency_s: float | None = None
    message: str = ""


class ReportForm(Form):
    loss_name: str | None = None
    loss: float | None = None
    loss_reference: float | None = None
    rows: int | None = None
    labelled_rows: int | None = None
    rejected_rows: int | None = None
    dropped_rows: int | None = None
    unknown_labels: int | None = None
    refused: dict[str, int] | None = None
    symptoms: list[dict[str, Any]] | None = None


class RolloutForm(Form):
    share: float | None = None
    shadow: float | None = None


class TrainingForm(Form):
    resources: BudgetForm | None = None


class VersionForm(Form):
    number: str = ""
    digest: str = ""


class ModelForm(Form):
    name: str = ""
    champion: VersionForm | None = None
    previous: VersionForm | None = None
    candidates: list[VersionForm] | None = None
    report: ReportForm | None = None
    rollout: RolloutForm | None = None
    training: TrainingForm | None = None
    unread: list[Any] | None = None


class ObservedForm(Form):
    at_s: float = 0.0
    clock_ahead_s: float | None = None
    deployments: dict[str, DeploymentForm] | None = None
    models: dict[str, ModelForm] | None = None
    problems: list[str] | None = None


class NoteForm(Form):
    alert: AlertForm | None = None


FORMS: dict[str, type[Form]] = {
    Kind.STARTED: StartedForm,
    Kind.OBSERVED: ObservedForm,
    Kind.DECIDED: DecidedForm,
    Kind.INTENT: OrderForm,
    Kind.REFUSED: RefusedForm,
    Kind.OUTCOME: OutcomeForm,
    Kind.CONTROL: ControlForm,
    Kind.NOTE: NoteForm,
}


def formed(entry: Entry) -> Entry:
    """`entry`, whose payload is of the form of its kind. Raises UnreadableEntry, naming the key, where it is of another."""
    if entry.kind in FORMS:
        with reading(entry):
            FORMS[entry.kind].model_validate(entry.payload)
    return entry


def all_formed(entries: Iterable[Entry]) -> Iterator[Entry]:
    """`entries`, each of its form. Raises UnreadableEntry."""
    return map(formed, entries)


def newest(journal: Newest, kind: Kind) -> Entry | None:
    """The newest entry of `kind`, of its form. Raises UnreadableEntry, and JournalUnavailable."""
    entry = journal.last(kind)
    return formed(entry) if entry is not None else None
