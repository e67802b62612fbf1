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
    if DRIVERS[scheme] == "sqlite" and rest and not rest.startswith("/"):
        return "a file of SQLite begins after three slashes; expected sqlite:///FILE"
    return None


def with_driver(url: str) -> str:
    """The same URL with the driver that is installed with us; one that is none of ours as it is."""
    scheme, separator, rest = url.partition("://")
    return f"{DRIVERS.get(scheme.lower(), scheme)}{separator}{rest}"


def tracking_fault(uri: str) -> str | None:
    """What is wrong with the URI of a registry; a folder has no scheme."""
    parts = _FORM.fullmatch(uri)
    if not uri.strip():
        return "expected sqlite:///FILE, or the URL of an MLflow server"
    if parts is None or parts["scheme"].lower().partition("+")[0] in TRACKING:
        return None
    return (
        f"{parts['scheme']} is not supported; expected a folder, or a URL that begins with one of {', '.join(TRACKING)}"
    )
