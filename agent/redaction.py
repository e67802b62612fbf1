"""What must not be written down, printed or sent: passwords, keys and tokens, in URLs and beside their names. Pure.

The one place for it. Text that leaves an agent goes through here: settings in the journal, what the world says of its troubles, log lines,
alerts, errors, and what commands print.

1. The password of a URL, also of one that is malformed.
2. What stands beside a name that says secret: `password='x y'`, `"api_key": "x"`, `?token=x`, `--secret x`, a line `dsn: x`.
3. What an Authorization header carries.
4. Keys that show by their form what they are, such as AWS's, and what makes the URL of a webhook.

Ordinary words stay: a feature called `token_count`, and the sentence "the password is wrong".
"""

import re
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus, unquote

from policies.action import Alert
from policies.observation import Deployment, Model, Observation

HIDDEN = "***"
TEXT_MAX = 4000
"""Characters that are kept of a text of the world's."""
MARGIN = 2000
"""Longer than any secret that only its end gives away, such as the @ after a password."""
SHORTEST = 4
"""A password of fewer characters is a part of too many words to be looked for in them."""
WITH_SCHEME = re.compile(
    r"""(?P<before>\b[A-Za-z][A-Za-z0-9+.-]{0,40}:?/{1,9}[^\s:/@'"]{0,256}:)[^\s'"]{1,1024}@"""
    r"""|(?P<bare>[^\s:/@'"]{1,256}:)(?!//)[^\s'"]{1,1024}@"""
    r"""|(?P<token>\bhttps?://)[^\s:/@'"]{1,1024}@"""
)
"""Up to the last @ of a word, since a password that is not escaped as a URL wants it may hold / : and @ itself. Who names himself to a web
server by a single word names a token. Lengths are bounded everywhere here, so that no text takes much longer than another of its length."""
WHOLE = re.compile(r"^(?P<before>[A-Za-z][A-Za-z0-9+.-]*:?/*[^:/@]*:)(?P<password>.+)@", re.DOTALL)
"""A URL and nothing else, whatever its password is made of."""
QUOTED = re.compile(
    r"""(?P<quote>['"])(?P<before>[A-Za-z][A-Za-z0-9+.-]{0,40}:?/{1,9}[^\s:/@'"\[]{0,256}:)(?:(?!(?P=quote))[^\n]){1,1024}@(?=[\w\[])"""
)
"""Between quotes a URL ends where they do, whatever its password is made of."""
SPACED = re.compile(
    r"""(?P<before>\b[A-Za-z][A-Za-z0-9+.-]{0,40}://[^\s:/@'"\[]{0,256}:)(?!\d{1,5}(?:[/\s?#,;.)\]]|$))[^@\n'"]{1,200}?@(?=[\w\[])"""
)
"""A password with spaces in it: what stands behind the colon is no port, and a host follows."""
NAME = (
    r"(?:pass(?:word|wd|phrase)s?|pwd|secrets?|token|api[ _-]?key"
    r"|(?:secret|access|private|account|encryption|licen[cs]e|signing|master|aws)[ _-]?(?:access[ _-]?)?key"
    r"|credentials?|dsn|connection[_-]?string)"
)
"""How a name ends that says secret. `token_count` and `tokens` end in another way."""
SHORT = r"(?<![a-z])(?:pass|pw)"
"""Names that say secret where something is set to them; in a sentence they are words: "rows pass = 12", "bypass=3"."""
SET = r"(?:[^\S\n]*(?:(?<!=):?=>?(?!=)|->)[^\S\n]*|%3[ad](?:%20|\+)*)"
"""Between a name and its value; `==` compares."""
VALUE = (
    r"""(?P<value>\\"(?:(?!\\").)*(?:\\")?|\\'(?:(?!\\').)*(?:\\')?"""
    r"""|"(?:[^"\\]|\\.)*"?|'(?:[^'\\]|\\.)*'?|(?:[^\s&'",;\\]|\\(?!["']))+)"""
)
"""Of a name: between quotes, also escaped ones, or up to where a value can not go on."""
BYTES = r"""(?:[bru]{1,2}(?=["']))?"""
SERVICES = (
    r"slack|discord|tgram|telegram|msteams|workflows|pover|pushover|pbul|prowl|pushy|bark|ntfys?|gotifys?|join|ifttt|simplepush|wxteams|webex"
    r"|webexteams|gchat|guilded|mailgun|sendgrid|twilio|opsgenie|pagerduty|mmosts?|mattermosts?|rockets?|ryver|zulip|matrixs?|lark|feishu|dingtalk"
)
"""Services of messages whose addresses, in the notation of Apprise, are made of keys."""
BESIDE = (
    re.compile(rf"""(?i)(?P<before>(?:{NAME}|signature|(?<![a-z])sig)\\?["']?{SET}{BYTES}){VALUE}"""),
    re.compile(rf"""(?i)(?P<before>(?:{SHORT}|(?<![a-z])cookie)\\?["']?=(?!=)[^\S\n]*{BYTES}){VALUE}"""),
    re.compile(rf"""(?im)(?P<before>(?:^[ \t]*|_){SHORT}\\?["']?{SET}{BYTES}){VALUE}"""),
    re.compile(rf"""(?i)(?P<before>{NAME}\\?["']\s*:\s*(?!(?:null|none|true|false)\b){BYTES}){VALUE}"""),
    re.compile(rf"""(?i)(?P<before>(?:{SHORT}|(?<![a-z])(?:auth|cookie))\\?["']\s*:\s*(?=\\?["']){BYTES}){VALUE}"""),
    re.compile(
        rf"""(?i)(?P<before>(?:{SHORT}|(?<![a-z])auth)(?::[ \t]*|{SET}))"""
        r"""(?P<value>(?=[^\s,;]{0,80}\d)(?=[^\s,;]{0,80}[a-z])[^\s,;'"(){}\[\]]{6,})"""
    ),
    re.compile(
        rf"""(?i)(?P<before>(?:<|&lt;)[\w.:-]{{0,80}}(?:{NAME}|{SHORT})(?:\s[^<>\n]{{0,200}})?(?:>|&gt;))(?P<value>[^<&]+)"""
    ),
    re.compile(
        rf"""(?im)(?P<before>{NAME}\\?["']?:[ \t]*[|>][+-]?\d?[ \t]*\n[ \t]+)(?P<value>[^\s][^\n]*(?:\n[ \t]+[^\n]+)*)"""
    ),
    re.compile(
        rf"""(?im)(?P<before>{NAME}\\?["']?:(?:[ \t]*\n){{1,3}}[ \t]+)(?P<value>(?!- |[^\s:]+:[ \t]*$)[^\s|>'"]\S*)[ \t]*$"""
    ),
    re.compile(r"""(?i)(?P<before>[?&](?:key|code|auth|pass|pw|sid|session)=)(?P<value>[^\s&'"#;]+)"""),
    re.compile(
        r"""(?i)(?P<before>\b(?:set-)?cookie\\?["']?\s*[:=]\s*\\?["']?(?=[^\s=;]{1,80}=))(?P<value>[^\r\n'"]+)"""
    ),
    re.compile(r"""(?i)(?P<before>%3a%2f%2f(?:(?!%3a|%40)[^\s'"]){0,256}%3a)(?P<value>[^\s'"]{1,1024})(?=%40)"""),
    re.compile(rf"""(?i)(?P<before>\b(?:{SERVICES})://)(?P<value>[^\s'"]+)"""),
    re.compile(rf"""(?i)(?P<before>--[\w-]{{0,80}}{NAME}\s+)(?!-){VALUE}"""),
    re.compile(
        rf"""(?i)(?P<before>{NAME}[ \t]*:[ \t]*)(?P<value>"[^"\n]+"|'[^'\n]+'|(?=[^\s,;]*\d)[^\s,;'"(){{}}\[\]]{{6,}})"""
    ),
    re.compile(rf"""(?i)(?P<before>{NAME}\s+(?:is|was)\s+)(?P<value>"[^"\n]+"|'[^'\n]+')"""),
    re.compile(
        rf"""(?im)^(?P<before>[ \t]*(?:- )?[\w.-]{{0,80}}{NAME}:[ \t]+)"""
        r"""(?!(?:null|none|true|false|found|expected|is|was|it|its|can|the|not|no)\b)(?P<value>[^\s'"].*)$"""
    ),
    re.compile(
        r"""(?i)(?P<before>authorization\\?["']?\s*[:=]\s*\\?["']?(?:(?:bearer|basic|token|digest|apikey)\s+|(?=\S{0,80}\d)))"""
        r"""(?P<value>[^\s'",;\\]+)"""
    ),
    re.compile(r"(?i)(?P<before>\bbearer\s+)(?P<value>(?=\S{0,80}\d|\S{16})[\w+/.~=-]{6,})"),
    re.compile(
        r"(?P<before>\b[Bb]asic\s+)(?P<value>(?=\S{0,80}[\d=]|\S{0,40}[a-z]\S{0,40}[A-Z])[A-Za-z0-9+/]{8,}={0,2})"
    ),
)
"""Secrets by what stands before them, in every way of writing that settings, headers, commands and errors use."""
KNOWN = re.compile(
    r"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[opsur]_\w{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abeprs]-[\w-]{10,}|xapp-[\w-]{10,}|hf_\w{20,}"
    r"|[rs]k_(?:live|test)_\w{8,}|npm_[A-Za-z0-9]{20,}|pypi-(?=[\w-]{0,80}\d)[\w-]{16,}|SG\.[\w-]{16,}\.[\w-]{16,}|dapi[0-9a-f]{16,}"
    r"|sk-[\w-]{20,}|AIza[\w-]{30,}|eyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*)"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)"
)
"""Keys whose form says what they are: those of AWS, GitHub, GitLab, Slack, Hugging Face, Stripe, npm, PyPI, SendGrid, Databricks, Google,
JSON web tokens, PEM."""
WEBHOOK = re.compile(
    r"(?i)(?P<before>\bhttps?://(?:hooks\.(?:slack|zapier)\.com|(?:[\w-]{1,20}\.)?discord(?:app)?\.com/api/webhooks"
    r"|[\w.-]{1,200}\.webhook\.office\.com|api\.telegram\.org|[^\s/'\"@]{1,200}/(?:[\w.-]{1,80}/){0,4}(?:web)?hooks?)/)[^\s'\"<>]{1,1024}"
)
"""Who knows such a URL may write there: all behind the host is the secret."""
SUSPICIOUS = re.compile(
    rf"(?i){NAME}|pass|pw|sig|auth|cookie|bearer|basic|@|://|%3a|[?&](?:key|code|sid|session)=|AKIA|ASIA|gh[opsur]_|github_pat_|xox|xapp|hf_|sk-"
    r"|[rs]k_|npm_|pypi-|SG\.|dapi|AIza|eyJ|PRIVATE KEY|glpat"
)
"""What holds none of these holds nothing of the above."""
SAYS_SECRET = re.compile(
    rf"(?i).*(?:{NAME}|authorization|webhook(?:[_-]?ur[li])?)|(?:.*[^a-z])?(?:pass|pw|auth|cookie)"
)
"""Names of settings."""


