"""The daily report: what the agent did in the last day, as Markdown beside the journal's figures."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from agent.journal.record import Kind
from agent.journal.store import SqlJournal

DAY_S = 86_400.0


def write_daily_report(journal: SqlJournal, at_s: float, folder: str = "reports") -> Path:
    """Write FOLDER/DATE.md and FOLDER/DATE.json; the path of the former. Raises JournalUnavailable."""
    actions: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    vetoes: Counter[str] = Counter()
    for entry in journal.entries(since_s=at_s - DAY_S, kinds=(Kind.INTENT, Kind.OUTCOME, Kind.DECIDED)):
        if entry.kind == Kind.INTENT:
            actions[entry.payload["action"]["kind"]] += 1
        elif entry.kind == Kind.OUTCOME:
            outcomes[entry.payload["status"]] += 1
        else:
            vetoes.update(veto["rule"] for veto in entry.payload["vetoes"])
    day = datetime.fromtimestamp(at_s, tz=UTC).strftime("%Y-%m-%d")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    figures = {"actions": dict(actions), "outcomes": dict(outcomes), "vetoes": dict(vetoes)}
    (target / f"{day}.json").write_text(json.dumps({"day": day, **figures}, indent=2))
    lines = [f"# What the agent did until {day}", ""]
    for title, counted in figures.items():
        lines += [f"## {title.capitalize()}", ""]
        lines += [f"- {name}: {count}" for name, count in sorted(counted.items())] or ["- none"]
        lines.append("")
    path = target / f"{day}.md"
    path.write_text("\n".join(lines))
    return path
