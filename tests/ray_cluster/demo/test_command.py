"""The demo's command before anything is started."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ray_cluster.demo.command import register


@pytest.fixture
def app() -> typer.Typer:
    made = typer.Typer()
    made.callback()(lambda: None)
    register(made)
    return made


@pytest.mark.parametrize("stream", ["insects", "nowhere"])
def test_a_stream_that_is_not_at_hand_is_bad_input(
    app: typer.Typer, stream: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 2, what was asked for, and no folder is left behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOMEOSTAT_DATA", raising=False)
    result = CliRunner().invoke(app, ["demo", "--stream", stream])
    assert result.exit_code == 2
    assert stream in result.stderr
    assert list(tmp_path.iterdir()) == []