def redacted(text: str, *urls: str) -> str:
    """`text` without the secrets in it; those of `urls` are found wherever they stand, also by themselves."""
    for url in urls:
        for secret in _secrets(url):
            text = text.replace(secret, HIDDEN)
    if not SUSPICIOUS.search(text):
        return text
    if "@" in text:
        for pattern in (QUOTED, WITH_SCHEME, SPACED):
            text = pattern.sub(_hidden, text)
    for pattern in BESIDE:
        text = pattern.sub(_blotted, text)
    return KNOWN.sub(HIDDEN, WEBHOOK.sub(rf"\g<before>{HIDDEN}", text))


def redacted_part(text: str) -> str:
    """Of what the world says, without secrets, the first `TEXT_MAX` characters; a tick waits for it.

    What is cut off is not looked at, but for a margin: what begins before the cut and is known for a secret by its end is hidden whole.
    """
    if len(text) <= TEXT_MAX:
        return redacted(text)
    told = redacted(text[: TEXT_MAX + MARGIN])
    return f"{told[: max(0, min(TEXT_MAX - 1, len(told) - MARGIN))]}…"


def redacted_url(url: str) -> str:
    """A URL, or what was meant to be one, without its secrets."""
    return redacted(WHOLE.sub(rf"\g<before>{HIDDEN}@", url))


