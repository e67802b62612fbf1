"""The configuration reference, written from the schema: `python -m agent.configuration_reference docs/configuration.md`."""

import sys
from pathlib import Path
from typing import Any

from agent.settings_file import schema

HEAD = """# Configuration

One YAML file. Unknown keys are errors; units stand in the names. `homeostat config validate FILE` checks a file, `homeostat config schema`
prints the JSON Schema for editors. An environment variable such as `HOMEOSTAT__JOURNAL__URL` overrides `journal.url`.

Words are those of YAML 1.2: `true` and `false` are truth values, `off`, `no` and `12:30` are words, keys are text. A key with nothing
behind it, null, or an empty variable is refused: leave the key out, or the variable unset, where there is no limit. Classes of your own are
named by import path where the command says `--allow-imports PACKAGE` ([policies](policies.md)). A file has at most 500,000 bytes and
50,000 values, aliases followed.

This page is written by `python -m agent.configuration_reference docs/configuration.md`.
"""


def reference() -> str:
    """The whole page: the top level first, then each section as it is named there."""
    described = schema()
    sections = [_section("Settings", described)]
    sections += [_section(name, section) for name, section in described["$defs"].items() if section.get("properties")]
    return HEAD + "\n" + "\n".join(sections)


def _section(name: str, section: dict[str, Any]) -> str:
    title = "The file" if name == "Settings" else name.removesuffix("Settings")
    lines = [f"## {title}", ""]
    if section.get("description"):
        lines += [_line(section["description"]), ""]
    lines += ["| key | type | default | what it is |", "|---|---|---|---|"]
    required = set(section.get("required", ()))
    for key, row in section["properties"].items():
        default = "required" if key in required else f"`{_default(row)}`"
        lines.append(f"| `{key}` | {_type(row)} | {default} | {_line(row.get('description', ''))} |")
    return "\n".join([*lines, ""])


def _default(row: dict[str, Any]) -> Any:
    default = row.get("default")
    return "{}" if isinstance(default, dict) else "-" if default is None else default


def _type(row: dict[str, Any]) -> str:
    if "$ref" in row:
        return str(row["$ref"]).rsplit("/", 1)[-1].removesuffix("Settings")
    if "anyOf" in row:
        return " or ".join(_type(each) for each in row["anyOf"])
    if "enum" in row:
        return ", ".join(f"`{each}`" for each in row["enum"])
    if row.get("type") == "array":
        return f"list of {_type(row['items'])}" if isinstance(row.get("items"), dict) else "list"
    if row.get("type") == "object" and isinstance(row.get("additionalProperties"), dict):
        return f"name: {_type(row['additionalProperties'])}"
    return {"null": "nothing"}.get(str(row.get("type")), str(row.get("type", "any")))


def _line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(reference(), encoding="utf-8")
