"""Which databases may stand behind a URL, and what is said of one that is none of them. Pure: no library of theirs is imported or asked."""

import re
from collections.abc import Iterator

from agent.redaction import redacted_url
from agent.settings import Settings
from agent.yaml_nodes import Fault, Keys

DATABASES = "sqlite:///FILE or postgresql://USER@HOST/NAME"
DRIVERS = {
    "sqlite": "sqlite",
    "sqlite+pysqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "postgresql+psycopg2": "postgresql+psycopg2",
}
"""What a URL may begin with, and the driver that is meant by it."""
TRACKING = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "file", "databricks", "databricks-uc", "uc")
"""What MLflow takes."""
SQLITE_OPTIONS = {"timeout", "detect_types", "isolation_level", "check_same_thread", "cached_statements"}
"""What its driver takes from a URL; all else it would pass over."""
PORT_MAX = 65_535
NUL = "a byte of 0 in it; no file and no host has one"
_HOST = re.compile(r"(\[[^\[\]]*\]|[^\[\]:]*)(:(?P<port>[^:\[\]]{0,20}))?")
_FORM = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+._-]*)://(?P<rest>.*)", re.DOTALL)


def faults(settings: Settings) -> Iterator[Fault]:
    """URLs of a file that nothing can be behind. Settings of a journal are without their secrets, and no URLs any more."""
    urls: list[tuple[Keys, str]] = [(("journal", "url"), settings.journal.url)]
    for name, model in settings.models.items():
        if model.training is not None:
            urls.append((("models", name, "training", "study_url"), model.training.study_url))
    for keys, url in urls:
        if (told := database_fault(url)) is not None:
            yield keys, f"found {redacted_url(url)!r}; {told}"
    uri = settings.registry.tracking_uri
    if (told := tracking_fault(uri)) is not None:
        yield ("registry", "tracking_uri"), f"found {redacted_url(uri)!r}; {told}"


def database_fault(url: str) -> str | None:
    """What is wrong with the URL of a journal or of studies; None where a database of a kind that we know is behind it."""
    parts = _FORM.fullmatch(url)
    if parts is None:
        return f"expected {DATABASES}"
    scheme, rest = parts["scheme"].lower(), parts["rest"]
    if scheme not in DRIVERS:
        meant = "; did you mean postgresql?" if scheme.startswith("postgres") else ""
        return f"{parts['scheme']} is not supported; expected {DATABASES}{meant}"
    if "\0" in url:
        return NUL
    return _file_fault(rest) if DRIVERS[scheme] == "sqlite" else _server_fault(rest)


def _file_fault(rest: str) -> str | None:
    """What is wrong behind `sqlite://`."""
    path, _, query = rest.partition("?")
    if path in ("", "/", "/:memory:"):
        return "a journal without a file is lost with its process; expected sqlite:///FILE"
    if not path.startswith("/"):
        return "a file of SQLite begins after three slashes; expected sqlite:///FILE"
    unknown = [each for each in query.split("&") if each and each.partition("=")[0] not in SQLITE_OPTIONS]
    if unknown and not path.startswith("/file:"):
        return f"SQLite knows no {unknown[0].partition('=')[0]!r} after the question mark; expected sqlite:///FILE"
    return None


def _server_fault(rest: str) -> str | None:
    """What is wrong behind `postgresql://`. It names no part of it, since that may be a piece of a password."""
    before = rest.partition("?")[0]
    if before.count("@") > 1:
        return "more than one @; expected a password with %40 for @, %3A for : and %2F for /"
    found = _HOST.fullmatch(before.rpartition("@")[2].partition("/")[0])
    if found is None:
        return f"host and port can not be told apart; expected {DATABASES}, and an address with colons as [ADDRESS]"
    if found["port"] and not (found["port"].isdecimal() and found["port"].isascii() and int(found["port"]) <= PORT_MAX):
        return f"the port is no number up to {PORT_MAX}; expected postgresql://USER@HOST:PORT/NAME"
    return None


def with_driver(url: str) -> str:
    """The same URL with the driver that is installed with us; one that is none of ours as it is."""
    scheme, separator, rest = url.partition("://")
    return f"{DRIVERS.get(scheme.lower(), scheme)}{separator}{rest}"


def tracking_fault(uri: str) -> str | None:
    """What is wrong with the URI of a registry; a folder has no scheme."""
    parts = _FORM.fullmatch(uri)
    if "\0" in uri:
        return NUL
    if not uri.strip():
        return "expected sqlite:///FILE, or the URL of an MLflow server"
    if parts is None or parts["scheme"].lower().partition("+")[0] in TRACKING:
        return None
    return (
        f"{parts['scheme']} is not supported; expected a folder, or a URL that begins with one of {', '.join(TRACKING)}"
    )
