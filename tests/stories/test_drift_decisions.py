"""What the agent decides about drift on public streams: retrain, repair, or leave alone. Needs the streams under HOMEOSTAT_DATA."""

import pandas as pd
import pytest

from benchmarks.drift_decisions import STREAMS, path_of, play


@pytest.mark.parametrize(
    ("name", "first", "until"),
    [
        ("nannyml_car_loan", 65_000, 80_000),
        ("nannyml_car_price", 82_000, 97_000),
        ("nannyml_car_loan_dq", 17_000, 30_000),
        ("acs_employment_ma", 60_000, 76_000),
    ],
)
def test_the_agent_decides_rightly_about_the_change_in_a_public_stream(name: str, first: int, until: int) -> None:
    """The error grows: retrain. It shrinks: nothing. Values go missing: set the rows aside, do not retrain. A new year: nothing."""
    stream = STREAMS[name]
    if not path_of(stream).is_file():
        pytest.skip(f"{path_of(stream)} is not at hand; set HOMEOSTAT_DATA to the folder that holds streams/")
    table = pd.read_csv(path_of(stream), skiprows=range(1, first + 1), nrows=until - first)
    decision = play(stream, "default", table, first=first)
    assert (decision.decided, decision.false_alarms) == (stream.right, 0)
