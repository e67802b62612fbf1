"""A URL of a database that is not supported says which are, wherever it is given, and never its password."""

import pytest

from agent.database_urls import database_fault, tracking_fault, with_driver
from agent.journal.store import SqlJournal
from agent.ports import JournalUnavailable
from agent.settings_file import SettingsError, parse

DATABASES = "sqlite:///FILE or postgresql://USER@HOST/NAME"
REFUSED = {
    "mysql://u:secret@h/d": f"found 'mysql://u:***@h/d'; mysql is not supported; expected {DATABASES}",
    "http://h/d": f"found 'http://h/d'; http is not supported; expected {DATABASES}",
    "oracle+oracledb://h/d": f"found 'oracle+oracledb://h/d'; oracle+oracledb is not supported; expected {DATABASES}",
    "postgres://h/d": f"found 'postgres://h/d'; postgres is not supported; expected {DATABASES}; did you mean postgresql?",
    "postgresql+asyncpg://h/d": (
        f"found 'postgresql+asyncpg://h/d'; postgresql+asyncpg is not supported; expected {DATABASES}; did you mean postgresql?"
    ),
    "sqlite://j.db": "found 'sqlite://j.db'; a file of SQLite begins after three slashes; expected sqlite:///FILE",
    "sqlite://": "found 'sqlite://'; a journal without a file is lost with its process; expected sqlite:///FILE",
    "sqlite:///": "found 'sqlite:///'; a journal without a file is lost with its process; expected sqlite:///FILE",
    "sqlite:///:memory:": (
        "found 'sqlite:///:memory:'; a journal without a file is lost with its process; expected sqlite:///FILE"
    ),
    "sqlite:////x.db?mode=ro": (
        "found 'sqlite:////x.db?mode=ro'; SQLite knows no 'mode' after the question mark; expected sqlite:///FILE"
    ),
    "postgresql://u:secret@h:abc/x": (
        "found 'postgresql://u:***@h:abc/x'; the port is no number up to 65535; expected postgresql://USER@HOST:PORT/NAME"
    ),
    "postgresql://u:secret@h:65536/x": (
        "found 'postgresql://u:***@h:65536/x'; the port is no number up to 65535; expected postgresql://USER@HOST:PORT/NAME"
    ),
    "postgresql://u:secret@[::1/x": (
        f"found 'postgresql://u:***@[::1/x'; host and port can not be told apart; expected {DATABASES}, "
        "and an address with colons as [ADDRESS]"
    ),
    "postgresql://u:secret@::1/x": (
        f"found 'postgresql://u:***@::1/x'; host and port can not be told apart; expected {DATABASES}, "
        "and an address with colons as [ADDRESS]"
    ),
    "postgresql://u:sec@ret@h/x": (
        "found 'postgresql://u:***@h/x'; more than one @; expected a password with %40 for @, %3A for : and %2F for /"
    ),
    "j.db": f"found 'j.db'; expected {DATABASES}",
    "": f"found ''; expected {DATABASES}",
}


@pytest.mark.parametrize(("url", "told"), REFUSED.items(), ids=REFUSED)
def test_a_database_that_is_not_supported_is_refused_with_those_that_are(url: str, told: str) -> None:
    """Of the journal and of studies, where they are read; and by the journal itself."""
    with pytest.raises(SettingsError) as error:
        parse(f"journal: {{url: '{url}'}}", "f.yaml", {})
    assert str(error.value) == f"f.yaml:1: journal.url: {told}"
    with pytest.raises(SettingsError) as error:
        parse(f"models: {{a: {{training: {{recipes: [prior], study_url: '{url}'}}}}}}", "f.yaml", {})
    assert str(error.value) == f"f.yaml:1: models.a.training.study_url: {told}"
    with pytest.raises(JournalUnavailable) as away:
        SqlJournal(url)
    assert str(away.value) == told.removeprefix("found ").replace(";", ":", 1)


@pytest.mark.parametrize(
    ("url", "driven"),
    [
        ("sqlite:////var/j.db?timeout=5", "sqlite:////var/j.db?timeout=5"),
        ("postgresql://u:p@[::1]:5432/d", "postgresql+psycopg://u:p@[::1]:5432/d"),
        ("postgresql:///d?host=/run/postgresql", "postgresql+psycopg:///d?host=/run/postgresql"),
        ("sqlite:////var/j.db", "sqlite:////var/j.db"),
        ("postgresql://u@h:5432/d?sslmode=require", "postgresql+psycopg://u@h:5432/d?sslmode=require"),
        ("postgresql+psycopg://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+psycopg2://h/d", "postgresql+psycopg2://h/d"),
    ],
)
def test_a_database_that_is_supported_has_the_driver_that_is_installed(url: str, driven: str) -> None:
    """PostgreSQL alone would mean one that is not."""
    assert database_fault(url) is None
    assert with_driver(url) == driven


def test_a_registry_is_what_mlflow_takes() -> None:
    """A folder, a server or one of its databases."""
    for uri in (
        "mlruns",
        "./mlruns",
        "sqlite:///m.db",
        "http://h:5000",
        "mysql+pymysql://h/d",
        "databricks",
        "file:///m",
    ):
        assert tracking_fault(uri) is None
    schemes = "sqlite, postgresql, mysql, mssql, http, https, file, databricks, databricks-uc, uc"
    assert tracking_fault("oracle://h/d") == (
        f"oracle is not supported; expected a folder, or a URL that begins with one of {schemes}"
    )
    assert tracking_fault(" ") == "expected sqlite:///FILE, or the URL of an MLflow server"


def test_a_message_that_is_cut_short_holds_no_part_of_a_password() -> None:
    """It is taken out before, since half of a URL is known by nobody as one."""
    secret = "s3cret" * 20
    for text in (
        f"tick_s: 'postgresql://u:{secret}@h/d'",
        f"tick_s: ['postgresql://u:{secret}@h/d']",
        f"tick_s: 'u:{secret}@h'",
    ):
        with pytest.raises(SettingsError) as error:
            parse(text, "f.yaml", {})
        assert "s3cret" not in str(error.value)


def test_a_url_with_a_byte_of_0_is_refused_wherever_one_is_given() -> None:
    """An operating system raises for it, and nobody would know why."""
    told = "a byte of 0 in it; no file and no host has one"
    for key in ("journal: {url", "registry: {tracking_uri"):
        with pytest.raises(SettingsError) as error:
            parse(f'{key}: "sqlite:///a\\0b.db"}}', "f.yaml", {})
        where = key.replace(": {", ".")
        assert str(error.value) == f"f.yaml:1: {where}: found 'sqlite:///a\\x00b.db'; {told}"
    with pytest.raises(JournalUnavailable, match=told):
        SqlJournal("postgresql://u:secret@h/a\0b")
