"""What the doctor says of Serve and of its metrics, from what they answer."""

from typing import Any

import pytest

from agent.settings import Settings
from ray_cluster import cli
from ray_cluster.prometheus import MetricsAway, ServeMetrics
from ray_cluster.serve_rest import ServeAway, ServeRest

SETTINGS = Settings.model_validate(
    {"deployments": {"shop/Ranker": {}, "shop/Typo": {}, "bare/Model": {}}, "models": {"fraud": {}, "price": {}}}
)
RANKER = {"status": "HEALTHY", "target_num_replicas": 1}
DETAILS = {
    "applications": {
        "shop": {"external_scaler_enabled": True, "deployments": {"Ranker": RANKER}},
        "bare": {"deployments": {"Model": RANKER}},
        "fraud": {"deployments": {"Theirs": {}}},
        "price-challenger": {"deployments": {"Theirs": {}}},
    }
}


def checked(monkeypatch: pytest.MonkeyPatch, details: Any, metrics: Any) -> list[tuple[str, bool, str]]:
    def answers(self: ServeRest) -> Any:
        if isinstance(details, Exception):
            raise details
        return details

    def read(self: ServeMetrics, at_s: float) -> None:
        if isinstance(metrics, Exception):
            raise metrics
        self.away = metrics

    monkeypatch.setattr(ServeRest, "details", answers)
    monkeypatch.setattr(ServeMetrics, "read", read)
    return list(cli._serve_checks(SETTINGS))


@pytest.mark.parametrize(
    ("metrics", "told"),
    [
        ((), ("metrics", True, "readable")),
        (("n2:80: refused",), ("metrics", False, "not on every node, so that no load is known: n2:80: refused")),
        (MetricsAway("n1:80: refused; n2:80: refused"), ("metrics", False, "n1:80: refused; n2:80: refused")),
    ],
    ids=["all", "some", "none"],
)
def test_every_name_is_looked_for_and_every_metrics_endpoint_is_asked(
    monkeypatch: pytest.MonkeyPatch, metrics: Any, told: tuple[str, bool, str]
) -> None:
    """What is not there, what is somebody else's, and what can not be read, each with what to do."""
    url, *checks, last = checked(monkeypatch, DETAILS, metrics)
    has = "Serve does not have it; it has shop/Ranker, bare/Model, fraud/Theirs, price-challenger/Theirs"
    assert url == ("serve", True, "4 deployments at http://127.0.0.1:8265")
    assert checks == [
        ("deployment shop/Ranker", True, "healthy"),
        ("deployment shop/Typo", False, has),
        ("deployment bare/Model", False, "set `external_scaler_enabled: true` on its application"),
        ("model fraud", False, "an application 'fraud' runs that is not of model fraud; it is left alone; rename it, or "
         "set models.fraud.application"),
        ("model price", False, "an application 'price-challenger' runs that is not of model price; it is left alone; "
         "rename it, or set models.price.application"),
    ]  # fmt: skip
    assert last == told


def test_without_serve_nothing_else_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is named, and the setting that holds it."""
    (told,) = checked(monkeypatch, ServeAway("refused"), ())
    assert told == ("serve", False, "refused; is the dashboard at 127.0.0.1:8265? set cluster.dashboard_url")
