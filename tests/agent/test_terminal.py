"""The terminal prints every text as it is: no markup, no control, nothing that can not be encoded."""

import io

import pytest
from rich.table import Table

from agent.terminal import Terminal, readable, styled

HOSTILE = "[/x] [bold]b[/bold] :smile: \x1b[31m\x07\x9b \ud800 \u202e"
PLAIN = "[/x] [bold]b[/bold] :smile: \\x1b[31m\\x07\\x9b \\ud800 \\u202e"


def terminal() -> Terminal:
    return Terminal(file=io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), width=200, force_terminal=False)


def printed(*renderables: object, **options: object) -> str:
    out = terminal()
    out.print(*renderables, **options)
    out.file.seek(0)
    return out.file.read()


def test_a_line_is_printed_as_it_is() -> None:
    """With a style or without, also where a caller asks for markup: a name that somebody chose is never a style."""
    assert printed(HOSTILE) == PLAIN + "\n"
    assert printed(HOSTILE, style="red") == PLAIN + "\n"
    assert printed(HOSTILE, markup=True, emoji=True) == PLAIN + "\n"


def test_cells_heads_titles_and_captions_of_tables_are_printed_as_they_are() -> None:
    """Rich reads markup in each of them."""
    table = Table(HOSTILE, title=HOSTILE, caption=HOSTILE)
    table.add_row(HOSTILE)
    table.add_row(styled(HOSTILE, "red"))
    assert printed(table).count(PLAIN) == 5


@pytest.mark.parametrize("text", ["a", "naïve ✓ 漢字", "two\nlines", "a\tb"])
def test_what_a_person_can_read_stays(text: str) -> None:
    """Other languages, line breaks and tabs are no hostile text."""
    assert readable(text) == text


def test_a_sentence_for_another_program_is_one_line() -> None:
    """Who greps for it must find it, whatever width is taken for a file; a person's terminal breaks it into lines."""
    sentence = "there is no order 99 in this journal; " * 9
    narrow = Terminal(file=io.StringIO(), width=40, force_terminal=False)
    narrow.print(sentence)
    assert narrow.file.getvalue() == sentence + "\n"
    person = Terminal(file=io.StringIO(), width=40, force_terminal=True)
    person.print(sentence)
    assert person.file.getvalue().count("\n") > 5
