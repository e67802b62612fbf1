"""The page of a tuning: one HTML file that needs no network. The front, the importance of parameters, the history, before and after."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import optuna
import plotly.graph_objects as go
from markupsafe import Markup
from optuna import visualization
from optuna.importance import FanovaImportanceEvaluator

from agent.reports.page import library, pages_of
from agent.units import number
from simulators.tuning_outcome import Compared, TuningOutcome
from simulators.tuning_space import ObjectiveSettings
from simulators.verdict import share

HEIGHT_PX = 420
LIFT = {"template": "plotly_white", "height": HEIGHT_PX, "margin": {"l": 60, "r": 30, "t": 30, "b": 50}, "title": None}


def write(outcome: TuningOutcome, folder: Path) -> Path:
    """Returns the page. Raises OSError where `folder` can not be written."""
    page = folder / "index.html"
    text = (
        pages_of("simulators.report", "simulated", figure=number, share=share)
        .get_template("tuning.html.j2")
        .render(
            outcome=outcome,
            objectives=outcome.problem.settings.objectives,
            counts=outcome.counted(),
            compared=[("tuning", outcome.training), ("hold-out", outcome.hold_out)],
            figures=[(title, Markup(html)) for title, html in _figures(outcome)],  # noqa: S704
            trials=outcome.study.get_trials(deepcopy=False),
            library=library(),
            sources=[],
            here={},
        )
    )
    page.write_text(text, encoding="utf-8")
    return page


def _figures(outcome: TuningOutcome) -> Iterator[tuple[str, str]]:
    """Title and HTML of each. What can not be drawn says so: with too few trials nothing is known of parameters."""
    objectives = outcome.problem.settings.objectives
    if len(objectives) in (2, 3):
        yield "Pareto front", _drawn("front", lambda: _front(outcome))
    for place, objective in enumerate(objectives):
        name = f"{objective.measure}"
        yield (
            f"Importance of parameters for {name}",
            _drawn(f"importance-{place}", lambda place=place: _importance(outcome.study, place, objectives)),
        )
    for place, objective in enumerate(objectives):
        name = f"{objective.measure}"
        yield f"History of {name}", _drawn(f"history-{place}", lambda place=place: _history(outcome, place))
    yield "Before and after on the hold-out", _drawn("held-out", lambda: _bars(outcome.hold_out, objectives))


def _drawn(name: str, draw: Callable[[], go.Figure]) -> str:
    try:
        figure = draw()
    except (ValueError, RuntimeError) as error:
        return f"<p>Not drawn: {Markup.escape(str(error))}</p>"
    figure.update_layout(LIFT)
    html: str = figure.to_html(full_html=False, include_plotlyjs=False, div_id=name, config={"displaylogo": False})
    return html


def _front(outcome: TuningOutcome) -> go.Figure:
    names = [each.measure for each in outcome.problem.settings.objectives]
    figure = visualization.plot_pareto_front(outcome.study, target_names=names)
    before = [outcome.training.before[name] for name in names]
    marks = [("before tuning", before, "x", "#c8453b"), ("chosen", list(outcome.point.values), "star", "#2c8a4b")]
    for label, values, symbol, colour in marks:
        if None in values:
            continue
        axes = dict(zip("xyz", ([each] for each in values), strict=False))
        flat = len(names) == 2
        kind = go.Scatter if flat else go.Scatter3d
        marker = {
            "symbol": symbol if flat else "diamond",
            "size": 14,
            "color": colour,
            "line": {"width": 1, "color": "white"},
        }
        figure.add_trace(kind(**axes, mode="markers", name=label, marker=marker))
    return figure.update_layout(legend={"orientation": "h", "y": -0.2})


def _importance(study: optuna.Study, place: int, objectives: tuple[ObjectiveSettings, ...]) -> go.Figure:
    return visualization.plot_param_importances(
        study,
        evaluator=FanovaImportanceEvaluator(seed=0),
        target=lambda trial: trial.values[place],
        target_name=objectives[place].measure,
    )


def _history(outcome: TuningOutcome, place: int) -> go.Figure:
    """Each trial that was played whole, and the best so far."""
    objective = outcome.problem.settings.objectives[place]
    points = sorted((each.number, each.values[place]) for each in outcome.study.get_trials(states=(_COMPLETE,)))
    best, so_far = [], None
    for _, value in points:
        so_far = value if so_far is None else objective.sign * min(objective.sign * so_far, objective.sign * value)
        best.append(so_far)
    numbers = [each for each, _ in points]
    figure = go.Figure()
    figure.add_trace(go.Scatter(x=numbers, y=[value for _, value in points], mode="markers", name="trial"))
    figure.add_trace(go.Scatter(x=numbers, y=best, mode="lines", name="best so far", line={"shape": "hv"}))
    return figure.update_layout(xaxis_title="trial", yaxis_title=objective.measure)


_COMPLETE = optuna.trial.TrialState.COMPLETE


def _bars(compared: Compared, objectives: tuple[ObjectiveSettings, ...]) -> go.Figure:
    """By objective, as a part of what it was before, so that measures of any size stand side by side."""
    names = [each.measure for each in objectives if compared.before[each.measure]]
    if not names:
        raise ValueError("nothing was above zero before")
    parts: list[Any] = [
        None if compared.after[name] is None else compared.after[name] / compared.before[name]  # type: ignore[operator]
        for name in names
    ]
    figure = go.Figure()
    figure.add_trace(go.Bar(x=names, y=[1.0] * len(names), name="before", marker_color="#93a4b7"))
    figure.add_trace(go.Bar(x=names, y=parts, name="after", marker_color="#2f6db5"))
    return figure.update_layout(yaxis={"title": "part of before", "tickformat": ".0%"}, barmode="group")
