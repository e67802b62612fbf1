"""A scenario as a file again: what `simulators.scenario` reads, without what is said by the defaults."""

from typing import Any

import yaml

from simulators.settings import ScenarioSettings


def plain(settings: ScenarioSettings) -> dict[str, Any]:
    """`settings` as JSON values, keys in the order of the schema; defaults are left out."""
    return settings.model_dump(mode="json", exclude_defaults=True)


def to_yaml(settings: ScenarioSettings) -> str:
    """The text of a scenario file; read again it gives equal settings."""
    return yaml.safe_dump(plain(settings), sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)
