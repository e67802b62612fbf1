"""Having managed models served: written down before, not while frozen, and one that can not be served does not stop the others."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from agent.settings import ServerSettings, Settings
from agent.testing import RecordingNotifier
from policies.observation import Version
from ray_cluster import managed
from ray_cluster.managed import RETRY_S, Missing, ServerChanged, Unserved, Upkeep, make, missing, not_ours
from ray_cluster.registry import RegistryUnavailable, RegistryView

CHAMPION = Version(number="3", digest="d", created_at_s=0.0)
NOTHING = Missing(champion=CHAMPION, parts=())
ALL = Missing(champion=CHAMPION, parts=("shard", "table", "application"))


@dataclass
class Made:
    """What an upkeep did, in the order in which it did it; `looks` are what each look at a model comes to."""

    looks: dict[str, list[Any]]
    log: list[Any] = field(default_factory=list)
    writable: bool = True

    def look_for(self, name: str) -> Missing:
        found = self.looks[name].pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    def make(self, name: str, what: Missing) -> None:
        self.log.append(("made", name, what.parts))

    def note(self, note: Mapping[str, Any], at_s: float) -> bool:
        self.log.append(("noted", at_s, dict(note)))
        return self.writable


def play(made: Made, ticks: int, frozen: Callable[[int], str | None] = lambda n: None) -> list[str]:
    """Tick every second, each look ended before the next tick; what people are told."""
    notifier = RecordingNotifier()
    settings = Settings.model_validate({"models": {name: {} for name in made.looks}})
    upkeep = Upkeep(settings, made.look_for, made.make, note=made.note, notifier=notifier)
    for n in range(ticks):
        upkeep.look(float(n), frozen(n))
        for future in (*upkeep._looks.values(), *upkeep._makes.values()):
            future.exception(timeout=10)
    return [alert.text.partition("again: ")[2] for alert in notifier.alerts]


def test_what_can_not_be_served_is_tried_again_and_told_once() -> None:
    """Away, away, no champion yet, served: two alerts, no further look after the last, and the other model is not kept waiting."""
    away = RegistryUnavailable("the database is away")
    none = Unserved("the registry has no champion of it: register a first version and promote it")
    made = Made({"good": [NOTHING], "bad": [away, away, none, NOTHING]})
    told = play(made, ticks=int(5 * RETRY_S))
    assert (made.looks, made.log) == ({"good": [], "bad": []}, [])
    assert told == [
        "RegistryUnavailable: the database is away",
        "the registry has no champion of it: register a first version and promote it",
    ]


def test_what_is_made_is_written_down_before_and_seen_after() -> None:
    """An agent that deploys leaves a word of it, whatever happens then."""
    made = Made({"m": [ALL, NOTHING]})
    assert play(made, ticks=9) == []
    note = {"note": "upkeep", "model": "m", "makes": ["shard", "table", "application"], "version": "3"}
    assert (made.log, made.looks) == ([("noted", 1.0, note), ("made", "m", ALL.parts)], {"m": []})


def test_what_can_not_be_written_down_is_not_made() -> None:
    """It is tried at the next tick, when the journal may be back."""
    made = Made({"m": [ALL]}, writable=False)
    assert play(made, ticks=4) == []
    assert [entry[:2] for entry in made.log] == [("noted", 1.0), ("noted", 2.0), ("noted", 3.0)]


def test_nothing_is_made_while_changes_are_frozen() -> None:
    """It is looked at and told, and made when the freeze is over."""
    made = Made({"m": [ALL, ALL, NOTHING]})
    told = play(made, ticks=20, frozen=lambda n: "a person has frozen all changes" if n < 5 else None)
    assert told == ["shard, table, application would be made, but a person has frozen all changes"]
    assert [entry[:2] for entry in made.log] == [("noted", 1.0 + RETRY_S + 1.0), ("made", "m")]


@dataclass
class Around:
    """The cluster around model "m": what runs of it, and what was called."""

    applications: dict[str, Any] = field(default_factory=dict)
    champion: Version | None = CHAMPION
    shard: bool = False
    table: bool = False
    called: list[Any] = field(default_factory=list)
    kept: dict[str, bytes] = field(default_factory=dict)

    def details(self) -> dict[str, Any]:
        return {"applications": self.applications}

    def view(self, name: str) -> RegistryView:
        return RegistryView(champion=self.champion)


SETTINGS = Settings.model_validate({"models": {"m": {"deployment": {"min_replicas": 2}}}})
OURS = {
    "deployments": {
        "ModelServer": {"deployment_config": {"request_router_config": {"request_router_kwargs": {"model": "m"}}}}
    }
}


@pytest.fixture
def around(monkeypatch: pytest.MonkeyPatch) -> Around:
    found = Around()

    class Keeper:
        class put:  # noqa: N801 - as an actor's method looks
            remote = staticmethod(found.called.append)

    monkeypatch.setattr(managed, "_settled", lambda settings, name, allowed: found.shard)
    monkeypatch.setattr(managed.kv, "get", found.kept.get)
    monkeypatch.setattr(managed, "_has_table", lambda name: found.table)
    monkeypatch.setattr(managed, "_keeper", lambda name: Keeper)
    monkeypatch.setattr(managed.ray, "get", lambda value, timeout: value)
    monkeypatch.setattr(managed, "ensure_shard", lambda name, *rest, **more: found.called.append(("shard", name)))
    monkeypatch.setattr(managed, "deploy", lambda *args, replicas: found.called.append((*args[1:], replicas)))
    return found


@pytest.mark.parametrize(
    ("there", "parts"),
    [
        ({}, ("shard", "table", "application")),
        ({"shard": True, "table": True, "applications": {"m": OURS}}, ()),
        ({"shard": True, "applications": {"m": OURS}}, ("table",)),
        ({"shard": True, "table": True, "applications": {"m": {"deployments": {}}}}, ()),
    ],
    ids=["nothing there", "all there", "a table lost", "being deployed"],
)
def test_what_is_missing_is_looked_for_without_changing_anything(
    around: Around, there: dict[str, Any], parts: tuple[str, ...]
) -> None:
    """Part by part."""
    vars(around).update(there)
    assert missing(SETTINGS, "m", around, around) == Missing(champion=CHAMPION, parts=parts)
    assert around.called == []


@pytest.mark.parametrize(
    "theirs",
    [
        {"deployments": {"Theirs": {}}},
        {
            "deployments": {
                "ModelServer": {"deployment_config": {"request_router_config": {"request_router_kwargs": {}}}}
            }
        },
    ],
    ids=["another deployment", "a server that is not ours"],
)
def test_an_application_of_somebody_else_is_never_replaced(around: Around, theirs: dict[str, Any]) -> None:
    """Neither under the model's name nor under its challenger's; people are told which it is."""
    around.applications = {"m": theirs}
    with pytest.raises(Unserved, match="an application 'm' runs that is not of model m; it is left alone"):
        missing(SETTINGS, "m", around, around)
    assert not_ours(around.details(), "m-challenger", "m") is None
    assert not_ours({"applications": {"m-challenger": theirs}}, "m-challenger", "m") is not None


def test_without_a_champion_nothing_can_be_served(around: Around) -> None:
    """And what to do about it is said."""
    around.champion = None
    with pytest.raises(Unserved, match="register a first version and promote it"):
        missing(SETTINGS, "m", around, around)


def test_only_what_is_missing_is_made(around: Around) -> None:
    """A shard, a table of the first revision in this epoch, the application with the champion and as many replicas as it must have."""
    make(SETTINGS, "m", ALL, 4)
    shard, table, application = around.called
    assert shard == ("shard", "m")
    assert (table.epoch, table.revision, table.champion, table.champion_digest) == (4, 1, "3", "d")
    assert application == ("m", "champion", CHAMPION, 2)
    around.called.clear()
    make(SETTINGS, "m", NOTHING, 4)
    assert around.called == []


def test_a_table_that_somebody_made_meanwhile_stays(around: Around) -> None:
    """Its revisions go on."""
    around.table = True
    make(SETTINGS, "m", Missing(champion=CHAMPION, parts=("table",)), 4)
    assert around.called == []


def test_server_settings_that_are_not_applied_are_told_once(around: Around) -> None:
    """The model is served, so nothing is tried again; what differs is named, and how to have it applied."""
    around.shard = around.table = True
    around.applications = {"m": OURS}
    around.kept["server:m"] = ServerSettings(max_ongoing_requests=5).model_dump_json().encode()
    settings = Settings.model_validate({"models": {"m": {"server": {"max_ongoing_requests": 7}}}})
    with pytest.raises(ServerChanged, match=r"max_ongoing_requests: 5 \(now 7\)") as found:
        missing(settings, "m", around, around)
    made = Made({"m": [found.value], "other": [NOTHING]})
    notifier = RecordingNotifier()
    both = Settings.model_validate({"models": {"m": {}, "other": {}}})
    upkeep = Upkeep(both, made.look_for, made.make, note=made.note, notifier=notifier)
    for n in range(40):
        upkeep.look(float(n))
        for future in upkeep._looks.values():
            future.exception(timeout=10)
    assert (made.looks, made.log) == ({"m": [], "other": []}, [])
    (alert,) = notifier.alerts
    assert (alert.subject, alert.severity) == ("m", "warning")
    assert "max_ongoing_requests: 5 (now 7)" in alert.text


def test_a_probe_is_watched_as_its_deployment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A regression at level L1: its loss is said beside its probe; deployments without a word about it are left alone."""
    watched: list[tuple[str, str]] = []
    monkeypatch.setattr(managed, "_settled", lambda settings, name, allowed: bool(watched))
    monkeypatch.setattr(managed, "ensure_shard", lambda name, drift, **more: watched.append((name, drift.loss)))
    given = {"a/A": {"probe": "price", "drift": {"loss": "absolute"}}, "b/B": {"probe": "fraud"}, "c/C": {}}
    settings = Settings.model_validate({"deployments": given})
    notes: list[Any] = []
    upkeep = Upkeep(
        settings,
        lambda name: missing(settings, name, None, None),
        lambda name, what: make(settings, name, what, 1),
        note=lambda note, at_s: notes.append(note["makes"]) is None,
        notifier=RecordingNotifier(),
    )
    for n in range(9):
        upkeep.look(float(n))
        for future in (*upkeep._looks.values(), *upkeep._makes.values()):
            future.exception(timeout=10)
    assert (watched, notes) == ([("price", "absolute")], [["shard"]])
    with pytest.raises(ValueError, match="there is no probe"):
        Settings.model_validate({"deployments": {"c/C": {"drift": {"loss": "absolute"}}}})
