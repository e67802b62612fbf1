"""What a person sees while the demo plays: progress, figures and the newest decisions; plain lines where nobody watches a terminal.

Times are seconds since the stream began to play.
"""

import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table

from agent.terminal import styled
from ray_cluster.demo.standing import Standing

LINES_SHOWN = 14
PLAIN_EVERY_S = 10.0
DATED_S = 10 * 365 * 86_400.0
"""No stream with dates is older than 1980."""


@dataclass
class Timeline:
    """The newest figures, and what happened. `events` are (POSIX seconds, who, what)."""

    console: Console
    stream: str
    rows: int
    began_s: float
    events: list[tuple[float, str, str]] = field(default_factory=list)
    _said: int = 0
    _plain_s: float = 0.0
    _live: Live | None = None

    def __enter__(self) -> "Timeline":
        if self.console.is_terminal:
            self._live = Live(console=self.console, refresh_per_second=2)
            self._live.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._live is not None:
            self._live.__exit__(None, None, None)

    def tell(self, at_s: float, who: str, what: str) -> None:
        self.events.append((at_s, who, what))

    def show(self, line: dict[str, Any] | None, standing: Standing | None) -> None:
        """Draw the state of things; `line` is the client's newest, `standing` of the agent's newest look."""
        replicas = _replicas(standing)
        if self._live is not None:
            self._live.update(Group(self._head(line, replicas), self._body(self.events[-LINES_SHOWN:])))
            return
        for at_s, who, what in self.events[self._said :]:
            self.console.print(f"{at_s - self.began_s:6.1f} s  {who:6}  {what}", markup=False, soft_wrap=True)
        self._said = len(self.events)
        if line is not None and time.time() - self._plain_s > PLAIN_EVERY_S:
            self._plain_s = time.time()
            self.console.print(
                f"{self._plain_s - self.began_s:6.1f} s  {_date(line)}: {_figures(line)}, replicas {replicas}",
                markup=False, soft_wrap=True,
            )  # fmt: skip

    def _head(self, line: dict[str, Any] | None, replicas: str) -> Panel:
        done = line["row"] if line else 0
        when = _date(line) if line else "..."
        table = Table.grid(expand=True)
        table.add_row(styled(when, "bold"), f"{_figures(line) if line else ''}", f"replicas {replicas}")
        return Panel(Group(table, ProgressBar(total=self.rows, completed=done)), title=f"the stream {self.stream}")

    def _body(self, events: Sequence[tuple[float, str, str]]) -> Table:
        table = Table("s", "who", "what", expand=True)
        for at_s, who, what in events:
            table.add_row(f"{at_s - self.began_s:.1f}", who, what)
        return table


def first_of(reasons: str) -> str:
    """The first of several reasons, and how many there are besides; the report has them all."""
    first, *others = reasons.split("; ")
    return f"{first}; {len(others)} more" if others else first


def stream_day(lines: Sequence[Mapping[str, Any]], at_s: float) -> str:
    """Where the stream was at a moment of the agent's time, by the lines that the client has said."""
    after = bisect_right(lines, at_s, key=lambda line: float(line["at_s"]))
    return _date(lines[after - 1]) if after else "the beginning"


def _date(line: Mapping[str, Any]) -> str:
    return date_words(line["stream_at_s"])


def date_words(at_s: float) -> str:
    """A moment of a stream: its date, or, where the rows have none and are counted in minutes, the day."""
    when = datetime.fromtimestamp(at_s, tz=UTC)
    return f"{when.day} {when.strftime('%B %Y')}" if at_s >= DATED_S else f"day {1 + int(at_s // 86_400)}"


def _replicas(standing: Standing | None) -> str:
    return "-" if standing is None or standing.wanted is None else f"{len(standing.running)} of {standing.wanted}"


def _figures(line: dict[str, Any]) -> str:
    p95 = f"{line['p95_s'] * 1e3:.0f} ms" if line["p95_s"] is not None else "-"
    versions = ", ".join(f"v{v}: {n}" for v, n in sorted(line["versions"].items()))
    return f"{line['rate_rps']}/s, p95 {p95}, failed {line['failed']}, rows by version {versions or '-'}"
