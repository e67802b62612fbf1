"""The terminal: text is printed as it is, whoever wrote it. Nothing in it is markup, moves the cursor, or can not be encoded.

Names, notes and messages come from models, policies, journals and people: `[/x]` in one of them is four characters, not the end of a style.
Styles are given beside the text (`style=`, `styled`), never within it.
"""

import sys
import unicodedata
from typing import Any

from rich.console import Console
from rich.text import Text

from agent.redaction import redacted

KEPT = {"\n", "\t"}
HIDDEN = {"Cc", "Cs"}
"""Unicode categories that a terminal obeys (control characters) or that no encoding has (lone surrogates)."""
TURNS = {chr(code) for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x2028, 0x2029)}
"""Characters that turn the order of reading round, or break lines: what is read would not be what stands there."""


def readable(text: str) -> str:
    """`text` with what a terminal would obey, or could not show, in the notation of Python's escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escaped(each) for each in text)


def _escaped(character: str) -> str:
    if character in KEPT or (unicodedata.category(character) not in HIDDEN and character not in TURNS):
        return character
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


class Terminal(Console):
    """A console that prints every text as it is, in cells and titles of tables as well, but for secrets."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"markup": False, "emoji": False, "highlight": False} | options)

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        """As rich's own; a sentence that goes to a file or another program is one line there, however long."""
        if soft_wrap is None and not self.is_terminal and all(isinstance(each, str) for each in objects):
            soft_wrap = True
        super().print(*objects, soft_wrap=soft_wrap, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """As rich's own, without any markup whatever the options say."""
        return super().render_str(readable(redacted(text)), **{**options, "markup": False, "emoji": False})


def styled(text: str, style: str) -> Text:
    """`text` as it is but for secrets, in a style, for cells of tables."""
    return Text(readable(redacted(text)), style=style)


def forgiving() -> None:
    """From now on a character that the encoding of the standard streams lacks is printed as an escape rather than as a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
