"""What may stand in our YAML files, what it means, and that nothing else costs more than a line that says where it stands."""

from pathlib import Path

import pytest

from agent.strict_yaml import FAULTS_TOLD, read, value_in
from agent.yaml_nodes import BYTES_MAX, DEPTH_MAX, FileFault, text_of

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{here}: &{here} [{', '.join([f'*{there}'] * 10)}]\n" for there, here in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "a: 1\nreplicas: {{ replicas }}\n",
            "f:2: replicas: found a mapping as a key ({{ }} is a template that nobody",
        ),
        ("a: 1\n? [x, y]\n: 2\n", "f:2: found a list as a key; expected text"),
        ("a: 1\nname: !ENV AGENT\n", "f:2: name: found the tag '!ENV'; expected a plain value"),
        ("!ENV a: 1\n", "f:1: found '!ENV' as a key; expected text"),
        ("a: !include [x]\n", "f:1: found the tag '!include'; expected plain values"),
        ("a: !!python/object/apply:os.system [x]\n", "found the tag '!!python/object/apply:os.system'"),
        ("a: !!binary aGk=\n", "f:1: a: found the tag '!!binary'; expected a plain value"),
        ("a: !!int twelve\n", "f:1: a: found 'twelve' tagged !!int; expected one"),
        ("a: 1\nb: &b [1, *b]\n", "f:2: found the alias *b inside what it stands for; expected an end"),
        ("a: &a {b: {c: *a}}\n", "f:1: found the alias *a inside what it stands for; expected an end"),
        ("a: *b\n", "f:1: found the alias *b; expected &b before it"),
        (BOMB, "f:4: found more than 50,000 values, aliases followed; expected fewer"),
        ("a: " + "[" * 100_000, f"f:1: found more than {DEPTH_MAX} levels inside one another; expected fewer"),
        ("a: " + "9" * 5000, "f:1: a: found a number of 5000 digits; expected at most 40"),
        ("a: 1\nb:\nc: 2\n", "f:2: b: nothing stands here; expected a value, or no such key"),
        ("a: [1, ]\nb: {c: }\n", "f:2: b.c: nothing stands here; expected a value, or no such key"),
        ("a: 1\n<<: 3\n", "f:2: expected a mapping, or a list of them, after <<"),
        ("a: 1\n---\nb: 2\n", "f:2: a second document begins here; expected one"),
        ("a: 1\nb: \x07\n", "f:2: not YAML: "),
        ("a: {% if x %}\n", "f:1: not YAML: "),
        ("x" * (BYTES_MAX + 1), f"f:1: found {BYTES_MAX + 1:,} characters; expected at most {BYTES_MAX:,}"),
    ],
)
def test_what_is_not_plain_is_told_by_file_line_and_key(text: str, told: str) -> None:
    """Never by a traceback, and at once, however large it would become."""
    with pytest.raises(FileFault) as error:
        read(text, "f")
    assert told in str(error.value)


def test_words_are_words_and_numbers_are_numbers() -> None:
    """As in YAML 1.2: a level may be off, a model called NO, a moment 12:30; 010 is ten, and 1e-6 a number."""
    text = "a: off\nb: NO\nc: 12:30\nd: 010\ne: 1e-6\nf: 2026-01-01\ng: true\nh: ~\ni: 0x1f\nj: 1_000\nk: .inf\nl: '1'\nm: yes\nn: -.5\n"
    assert read(text, "f").values == {
        "a": "off", "b": "NO", "c": "12:30", "d": 10, "e": 1e-6, "f": "2026-01-01", "g": True, "h": None, "i": 31, "j": 1000,
        "k": float("inf"), "l": "1", "m": "yes", "n": -0.5,
    }  # fmt: skip


def test_a_key_is_the_text_that_stands_there() -> None:
    """Models may be called NO, on, 1 or 2026-01-01; two that are spelt differently are two."""
    text = "NO: 1\non: 1\n1: 1\n1.0: 1\n2026-01-01: 1\n~: 1\nfalse: 1\n"
    assert list(read(text, "f").values) == ["NO", "on", "1", "1.0", "2026-01-01", "~", "false"]


def test_an_alias_is_what_it_stands_for_and_a_merge_is_below_what_is_said() -> None:
    """Keys know their own lines."""
    located = read("a: &a {x: 1, y: 2}\nb: *a\nc:\n  <<: *a\n  x: 3\n", "f")
    assert located.values == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}, "c": {"x": 3, "y": 2}}
    assert (located.line(("c", "x")), located.line(("c", "y")), located.line(("b", "y"))) == (5, 1, 1)


