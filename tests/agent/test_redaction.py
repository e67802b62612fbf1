"""Secrets: whatever way a URL is written, its password stands in no journal, log line, error or print-out."""

import io
import json
import stat
import time
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agent import logs
from agent.assembly import rules
from agent.calendar import FreezeCalendar
from agent.cli import app
from agent.core import Core
from agent.journal.export import export
from agent.journal.life import begin, started
from agent.journal.store import SqlJournal
from agent.logs import without_secrets
from agent.loop import Agent
from agent.ports import JournalUnavailable, Refused
from agent.redaction import (
    MARGIN,
    TEXT_MAX,
    redacted,
    redacted_alert,
    redacted_part,
    redacted_seen,
    redacted_settings,
    redacted_url,
)
from agent.settings import Settings
from agent.settings_file import SettingsError, parse
from agent.terminal import Terminal
from agent.testing import MemoryJournal, RecordingNotifier, ScriptedWorld
from policies.action import Alert, Evidence, Proposal, Scale
from policies.testing import observation
from tests.agent.test_loop import SETTINGS, agent_over, busy_world, ticked

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


BESIDE_A_NAME = [
    f"password='x {SECRET}'", f'password="{SECRET}"', f'password = "{SECRET}"', f"password={SECRET}", f"PGPASSWORD={SECRET}",
    f"passwd={SECRET};", f"password=b'{SECRET}'", f"password={SECRET}(1)", f"--password {SECRET} --x", f"--api-key={SECRET}",
    f'{{"api_key": "{SECRET}"}}', f"{{'password': '{SECRET}'}}", f'{{\\"password\\": \\"{SECRET}\\"}}', f'{{"token":"{SECRET}"}}',
    f"clientSecret={SECRET}", f"aws_secret_access_key = {SECRET}", f"AWS_SECRET_ACCESS_KEY={SECRET}", f"X-Api-Key: {SECRET}",
    f"https://h/x?token={SECRET}&a=1", f"https://h/x?a=1&access_token={SECRET}", f"https://h/x?sig={SECRET}", f"api_key: {SECRET}",
    f"in a.yaml\n  password: {SECRET} two {SECRET}", f"PASSWORD: '{SECRET} two'", f"host=db password={SECRET} user=x",
    f"dsn='host=db user={SECRET}'",
    f"jdbc:postgresql://db/x?user=u&password={SECRET}", f"Authorization: Bearer {SECRET}", f"authorization: Basic {SECRET}",
    f"{{'Authorization': 'Bearer {SECRET}'}}", f"Authorization: {SECRET}", f"Bearer {SECRET} was refused", f"password is '{SECRET}'",
    f"postgresql://agent:a {SECRET}@db/x refused", f"'postgresql://agent:a@b {SECRET}@db/x' refused", f"redis://:{SECRET} x@cache:6379/0",
    f"https://u:{SECRET}@h/x and https://h2:8443/y, or mail a@b.c", "AKIAIOSFODNN7EXAMPLE", "user:dXNlcjpwYXNz Basic dXNlcjpwYXNz",
    "ghp_0123456789abcdefghijklmno", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
]  # fmt: skip
LEAKS = (SECRET, "AKIAIOSFODNN7EXAMPLE", "Basic dXNlcjpwYXNz", "ghp_0123", "MIIE")


@pytest.mark.parametrize("text", BESIDE_A_NAME)
def test_a_secret_is_known_by_its_name_or_by_its_form(text: str) -> None:
    """In settings, headers, queries, commands, JSON and the errors of libraries; twice is as good as once."""
    told = redacted(f"ValueError: {text}")
    assert [leak for leak in LEAKS if leak in told or leak in redacted(text)] == []
    assert "***" in told
    assert redacted(told) == told


@pytest.mark.parametrize(
    "text",
    [
        "the password is wrong", "the feature token_count drifts", "token_count=5 and max_tokens=7", "tokens: 17", "a secret santa came",
        "12 features drift, most of all token_count and secret_share", "password: found 3; expected text", "KeyError: 'token'",
        "model token: its registry: can not be read, no answer in 20 s", "token == 3", "Basic authentication is off", "basic features",
        "the bearer of bad news", "no credentials were given", "compass=3 and bypass=1", "sk-learn is used", "passwords do not match",
        "see http://[::1]:8265 or mail a@b.c", "http://head:8265 asks sre@shop.example", "deployments.shop/token.min_replicas: found -1",
        "order 3 failed: the credentials were refused", "the signature changed", "models.token.training: found 3",
    ],
)  # fmt: skip
def test_ordinary_words_stay_readable(text: str) -> None:
    """Whoever reads at night reads words, not asterisks."""
    assert redacted(text) == text