def redacted_settings(plain: Any, key: str = "") -> Any:
    """Plain settings without secrets: those of URLs, and single values whose name says secret. Every other text is as it was, since
    decisions may follow from it."""
    if isinstance(plain, dict):
        return {name: redacted_settings(value, name) for name, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [redacted_settings(value, key) for value in plain]
    if isinstance(plain, bool) or not isinstance(plain, str | int | float):
        return plain
    if SAYS_SECRET.fullmatch(key):
        return HIDDEN
    if isinstance(plain, str) and ("://" in plain or key.endswith(("url", "uri", "location"))):
        return redacted_url(plain)
    return plain


def redacted_alert(alert: Alert) -> Alert:
    """`alert` without secrets in its words."""
    subject, text = redacted_part(alert.subject), redacted_part(alert.text)
    return alert if (subject, text) == (alert.subject, alert.text) else replace(alert, subject=subject, text=text)


def redacted_seen(seen: Observation) -> Observation:
    """What was seen, without secrets in what the parts of the world say of their troubles."""
    return replace(
        seen,
        problems=tuple(redacted_part(str(each)) for each in seen.problems),
        deployments={name: _deployment(each) for name, each in seen.deployments.items()},
        models={name: _model(each) for name, each in seen.models.items()},
    )


def _deployment(seen: Deployment) -> Deployment:
    return replace(seen, message=redacted_part(seen.message)) if seen.message else seen


def _model(seen: Model) -> Model:
    training, rollout = seen.training, seen.rollout
    if training is not None and training.message:
        seen = replace(seen, training=replace(training, message=redacted_part(training.message)))
    if rollout is not None and rollout.failed:
        seen = replace(seen, rollout=replace(rollout, failed=redacted_part(rollout.failed)))
    return seen


def _hidden(found: re.Match[str]) -> str:
    named = found.groupdict()
    before = named["before"] or named.get("bare") or named.get("token")
    return f"{named.get('quote') or ''}{before}{HIDDEN}@"


def _blotted(found: re.Match[str]) -> str:
    """What stands before a secret, and the quotes around it, if any."""
    value = found["value"]
    opening = value[: 2 if value.startswith("\\") else 1] if value[:1] in {'"', "'", "\\"} else ""
    closing = opening if opening and value.endswith(opening) and len(value) > len(opening) else ""
    return f"{found['before']}{opening}{HIDDEN}{closing}"


def _secrets(url: str) -> list[str]:
    """The password of `url` as it stands there, and in the other ways of writing it."""
    found = WHOLE.match(url)
    if found is None:
        return []
    raw = found["password"]
    ways = {raw, unquote(raw), quote(unquote(raw), safe=""), quote_plus(unquote(raw)), repr(raw)[1:-1]}
    return sorted((each for each in ways if len(each) >= SHORTEST), key=len, reverse=True)