def test_a_key_is_told_on_one_line() -> None:
    """Whatever stands in it, and however long it is."""
    with pytest.raises(FileFault) as error:
        read('"a\\r\\nb": \n"c\\u2028": \n"' + "k" * 400 + '": \n', "f")
    assert [each.partition(": nothing")[0] for each in str(error.value).splitlines()] == [
        r"f:1: a\r\nb",
        r"f:2: c\u2028",
        f"f:3: {'k' * 117}...",
    ]


def test_many_faults_are_told_in_part() -> None:
    """Nobody reads ten thousand lines, and to write them takes long."""
    with pytest.raises(FileFault) as error:
        read("".join(f"k{n}: !x 1\n" for n in range(10_000)), "f")
    lines = str(error.value).splitlines()
    assert (len(lines), lines[-1]) == (FAULTS_TOLD + 1, "and more of them")


@pytest.mark.parametrize("text", ["", "  ", "# nothing", "!ENV X", "{a: }"])
def test_a_variable_that_holds_no_plain_value_is_refused(text: str) -> None:
    """One that came out empty does not stand for null."""
    with pytest.raises(ValueError, match="expected a"):
        value_in(text)


def test_a_file_that_can_not_be_read_is_told(tmp_path: Path) -> None:
    """Too large, of another encoding, a folder, absent."""
    (tmp_path / "large").write_bytes(b"#" * (BYTES_MAX + 1))
    (tmp_path / "utf16").write_text("name: a\n", encoding="utf-16")
    told = {
        "large": "is larger than 500,000 bytes",
        "utf16": "expected UTF-8",
        ".": "can not be read",
        "x": "can not be",
    }
    for name, words in told.items():
        with pytest.raises(FileFault, match=words):
            text_of(tmp_path / name)
    with pytest.raises(FileFault, match="is larger than"):
        text_of("/dev/zero")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a:\n\tb: 1\n", "f:2: not YAML: found a tab at column 1; expected an indentation of spaces only"),
        ("a:\n  b: 1\n  \tc: 2\n", "f:3: not YAML: found a tab at column 3; expected an indentation of spaces only"),
        ("a:\n  - b\n\t- c\n", "f:3: not YAML: found a tab at column 1; expected an indentation of spaces only"),
        (
            "a: 1\n  b: 2\n",
            "f:2: not YAML: found a ':' where none can stand; expected the indentation of the keys around it, "
            "or quotes around a text with ': ' in it (column 4)",
        ),
        (
            "why: so: and so\n",
            "f:1: not YAML: found a ':' where none can stand; expected the indentation of the keys around it, "
            "or quotes around a text with ': ' in it (column 8)",
        ),
        (
            "a:\n  b: 1\n c: 2\n",
            "f:3: not YAML: the indentation does not fit; expected keys of one mapping, and entries of one list, to begin in one column, "
            "and quotes around a text that holds quotes (column 2)",
        ),
        (
            "- a\nb: 1\n",
            "f:2: not YAML: the indentation does not fit; expected keys of one mapping, and entries of one list, to begin in one column "
            "(column 1)",
        ),
        (
            "a: [1, 2\nb: 3\n",
            "f:2: not YAML: a '[' or '{' before this place is never closed; expected ',' or its ']' or '}' (column 2)",
        ),
        ("a: 1\nb: 'x\nc: 2\n", "f:2: not YAML: a quotation mark that stands here is never closed (column 4)"),
        ("a: 1\nb\n", "f:2: not YAML: found a key without a value; expected a ':' and a blank behind it (column 1)"),
        ("a: @x\n", "f:1: not YAML: found '@' at column 4, with which no text begins; expected quotes around it"),
    ],
)
def test_what_is_no_yaml_is_told_in_a_persons_words(text: str, told: str) -> None:
    """With the place, and what to do; the parser's own words are about tokens."""
    with pytest.raises(FileFault) as error:
        read(text, "f")
    assert str(error.value) == told


@pytest.mark.parametrize("number", ["1e400", "-1e400", "10e308", "9" * 400 + ".0", "!!float 1e400"])
def test_a_number_that_no_computer_holds_is_refused_where_it_stands(number: str) -> None:
    """It would be infinity, which whoever wrote digits did not mean; who means it writes .inf."""
    with pytest.raises(FileFault) as error:
        read(f"a: 1\nb:\n  c: [1e308, .inf, {number}]\n", "f")
    found = number.removeprefix("!!float ")[:60]
    assert str(error.value) == (
        f"f:3: b.c[2]: found {found!r}, which is beyond all numbers that can be held; expected less than 1.8e+308"
    )
