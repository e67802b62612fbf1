"""What is wrong with a text that is no YAML, in a person's words: the parser's own are about its tokens. Pure."""

import yaml

INDENTATION = (
    "the indentation does not fit; expected keys of one mapping, and entries of one list, to begin in one column"
)
PROBLEMS: tuple[tuple[str, str], ...] = (
    (
        "mapping values are not allowed",
        "found a ':' where none can stand; expected the indentation of the keys around it, or quotes around a text with ': ' in it",
    ),
    ("did not find expected ',' or", "a '[' or '{' before this place is never closed; expected ',' or its ']' or '}'"),
    ("expected ',' or", "a '[' or '{' before this place is never closed; expected ',' or its ']' or '}'"),
    ("did not find expected key", f"{INDENTATION}, and quotes around a text that holds quotes"),
    ("did not find expected '-' indicator", INDENTATION),
    ("expected <block end>", f"{INDENTATION}, and quotes around a text that holds quotes"),
    ("could not find expected ':'", "found a key without a value; expected a ':' and a blank behind it"),
    ("found unexpected end of stream", "a quotation mark that stands here is never closed"),
    ("found unknown escape character", r"found a backslash that means nothing; expected \\, or single quotes around the text"),
    ("mapping keys are not allowed", "found a '?' with a blank behind it; expected quotes around a text that begins so"),
    ("did not find expected node content", "found a ']' or '}' that nothing opens; expected quotes around a text that begins so"),
)  # fmt: skip
"""What the parser says, by how it begins, and what people are told."""
UNCLOSED = "found unexpected end of stream"
"""The place of what is never closed is where it begins."""


def trouble(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """The line, from 1, and what is wrong there."""
    problem = str(getattr(error, "problem", None) or error)
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if problem.startswith(UNCLOSED) and getattr(error, "context_mark", None) is not None:
        mark = error.context_mark  # type: ignore[attr-defined]
    if mark is None:
        position = getattr(error, "position", 0)
        return (text.count("\n", 0, position) + 1 if isinstance(position, int) else 1), _words(problem)
    lines = text.splitlines()
    line = min(int(mark.line) + 1, max(1, len(lines)))
    return line, _at(problem, lines[line - 1] if lines else "", int(mark.column))


def _at(problem: str, line: str, column: int) -> str:
    """What is wrong at `column`, from 0, of `line`."""
    blanks = line[: len(line) - len(line.lstrip())]
    if "\t" in blanks and ("tab" in problem or "cannot start any token" in problem):
        return f"found a tab at column {blanks.index(chr(9)) + 1}; expected an indentation of spaces only"
    if "cannot start any token" in problem and column < len(line):
        return f"found {line[column]!r} at column {column + 1}, with which no text begins; expected quotes around it"
    return f"{_words(problem)} (column {column + 1})" if _words(problem) != problem else problem


def _words(problem: str) -> str:
    return next((words for begin, words in PROBLEMS if problem.startswith(begin)), problem)
