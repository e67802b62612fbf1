"""What a person sees while the demo plays: progress, figures and the newest decisions; plain lines where nobody watches a terminal."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table

from agent.terminal import styled

LINES_SHOWN = 14
PLAIN_EVERY_S = 10.0


@dataclass
class Timeline:
    """The newest figures, and what happened. `events` are (POSIX seconds, who, what)."""

    console: Console
    stream: str
    rows: int
    began_s: float = field(default_factory=time.time)
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

    def show(self, line: dict[str, Any] | None, replicas: str) -> None:
        """Draw the state of things; `line` is the client's newest."""
        if self._live is not None:
            self._live.update(Group(self._head(line, replicas), self._body(self.events[-LINES_SHOWN:])))
            return
        for at_s, who, what in self.events[self._said :]:
            self.console.print(f"{at_s - self.began_s:6.1f} s  {who:6}  {what}", markup=False, soft_wrap=True)
        self._said = len(self.events)
        if line is not None and time.time() - self._plain_s > PLAIN_EVERY_S:
            self._plain_s = time.time()
            self.console.print(
                f"{self._plain_s - self.began_s:6.1f} s  {_figures(line)}, replicas {replicas}", markup=False
            )

    def _head(self, line: dict[str, Any] | None, replicas: str) -> Panel:
        done = line["row"] if line else 0
        when = datetime.fromtimestamp(line["stream_at_s"], tz=UTC).strftime("%d %B %Y") if line else "..."
        table = Table.grid(expand=True)
        table.add_row(styled(when, "bold"), f"{_figures(line) if line else ''}", f"replicas {replicas}")
        return Panel(Group(table, ProgressBar(total=self.rows, completed=done)), title=f"the stream {self.stream}")

    def _body(self, events: Sequence[tuple[float, str, str]]) -> Table:
        table = Table("s", "who", "what", expand=True)
        for at_s, who, what in events:
            table.add_row(f"{at_s - self.began_s:.1f}", who, what)
        return table


def _figures(line: dict[str, Any]) -> str:
    p95 = f"{line['p95_s'] * 1e3:.0f} ms" if line["p95_s"] is not None else "-"
    versions = ", ".join(f"v{v}: {n}" for v, n in sorted(line["versions"].items()))
    return f"{line['rate_rps']}/s, p95 {p95}, failed {line['failed']}, rows by version {versions or '-'}"
