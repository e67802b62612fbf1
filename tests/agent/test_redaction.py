"""Secrets: whatever way a URL is written, its password stands in no journal, log line, error or print-out."""

import io
import json
import stat
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agent import logs
from agent.cli import app
from agent.journal.export import export
from agent.journal.life import begin, started
from agent.journal.store import SqlJournal
from agent.logs import without_secrets
from agent.loop import Agent
from agent.ports import JournalUnavailable, Refused
from agent.redaction import redacted, redacted_settings, redacted_url
from agent.settings import Settings
from agent.settings_file import SettingsError, parse
from agent.terminal import Terminal
from agent.testing import MemoryJournal, RecordingNotifier, ScriptedWorld
from policies.testing import observation
from tests.agent.test_loop import agent_over, busy_world, ticked

SECRET = "s3cr3t-Pa55"  # noqa: S105 - of nobody
URLS = [
    f"postgresql://agent:{SECRET}@db.example:5432/journal",
    f"postgresql+psycopg://agent:{SECRET}@db.example/journal?sslmode=require",
    f"postgresql://agent@db.example/journal?password={SECRET}",
    f"https://{SECRET}@mlflow.example",
    f"https://mlflow.example/api?token={SECRET}&x=1",
    f"redis://:{SECRET}@cache:6379/0",
    f"s3://key:{SECRET}/x@bucket/rows",
    f"postgresql//agent:{SECRET}@db.example/journal",
    f"postgresql:/agent:{SECRET}@db.example/journal",
    f"postgresql:agent:{SECRET}@db.example",
    f"agent:{SECRET}@db.example/journal",
    f"postgresql://agent:{SECRET}@db.example:port/journal",
    f"postgresql://agent:x@{SECRET}:/@db.example/journal",
    f"mysql://agent:{SECRET}@db.example/journal",
    f"postgresql://agent:{SECRET}@[::1/journal",
]


@pytest.mark.parametrize("url", URLS)
def test_a_url_keeps_its_place_and_loses_its_secret(url: str) -> None:
    """Alone, in quotes in the middle of a sentence, and of a database that is printed twice in one line."""
    for told in (redacted_url(url), redacted(f"can not reach {url!r}: refused"), redacted(f"{url} and {url}, twice")):
        assert SECRET not in told
        assert "***" in told
    assert (
        "example" in redacted_url(url)
        or "cache" in redacted_url(url)
        or "bucket" in redacted_url(url)
        or "::1" in redacted_url(url)
    )


@given(st.text(min_size=6).filter(lambda text: text.strip(" ") and "***" not in text))
def test_no_password_that_can_be_thought_of_is_left_in_its_url(password: str) -> None:
    """Also one with spaces, quotes, slashes or an @ in it that nobody has escaped."""
    told = redacted_url(f"postgresql://agent:{password}@db.example/journal")
    assert told == "postgresql://agent:***@db.example/journal"


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:8265", "sqlite:////abs/homeostat.db", "postgresql://agent@db/journal", "write to sre@shop.example: at 10:20 UTC",
        "share=0.1 and shadow=1", "fraud/Fraud: no traffic is known", "design=3", "deployments.fraud/Fraud.min_replicas: found -1",
    ],
)  # fmt: skip
def test_what_holds_no_secret_is_left_as_it_is(text: str) -> None:
    """Addresses, times, mail addresses and evidence."""
    assert redacted(text) == text


def configured(url: str) -> Settings:
    return Settings.model_validate(
        {
            "journal": {"url": url},
            "registry": {"tracking_uri": url, "artifact_location": url},
            "data_log": {"url": url},
            "models": {"m": {"training": {"recipes": ["logistic"], "study_url": url}}},
            "policies": [{"use": "idle", "source": f"https://x:{SECRET}@h/rates", "label": "a:b@c"}],
        }
    )


@pytest.mark.parametrize("url", URLS)
def test_the_journal_knows_the_settings_without_their_secrets(url: str) -> None:
    """Every place that may be a URL; a text that only looks a little like one decides, and stays."""
    journal = MemoryJournal()
    begin(journal, configured(url), 1.0)
    written = json.dumps([entry.payload for entry in journal.kept])
    assert SECRET not in written
    assert "a:b@c" in written
    settings = Settings.model_validate(journal.of_kind("started")[0]["settings"])
    assert started(begin(MemoryJournal(), settings, 1.0), settings)["settings"] == redacted_settings(
        configured(url).model_dump(mode="json")
    )


