"""The rows that the client plays, made ready for the wire once, so that sending costs little of the two cores."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

NOT_FEATURES = ("key", "at_s", "label", "label_at_s")


def feature_names(stream: pd.DataFrame) -> list[str]:
    return [str(name) for name in stream.columns if name not in NOT_FEATURES]


@dataclass(frozen=True)
class PlayedRows:
    """Rows as JSON text, in time order, with the times that pace them. `labels` are JSON texts, empty where none is ever known."""

    at_s: npt.NDArray[np.float64]
    label_at_s: npt.NDArray[np.float64]
    rows: list[str]
    labels: list[str]

    @classmethod
    def of(cls, stream: pd.DataFrame) -> "PlayedRows":
        """`stream` as `ray_cluster.streams.stream` gives it; a missing feature becomes null."""
        features = stream[feature_names(stream)].to_json(orient="records", lines=True).splitlines()
        keys = pd.Series(stream["key"]).map(_quoted)
        labels = stream["label"].to_numpy(dtype=float)
        label_at_s = np.where(np.isfinite(labels), stream["label_at_s"].to_numpy(dtype=float), np.nan)
        return cls(
            at_s=stream["at_s"].to_numpy(dtype=float),
            label_at_s=label_at_s,
            rows=[f'{{"key":{key},"features":{text}}}' for key, text in zip(keys, features, strict=True)],
            labels=[
                f'{{"key":{key},"label":{label}}}' if known else ""
                for key, label, known in zip(keys, labels, np.isfinite(label_at_s), strict=True)
            ],
        )

    def body(self, first: int, last: int) -> bytes:
        """The request for rows [first, last)."""
        return ('{"rows":[' + ",".join(self.rows[first:last]) + "]}").encode()

    def labels_body(self, rows: list[int]) -> bytes:
        """The request that brings the labels of `rows`."""
        return ('{"labels":[' + ",".join(self.labels[row] for row in rows) + "]}").encode()

    def save(self, path: Path) -> None:
        """Write `path` (times) and, beside it, the texts."""
        np.savez(path, at_s=self.at_s, label_at_s=self.label_at_s)
        path.with_suffix(".rows").write_text("\n".join(self.rows))
        path.with_suffix(".labels").write_text("\n".join(self.labels))

    @classmethod
    def load(cls, path: str) -> "PlayedRows":
        """What `save` wrote."""
        times = np.load(path)
        file = Path(path)
        return cls(
            at_s=times["at_s"],
            label_at_s=times["label_at_s"],
            rows=file.with_suffix(".rows").read_text().split("\n"),
            labels=file.with_suffix(".labels").read_text().split("\n"),
        )


def _quoted(key: object) -> str:
    return '"' + str(key).replace("\\", "\\\\").replace('"', '\\"') + '"'
