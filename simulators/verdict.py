"""What came of a batch, for a reader at a terminal: a row for each run, every expectation with what was measured, every broken rule."""

from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from agent.terminal import Terminal, styled
from agent.units import number
from simulators.batch import Outcome
from simulators.expectations import Held
from simulators.progress import clock

STYLES = {"held": "green", "not held": "red", "rule broken": "bold red", "crashed": "bold red", "interrupted": "yellow"}
SEEDS_SHOWN = 5


def show(outcomes: Sequence[Outcome], console: Terminal) -> None:
    """All of it, in the order of the runs."""
    if not outcomes:
        return
    console.print(_runs(outcomes))
    expectations = _expectations(outcomes)
    if expectations.row_count:
        console.print(expectations)
    for told in dict.fromkeys(f"{each.told['scenario']}: {note}" for each in outcomes for note in each.told["notes"]):
        console.print(told, style="yellow", markup=False, highlight=False, soft_wrap=True)
    for outcome in outcomes:
        for line in _mishap(outcome):
            console.print(line, style="red", markup=False, highlight=False, soft_wrap=True)


def _runs(outcomes: Sequence[Outcome]) -> Table:
    under = any(each.task.policy for each in outcomes)
    table = Table("scenario", *(["policy"] if under else []), box=SIMPLE_HEAD)
    for name in ("seed", "requests", "late or\nlost", "lost\nutility", "dropped", "replica\nhours", "wall s"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("result", no_wrap=True)
    for outcome in outcomes:
        told, totals = outcome.told, outcome.told["totals"]
        table.add_row(
            told["scenario"],
            *([outcome.task.policy or "its own"] if under else []),
            str(told["seed"]),
            f"{told['requests']:,}",
            share(totals.get("slo_violation_rate")),
            number(totals.get("lost_utility")),
            f"{totals.get('dropped', 0):,}",
            number(totals.get("replica_hours")),
            f"{told['wall_s']:.2f}",
            styled(f"{outcome.state}{_counted(outcome)}", STYLES[outcome.state]),
        )
    return table


def _counted(outcome: Outcome) -> str:
    total = len(outcome.expectations)
    return f" {sum(each.held for each in outcome.expectations)}/{total}" if total else ""


def _expectations(outcomes: Sequence[Outcome]) -> Table:
    """A row for each expectation of a scenario under one set of policies, over all seeds."""
    table = Table("scenario", "expectation", box=SIMPLE_HEAD)
    for name in ("held", "measured"):
        table.add_column(name, no_wrap=True)
    if len(outcomes) > 1:
        table.add_column("not held with seed")
    for (name, _), group in groupby(outcomes, key=lambda each: (_named(each), each.task.scenario.file)):
        runs = list(group)
        for place, held in enumerate(runs[0].expectations):
            found = [(run.task.seed, run.expectations[place]) for run in runs]
            cells = _over_seeds(found)
            table.add_row(name if place == 0 else "", held.text, *cells[: len(table.columns) - 2])
        table.add_section()
    return table


def _named(outcome: Outcome) -> str:
    scenario = outcome.task.scenario.name
    return f"{scenario}\n({outcome.task.policy})" if outcome.task.policy else scenario


def _over_seeds(found: Sequence[tuple[int, Held]]) -> tuple[Text, str, str]:
    missed = [str(seed) for seed, each in found if not each.held]
    values = sorted(each.value for _, each in found if each.value is not None)
    measured = " to ".join(dict.fromkeys(number(value) for value in (values[0], values[-1]))) if values else "unknown"
    verdict = ("yes" if not missed else "no") if len(found) == 1 else f"{len(found) - len(missed)}/{len(found)}"
    more = f" and {len(missed) - SEEDS_SHOWN} more" if len(missed) > SEEDS_SHOWN else ""
    style = "red" if missed else "green"
    return styled(verdict, style), measured, ", ".join(missed[:SEEDS_SHOWN]) + more


def share(value: float | None) -> str:
    """A share in per cent."""
    return "" if value is None else f"{100 * value:.3g} %"


def _mishap(outcome: Outcome) -> Iterator[str]:
    task, broken = outcome.task, outcome.broken
    if broken is not None:
        yield f"\n{task.scenario.name}: the rule {broken.rule} was broken: {broken.told}"
        yield f"at {clock(broken.at_s)} ({broken.at_s:.3f} s), seed {broken.seed}; the last events were"
        yield from (f"  {event}" for event in broken.events)
    if outcome.told["error"]:
        yield f"\n{task.scenario.name}: the run of seed {task.seed} fell over"
        yield outcome.told["error"].rstrip()
    if broken is not None or outcome.told["error"]:
        yield f"to see it again: {task.command}"
