"""What Serve's REST interface may answer, and what an operator then reads."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from agent.ports import Refused
from ray_cluster.serve_rest import ServeAway, ServeRest

ANSWERS = {"none": (412, "external scaler"), "gone": (404, "no"), "full": (500, "no room"), "good": (200, "{}")}


class Dashboard(BaseHTTPRequestHandler):
    """Answers as a dashboard would; which answer is in the application's name."""

    asked: list[tuple[str, object, str | None]]

    def do_GET(self) -> None:
        self._answer(200, '{"applications": {}}')

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append((self.path, body, self.headers["authorization"]))
        self._answer(*ANSWERS[self.path.split("/")[4]])

    def _answer(self, status: int, body: str) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        """Not on the terminal of the tests."""


@pytest.fixture
def rest(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServeRest]:
    monkeypatch.setenv("RAY_AUTH_TOKEN", "token-of-the-cluster")
    Dashboard.asked = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Dashboard)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield ServeRest(f"http://127.0.0.1:{server.server_port}")
    server.shutdown()
    server.server_close()


def test_a_scale_names_the_count_and_shows_the_token(rest: ServeRest) -> None:
    """As Serve's external scaler wants it."""
    rest.scale("good/D", 3)
    assert Dashboard.asked == [
        ("/api/v1/applications/good/deployments/D/scale", {"target_num_replicas": 3}, "Bearer token-of-the-cluster")
    ]
    assert rest.details() == {"applications": {}}


@pytest.mark.parametrize(
    ("deployment", "message"),
    [
        ("none/D", "application 'none' lacks `external_scaler_enabled: true` in its Serve configuration"),
        ("gone/D", "Serve has no deployment 'gone/D'"),
        ("full/D", "Serve refused 3 replicas of full/D: 500 no room"),
    ],
)
def test_a_refusal_says_what_to_mend(rest: ServeRest, deployment: str, message: str) -> None:
    """The words go into the journal."""
    with pytest.raises(Refused) as error:
        rest.scale(deployment, 3)
    assert str(error.value) == message


def test_a_dashboard_that_is_away_is_named_and_its_token_is_not() -> None:
    """An address to look at, no secret."""
    rest = ServeRest("http://127.0.0.1:9")
    with pytest.raises(ServeAway, match=r"the details of Serve can not be read from http://127\.0\.0\.1:9") as error:
        rest.details()
    with pytest.raises(ServeAway, match=r"Serve can not be reached at http://127\.0\.0\.1:9"):
        rest.scale("a/D", 1)
    assert "token" not in str(error.value)
