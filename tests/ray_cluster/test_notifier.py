"""Alerts reach the services that the settings name, and none of their failures reaches the loop."""

import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from policies.action import Alert
from ray_cluster.notifier import LogNotifier, NotifierError, build

ALERT = Alert(subject="m", text="m has drifted", severity="critical")
RECEIVED: queue.Queue[dict] = queue.Queue()


class Service(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        RECEIVED.put(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Not on the terminal of the tests."""


@pytest.fixture
def service() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"json://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_an_alert_reaches_the_service(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its subject, its text and its severity in the service's words."""
    pytest.importorskip("apprise", reason="needs the extra [notify]")
    monkeypatch.setenv("PAGER", service)
    build(["PAGER"]).notify(ALERT)
    received = RECEIVED.get(timeout=20)
    assert {name: received[name] for name in ("title", "message", "type")} == {
        "title": "homeostat: m", "message": "m has drifted", "type": "failure",
    }  # fmt: skip


def test_a_service_that_is_away_is_in_the_log_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """`notify` returns; what was not sent is said, without the URL."""
    pytest.importorskip("apprise", reason="needs the extra [notify]")
    monkeypatch.setenv("PAGER", "json://secret@127.0.0.1:9/")
    told: queue.Queue[dict] = queue.Queue()
    monkeypatch.setattr("ray_cluster.notifier.log.error", lambda event, **words: told.put({"event": event, **words}))
    build(["PAGER"]).notify(ALERT)
    assert told.get(timeout=30) == {
        "event": "alert_not_sent", "subject": "m", "reason": "a service did not take it",
    }  # fmt: skip


def test_what_can_not_be_sent_to_is_said_without_what_it_holds(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """The variable's name, never its value; nor does the library that could not read it print what it holds."""
    pytest.importorskip("apprise", reason="needs the extra [notify]")
    with pytest.raises(NotifierError, match="the environment variable NOT_THERE is not set"):
        build(["NOT_THERE"])
    monkeypatch.setenv("PAGER", "carrier-pigeon://secret")
    with pytest.raises(NotifierError) as error:
        build(["PAGER"])
    assert str(error.value) == "notify: what PAGER holds is not a URL that Apprise knows"
    assert "secret" not in caplog.text + "".join(capfd.readouterr())


def test_an_alert_is_sent_without_the_secrets_of_urls(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of somebody else's is often an alert's text."""
    pytest.importorskip("apprise", reason="needs the extra [notify]")
    monkeypatch.setenv("PAGER", service)
    text = "can not reach postgresql://agent:hidden-word@db/journal"
    build(["PAGER"]).notify(Alert(subject="m", text=text, severity="critical"))
    assert RECEIVED.get(timeout=20)["message"] == "can not reach postgresql://agent:***@db/journal"


def test_without_services_alerts_go_to_the_log() -> None:
    """Which every alert does."""
    assert isinstance(build([]), LogNotifier)
