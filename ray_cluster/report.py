"""The daily report: what the agent did in the last day, as Markdown for people, and its figures as JSON."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from agent import history
from agent.journal.forms import all_formed
from agent.journal.record import Entry, Kind
from agent.journal.store import SqlJournal
from agent.terminal import readable
from agent.units import moment
from agent.words import one_line, order_words, plain_name, reasons

DAY_S = 86_400.0
KINDS = tuple(dict.fromkeys((*history.ORDER_KINDS, *history.ALERT_KINDS)))


def write_daily_report(journal: SqlJournal, at_s: float, folder: str = "reports") -> Path:
    """Write FOLDER/DATE.md and FOLDER/DATE.json; the path of the former. Raises JournalUnavailable."""
    actions: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    vetoes: Counter[str] = Counter()
    entries = list(all_formed(journal.entries(since_s=at_s - DAY_S, kinds=KINDS)))
    for entry in entries:
        if entry.kind == Kind.INTENT:
            actions[entry.payload["action"]["kind"]] += 1
        elif entry.kind == Kind.OUTCOME:
            outcomes[entry.payload["status"]] += 1
        elif entry.kind == Kind.DECIDED:
            vetoes.update(veto["rule"] for veto in entry.payload.get("vetoes") or ())
    day = datetime.fromtimestamp(at_s, tz=UTC).strftime("%Y-%m-%d")
    target = Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    figures = {"actions": dict(actions), "outcomes": dict(outcomes), "vetoes": dict(vetoes)}
    (target / f"{day}.json").write_text(json.dumps({"day": day, **figures}, indent=2))
    lines = [f"# What the agent did until {day}", "", *_orders(entries), *_alerts(entries)]
    for title, counted in figures.items():
        lines += [f"## {title.capitalize()}", ""]
        lines += [f"- {_text(plain_name(name))}: {count}" for name, count in sorted(counted.items())] or ["- none"]
        lines.append("")
    path = target / f"{day}.md"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def _orders(entries: Sequence[Entry]) -> list[str]:
    stories = history.orders(entry for entry in entries if entry.kind in history.ORDER_KINDS)
    told = [
        f"- {moment(each.at_s)} UTC, order {each.number}: {_text(order_words(each.order))}, because of {_text(reasons(each.order))}"
        f" ({each.state})"
        for each in stories
    ]
    return ["## Orders", "", *(told or ["- none"]), ""]


def _alerts(entries: Sequence[Entry]) -> list[str]:
    found = history.alerts(entry for entry in entries if entry.kind in history.ALERT_KINDS)
    told = [
        f"- {moment(each['at_s'])} UTC, {each['severity']}: {_text(each['subject'])}: {_text(each['text'])}"
        for each in found
    ]
    return ["## Alerts", "", *(told or ["- none"]), ""]


def _text(text: str) -> str:
    """What others wrote, as a page shows it: on one line, and no markup."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", readable(one_line(text)))