@pytest.mark.parametrize("url", [each for each in URLS if not each.startswith(("http", "redis", "s3"))])
def test_a_journal_that_can_not_be_opened_is_named_without_its_secret(
    url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In the error, in its causes, and in what a command prints, on either stream."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(JournalUnavailable) as caught:
        SqlJournal(url.replace("db.example", "127.0.0.1"))
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    ran = CliRunner().invoke(app, ["journal", "verify", "--journal", url.replace("db.example", "127.0.0.1")])
    assert ran.exit_code != 0
    assert SECRET not in ran.output + str(ran.exception)


@pytest.mark.parametrize("variable", ["HOMEOSTAT__JOURNAL__URL", "HOMEOSTAT__DATA_LOG__URL", "HOMEOSTAT__TICK_S"])
def test_an_environment_that_does_not_fit_is_told_without_its_secret(variable: str) -> None:
    """A URL where none belongs, and one that is not even text."""
    for value in (f"[postgresql://agent:{SECRET}@db/journal]", f"{{a: 'https://u:{SECRET}@h'}}"):
        with pytest.raises(SettingsError) as caught:
            parse("name: shop\n", "homeostat.yaml", {variable: value})
        assert variable in str(caught.value)
        assert SECRET not in str(caught.value)


def test_what_the_world_says_of_its_troubles_is_written_down_without_secrets() -> None:
    """Problems of an observation, and why an order was refused: both stand in the journal, and replay as they stand there."""
    world, journal = busy_world(), MemoryJournal()
    agent = agent_over(world, journal)
    observe = world.observe

    class Talks(ScriptedWorld):
        def observe(self, at_s: float) -> Any:
            seen = observe(at_s)
            return observation(at_s, *seen.deployments.values(), capacity=seen.capacity, problems=(f"away: {URLS[0]}",))

        def start(self, order: Any) -> None:
            raise Refused(f"can not reach {URLS[1]}")

    talks = Talks()
    agent._sensor, agent._actuator = talks, talks
    ticked(agent, world, 4, ongoing=2.0)
    assert journal.of_kind("refused")[0]["reason"] == (
        "can not reach postgresql+psycopg://agent:***@db.example/journal?sslmode=require"
    )
    assert SECRET not in json.dumps([entry.payload for entry in journal.kept])
    assert agent.last_seen is not None
    assert agent.last_seen.problems == ("away: postgresql://agent:***@db.example:5432/journal",)


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_log_line_holds_no_secret_nor_does_its_traceback(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a person and for a machine."""
    monkeypatch.setenv("HOMEOSTAT_LOG_FORMAT", form)
    stream = io.StringIO()
    monkeypatch.setattr(logs.sys, "stderr", stream)
    logs.configure()
    try:
        log = structlog.get_logger()
        try:
            raise RuntimeError(f"no answer from {URLS[0]}")
        except RuntimeError:
            log.exception("failed", reason=f"away: {URLS[2]}", number=3)
    finally:
        structlog.reset_defaults()
    assert "RuntimeError: no answer from postgresql://agent:***@db.example" in stream.getvalue()
    assert SECRET not in stream.getvalue()
    assert without_secrets(None, "info", {"n": 1, "text": URLS[3]}) == {"n": 1, "text": "https://***@mlflow.example"}


def test_a_terminal_shows_no_secret() -> None:
    """Commands print what they were given, what they found, and errors of others."""
    stream = io.StringIO()
    Terminal(file=stream, width=300).print(f"is the dashboard at agent:{SECRET}@head:8265? and {URLS[0]}")
    assert (
        stream.getvalue()
        == "is the dashboard at agent:***@head:8265? and postgresql://agent:***@db.example:5432/journal\n"
    )


def test_a_journal_and_what_is_exported_of_it_are_for_its_owner_only(tmp_path: Path) -> None:
    """The database, its write-ahead log and the export, whatever the umask allows."""
    journal = SqlJournal(f"sqlite:///{tmp_path}/kept/journal.db")
    journal.append([("note", 1.0, {"n": 1})])
    export(journal.entries(), tmp_path / "out.jsonl")
    files = [*(tmp_path / "kept").iterdir(), tmp_path / "out.jsonl"]
    assert {file.name for file in files} >= {"journal.db", "journal.db-wal", "journal.db-shm", "out.jsonl"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_an_alert_is_sent_without_secrets() -> None:
    """The agent's own word of a journal that is away names the place, and no more."""
    world, notifier = busy_world(), RecordingNotifier()
    journal: Any = MemoryJournal()
    agent: Agent = agent_over(world, journal, notifier)

    def away(*_: Any, **__: Any) -> None:
        raise JournalUnavailable(f"{redacted_url(URLS[0])}: refused")

    journal.append = away
    agent.tick(1.0)
    assert [SECRET in alert.text for alert in notifier.alerts] == [False]
