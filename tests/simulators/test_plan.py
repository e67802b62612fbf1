"""What was asked for, before anything runs."""

from pathlib import Path

import pytest

from simulators.plan import BadInput, plan


def test_a_configuration_that_is_given_as_a_scenario_is_called_one(tmp_path: Path) -> None:
    """With the way in which it can be played."""
    file = tmp_path / "homeostat.yaml"
    file.write_text("deployments: {shop/Ranker: {}}\npolicies: [{use: idle}]\n")
    with pytest.raises(BadInput) as error:
        plan([file], [], [])
    assert error.value.faults == (
        f"{file}: this is the configuration of an agent; expected a scenario. Its policies are played in one by "
        f"`homeostat sim run SCENARIO.yaml --policy {file}`",
    )


def test_a_scenario_in_which_much_is_missing_stays_a_scenario(tmp_path: Path) -> None:
    """It says how long it lasts."""
    file = tmp_path / "short.yaml"
    file.write_text("duration_s: 60\n")
    with pytest.raises(BadInput) as error:
        plan([file], [], [])
    assert [line.split(": ")[1] for line in "\n".join(error.value.faults).splitlines()] == ["name", "models", "cluster"]