@pytest.mark.parametrize(
    "text", ["password" * 5000, "'" * 40_000 + "@", "--" * 20_000 + "token x", "x@ " + "a:" * 20_000, "@ " + "http:/" * 7000]
)  # fmt: skip
def test_no_text_takes_long(text: str) -> None:
    """Texts come from others, and a tick waits for them."""
    begun_s = time.process_time()
    redacted(text)
    assert time.process_time() - begun_s < 5.0


def test_parameters_whose_name_says_secret_stand_in_no_journal() -> None:
    """Of policies, at any depth; every other one decides, and stays."""
    secret = dict.fromkeys(("api_key", "dsn", "token", "password", "secret", "clientSecret", "HF_TOKEN"), SECRET)
    kept = {"token_count": 5, "tokens": "many", "label": "a:b@c", "password_needed": True, "key": "row"}
    settings = Settings.model_validate(
        {"policies": [{"use": "idle", **secret, **kept, "more": {"password": SECRET, "n": [1]}}]}
    )
    journal = MemoryJournal()
    begin(journal, settings, 1.0)
    (policy,) = journal.of_kind("started")[0]["settings"]["policies"]
    assert SECRET not in json.dumps(policy)
    assert {name: policy[name] for name in kept} == kept
    assert policy["more"] == {"password": "***", "n": [1]}


@pytest.mark.parametrize(
    "text", [f"password='{SECRET} x'", f'{{"api_key": "{SECRET}"}}', f"Authorization: Bearer {SECRET}"]
)
def test_what_parts_raise_is_told_without_secrets(text: str) -> None:
    """A policy, a policy's own alert and evidence, an actuator and a notifier: in alerts, in the journal, and in the log."""

    class Raises:
        def propose(self, seen: Any) -> Any:
            raise RuntimeError(text)

    class Says:
        def propose(self, seen: Any) -> Any:
            because = (Evidence(name="x", note=text),)
            yield Proposal(action=Scale(deployment="app/model", replicas=3), because=because)
            yield Proposal(action=Alert(subject=text, text=text), because=())

    class Notifies(RecordingNotifier):
        def notify(self, alert: Alert) -> None:
            super().notify(alert)
            raise RuntimeError(text)

    world, journal, notifier = busy_world(), MemoryJournal(), Notifies()
    agent = agent_over(world, journal, notifier)
    agent.core = Core([("raises", Raises()), ("says", Says())], rules(SETTINGS), FreezeCalendar())

    def start(order: Any) -> None:
        raise RuntimeError(text)

    world.start = start  # type: ignore[method-assign]
    with structlog.testing.capture_logs(processors=[structlog.processors.format_exc_info, without_secrets]) as logged:
        ticked(agent, world, 4, ongoing=2.0)
    written = json.dumps([entry.payload for entry in journal.kept])
    sent = " ".join(alert.subject + alert.text for alert in notifier.alerts)
    assert [SECRET in each for each in (written, sent, json.dumps(logged, default=str))] == [False, False, False]
    assert all("***" in each for each in (written, sent, json.dumps(logged, default=str)))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("not sent to https://hooks.slack.com/services/T0/B0/x1y2: 404", "not sent to https://hooks.slack.com/*** 404"),
        ("'https://discord.com/api/webhooks/123/abc-d' failed", "'https://discord.com/api/webhooks/***' failed"),
        ("https://shop.webhook.office.com/webhookb2/1@2/IncomingWebhook/3", "https://shop.webhook.office.com/***"),
        ("https://docs.slack.com/hooks and https://discord.com/channels/1", None),
    ],
)
def test_the_url_of_a_webhook_is_a_secret_behind_its_host(text: str, told: str | None) -> None:
    """Who knows it may write there; other pages of the same hosts are no secrets."""
    assert redacted(text) == (text if told is None else told)


