"""Where the files lie that a scenario plays: beside it, or under HOMEOSTAT_DATA."""

import os
from pathlib import Path

DATA_VARIABLE = "HOMEOSTAT_DATA"


class ScenarioError(ValueError):
    """What is wrong with a scenario: one line per fault, `file:line: key: what was found; what was expected`."""


class DataMissing(ScenarioError):
    """A file that the scenario plays is not on this machine."""


def data_path(path: str, folder: Path, what: str) -> Path:
    """Where `path`, called a `what` in messages, lies: absolute, beside the scenario, or under HOMEOSTAT_DATA. Raises DataMissing."""
    places = [Path(path), folder / path]
    if data := os.environ.get(DATA_VARIABLE):
        places.append(Path(data) / path)
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise DataMissing(f"the {what} {path} is not beside the scenario, nor under {DATA_VARIABLE}")
    return found
