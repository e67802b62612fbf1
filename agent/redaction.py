"""What must not be written down, printed or sent: passwords, keys and tokens in URLs, also in those that are malformed. Pure.

The one place for it. Text that leaves an agent goes through here: settings in the journal, what the world says of its troubles, log lines,
alerts, errors, and what commands print.
"""

import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from policies.observation import Deployment, Model, Observation

HIDDEN = "***"
SHORTEST = 4
"""A password of fewer characters is a part of too many words to be looked for in them."""
WITH_SCHEME = re.compile(
    r"""(?P<before>\b[A-Za-z][A-Za-z0-9+.-]*:?/+[^\s:/@'"]*:)[^\s'"]+@"""
    r"""|(?P<bare>[^\s:/@'"]+:)(?!//)[^\s'"]+@"""
    r"""|(?P<token>\bhttps?://)[^\s:/@'"]+@"""
)
"""Up to the last @ of a word, since a password that is not escaped as a URL wants it may hold / : and @ itself. Who names himself to a web
server by a single word names a token."""
WHOLE = re.compile(r"^(?P<before>[A-Za-z][A-Za-z0-9+.-]*:?/*[^:/@]*:)(?P<password>.+)@", re.DOTALL)
"""A URL and nothing else, whatever its password is made of."""
NAMED = re.compile(
    r"(?i)(?P<name>[\w-]*(?:password|passwd|passphrase|secret|token|api_?key|access_?key|signature|sig|credentials?)=)[^\s&'\",;]+"
)


def redacted(text: str, *urls: str) -> str:
    """`text` without the secrets of the URLs in it; those of `urls` are found wherever they stand, also by themselves."""
    for url in urls:
        for secret in _secrets(url):
            text = text.replace(secret, HIDDEN)
    if "@" in text:
        text = WITH_SCHEME.sub(_hidden, text)
    return NAMED.sub(rf"\g<name>{HIDDEN}", text) if "=" in text else text


def redacted_url(url: str) -> str:
    """A URL, or what was meant to be one, without its secrets."""
    return redacted(WHOLE.sub(rf"\g<before>{HIDDEN}@", url))


def redacted_settings(plain: Any, key: str = "") -> Any:
    """Plain settings without the secrets of the URLs in them; every other text is as it was, since decisions may follow from it."""
    if isinstance(plain, dict):
        return {name: redacted_settings(value, name) for name, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [redacted_settings(value, key) for value in plain]
    if isinstance(plain, str) and ("://" in plain or key.endswith(("url", "uri", "location"))):
        return redacted_url(plain)
    return plain


def redacted_seen(seen: Observation) -> Observation:
    """What was seen, without secrets in what the parts of the world say of their troubles."""
    return replace(
        seen,
        problems=tuple(redacted(str(each)) for each in seen.problems),
        deployments={name: _deployment(each) for name, each in seen.deployments.items()},
        models={name: _model(each) for name, each in seen.models.items()},
    )


def _deployment(seen: Deployment) -> Deployment:
    return replace(seen, message=redacted(seen.message)) if seen.message else seen


def _model(seen: Model) -> Model:
    training, rollout = seen.training, seen.rollout
    if training is not None and training.message:
        seen = replace(seen, training=replace(training, message=redacted(training.message)))
    if rollout is not None and rollout.failed:
        seen = replace(seen, rollout=replace(rollout, failed=redacted(rollout.failed)))
    return seen


def _hidden(found: re.Match[str]) -> str:
    return f"{found['before'] or found['bare'] or found['token']}{HIDDEN}@"


def _secrets(url: str) -> list[str]:
    """The password of `url` as it stands there, and in the other ways of writing it."""
    found = WHOLE.match(url)
    if found is None:
        return []
    raw = found["password"]
    ways = {raw, unquote(raw), quote(unquote(raw), safe=""), quote_plus(unquote(raw)), repr(raw)[1:-1]}
    return sorted((each for each in ways if len(each) >= SHORTEST), key=len, reverse=True)