WRITTEN_OTHERWISE = [
    f"password ={SECRET}", f"password= {SECRET}", f"password  =  {SECRET}", f"password\u00a0=\u00a0{SECRET}",
    f"password := {SECRET}",
    f"pass={SECRET}", f"DB_PASS={SECRET}", f"DB_PASS = {SECRET}", f"pw={SECRET}", f'{{"pw": "{SECRET}"}}',
    f"pass = {SECRET}", f"pass: {SECRET}",
    f"encryption_key={SECRET}", f"license_key={SECRET}", f"signing_key={SECRET}", f"api key: {SECRET}",
    f"Cookie: session={SECRET}; b={SECRET}",
    f"Set-Cookie: sid={SECRET}; Path=/", f':password => "{SECRET}"', f"password -> {SECRET}", f"<password>{SECRET}</password>",
    f"<apiKey type='x'>{SECRET}</apiKey>", f"password%3D{SECRET}", f"postgresql%3A%2F%2Fu%3A{SECRET}%40h",
    f"password: |\n  {SECRET}\n  {SECRET}",
    f"password: >-\n  {SECRET}", f"Password:\n  {SECRET}", f"https://h/x?key={SECRET}", f"https://h/x?a=1&code={SECRET}#x",
    f"https://h/x?auth={SECRET}", f"https://hooks.slack.com/services/T0/B0/{SECRET}",
    f"https://discord.com/api/webhooks/1/{SECRET}",
    f"https://api.telegram.org/bot1:{SECRET}/sendMessage",
    f"https://acme.webhook.office.com/webhookb2/a/IncomingWebhook/{SECRET}/x",
    f"https://hooks.zapier.com/hooks/catch/1/{SECRET}", f"slack://a/b/{SECRET}", f"tgram://bot:{SECRET}/chat",
    f"discord://1/{SECRET}",
    f"msteams://a/{SECRET}/c/d", f"sk_live_{'0a1B' * 6}", f"npm_{'0a1B' * 9}", f"pypi-{'0a1B' * 9}",
    f"SG.{'0a1B' * 5}.{'0a1B' * 9}",
    f"dapi{'0a1b' * 8}",
]  # fmt: skip


@pytest.mark.parametrize("text", WRITTEN_OTHERWISE)
def test_a_secret_is_known_however_it_is_written(text: str) -> None:
    """With blanks, short names, arrows, tags, escapes of URLs, on the next line, in the path of a service, and by more forms of keys."""
    told = redacted(f"ValueError: {text}")
    assert [leak for leak in (SECRET, "0a1B", "0a1b") if leak in told or leak in redacted(text)] == []
    assert "***" in told
    assert redacted(told) == told


@pytest.mark.parametrize(
    "text",
    [
        "rows pass = 12", "bypass=3", "the key is 7", "cache_key=7", "cache_key: day", "partition_key=day",
        "primary_key=id", "key=label, depth=3",
        "the authority of x", "author = me", "all tests pass: 3 of 4", "passes=3", "passed = 12", "exit code = 3",
        "status_code=500", "auth is off",
        "the cookie jar", "https://h/x?page=3&monkey=1", "https://docs.ray.io/en/latest",
        "http://h:8265/api/services/x", "npm_config",
        "deploy <model>shop</model>", "drift -> retrain", "models:\n  shop: x", "a 100%3D b", "pypi-install",
        "password is wrong here",
    ],
)  # fmt: skip
def test_words_that_only_hold_such_a_name_stay_readable(text: str) -> None:
    """`pass` is a verb, and most keys open nothing."""
    assert redacted(text) == text


@pytest.mark.parametrize("key", ["pass", "pw", "auth", "cookie", "aws_key", "webhook_url", "DB_PASS"])
def test_a_setting_of_such_a_name_is_a_secret(key: str) -> None:
    """Its value stands in no journal; a setting whose name only holds it stays."""
    plain = {key: SECRET, "bypass": "x", "authority": "x", "cache_key": "x", "partition_key": "x", "key": "x"}
    assert redacted_settings(plain) == plain | {key: "***"}


@pytest.mark.parametrize("before", range(3900, 4101, 20))
def test_no_part_of_a_secret_outlives_the_cut(before: int) -> None:
    """Wherever the cut falls: before it, in it, after it; also where what is hidden before makes room for what follows."""
    for text in (f"postgresql://agent:{SECRET}{SECRET}@db/x ", f"password='{SECRET}' "):
        told = redacted_part("x" * before + " " + text + "y" * 9000)
        assert "s3c" not in told
        assert len(told) <= TEXT_MAX
    told = redacted_part(
        f"password={'p' * 3000} " + "x" * 2900 + f" postgresql://agent:{SECRET}" + "s3c" * 300 + "@db/x" + "y" * 9000
    )
    assert "s3c" not in told


def test_a_long_text_of_the_world_is_cut_before_it_is_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick waits for it: of any length, no more characters are handed on than are kept, and a margin."""
    handed: list[int] = []

    def counted(text: str, *urls: str) -> str:
        handed.append(len(text))
        return text

    monkeypatch.setattr("agent.redaction.redacted", counted)
    for text in ("a:" * 200_000 + "@", "eyJ" + "a-" * 200_000, "--" + "a-" * 200_000):
        redacted_seen(observation(1.0, problems=(text,)))
        redacted_alert(Alert(subject="x", text=text))
    assert handed == [TEXT_MAX + MARGIN, 1, TEXT_MAX + MARGIN] * 3
