"""Each guard at its limit: what it lets through, what it keeps back, and the figures that it tells."""

import time
from dataclasses import replace
from typing import Any

import pytest

from agent.back_off import Failures
from agent.calendar import FreezeCalendar
from agent.guards import PROMOTION_RETRY_S, Context, Record, autonomy, veto
from agent.order import Autonomy, Order
from agent.settings import AutonomySettings, BudgetSettings, FreezeWindow, GuardSettings
from agent.versions import Versions
from policies.action import (
    Action,
    Alert,
    Hold,
    Promote,
    Proposal,
    Quarantine,
    Restart,
    Retrain,
    RollBack,
    Scale,
    SetTraffic,
    StartRollout,
    StopTraining,
)
from policies.observation import Controls, JobState, Observation, Quarantined, TrainingJob
from policies.testing import arm, comparison, deployment, model, observation, replica, rollout, version

PROMOTE = Promote(model="m", version="2", digest="sha-2")
BACK = RollBack(model="m", version="2", to="1", to_digest="sha-1")
SCALE = Scale(deployment="app/model", replicas=3)
RETRAIN = Retrain(model="m")
KNOWN = {("m", "1"): "sha-1", ("m", "2"): "sha-2"}

Told = tuple[str, str, float | None, float | None]


def objection(
    action: Action,
    *things: Any,
    at_s: float = 1000.0,
    record: Record | None = None,
    guards: GuardSettings | None = None,
    budget: BudgetSettings | None = None,
    windows: tuple[FreezeWindow, ...] = (),
    chosen: int = 0,
    **fields: Any,
) -> Told | None:
    """What the first guard that objects says: rule, reason, value, threshold."""
    context = Context(
        seen=observation(at_s, *things, **fields),
        open_orders={},
        record=record or Record(versions=Versions(digests=dict(KNOWN))),
        settings=guards or GuardSettings(),
        budget=budget or BudgetSettings(),
        calendar=FreezeCalendar(windows),
        chosen=chosen,
    )
    wish = Proposal(action=action, because=())
    found = veto(wish, context)
    assert found is None or found.proposal is wish
    return None if found is None else (found.rule, found.reason, found.value, found.threshold)


def remembered(*orders: tuple[Action, float]) -> Record:
    record = Record(versions=Versions(digests=dict(KNOWN)))
    for action, at_s in orders:
        record.issue(order(action, at_s))
    return record


def order(action: Action, at_s: float) -> Order:
    return Order(
        number=1, epoch=1, key="1", action=action, because=(), policy="p", issued_at_s=at_s, deadline_s=at_s + 60.0
    )  # fmt: skip


# -- autonomy


@pytest.mark.parametrize("level", list(Autonomy))
def test_every_kind_has_a_level_of_its_own_or_the_default(level: Autonomy) -> None:
    """By kind of action; words are always said, and to hold changes nothing."""
    other = Autonomy.ACT if level is not Autonomy.ACT else Autonomy.OFF
    assert autonomy(SCALE, AutonomySettings(default=level)) is level
    assert autonomy(SCALE, AutonomySettings(default=other, scale=level)) is level
    assert autonomy(RETRAIN, AutonomySettings(default=level, scale=other)) is level
    assert autonomy(Alert(subject="a", text="b"), AutonomySettings(default=level)) is Autonomy.ACT
    assert autonomy(Hold(subject="a"), AutonomySettings(default=level)) is Autonomy.ACT


# -- freeze


def test_a_freeze_by_a_person_or_by_the_calendar_says_who() -> None:
    """A person first."""
    window = FreezeWindow(start="0 0 * * *", duration_s=3600.0, reason="closing")
    frozen = Controls(frozen=True)
    assert objection(SCALE, deployment(), controls=frozen) == ("freeze", "a person has frozen all changes", None, None)
    assert objection(SCALE, deployment(), windows=(window,)) == ("freeze", "closing", None, None)
    assert objection(SCALE, deployment(), windows=(window,), at_s=3600.0) is None
    assert objection(SCALE, deployment(), windows=(window,), controls=frozen) == (
        "freeze",
        "a person has frozen all changes",
        None,
        None,
    )


@pytest.mark.parametrize("how", ["person", "calendar"])
def test_a_freeze_keeps_a_champion_unless_a_person_asks_for_its_rollback_by_name(how: str) -> None:
    """Who says so means that; the agent by itself keeps it, and says with which words it would not. Nothing else passes beside the wish."""
    windows = (FreezeWindow(start="0 0 * * *", duration_s=3600.0, reason="closing"),) if how == "calendar" else ()
    told = "a person has frozen all changes" if how == "person" else "closing"
    promoted = model(champion=version("2"), previous=version("1"))
    frozen = Controls(frozen=how == "person")
    by_itself = objection(BACK, promoted, controls=frozen, windows=windows)
    words = f"{told}; `homeostat rollback m` takes version 2 back all the same"
    assert by_itself == ("freeze", words, None, None)
    asked = replace(frozen, rollbacks=("m",))
    assert objection(BACK, promoted, controls=asked, windows=windows) is None
    assert objection(replace(BACK, model="n"), promoted, controls=asked, windows=windows) is not None
    assert objection(SCALE, deployment(), controls=asked, windows=windows) == ("freeze", told, None, None)
    assert objection(PROMOTE, promoted, controls=asked, windows=windows) == ("freeze", told, None, None)


# -- orders a minute


@pytest.mark.parametrize(
    ("before", "chosen", "told"),
    [
        (0, 0, None),
        (1, 0, None),
        (1, 1, 2),
        (2, 0, 2),
        (3, 4, 7),
    ],
)
def test_orders_of_a_minute_are_counted_with_those_of_the_decision(before: int, chosen: int, told: int | None) -> None:
    """Two are allowed."""
    record = remembered(*((Scale(deployment=f"d/{n}", replicas=1), 990.0) for n in range(before)))
    found = objection(SCALE, deployment(), record=record, chosen=chosen, budget=BudgetSettings(orders_per_minute=2))
    reason = "as many orders as allowed in the last minute"
    assert found == (None if told is None else ("orders_per_minute", reason, told, 2))


def test_a_rollback_never_waits_for_orders_of_a_minute() -> None:
    """It makes things safe again."""
    record = remembered(*((Scale(deployment=f"d/{n}", replicas=1), 990.0) for n in range(5)))
    budget = BudgetSettings(orders_per_minute=1)
    canary = model(rollout=rollout("2"))
    assert objection(BACK, canary, record=record, budget=budget, chosen=3) is None
    forward = SetTraffic(model="m", version="2", share=0.5)
    assert objection(forward, canary, record=record, budget=budget, chosen=3) == (
        "orders_per_minute",
        "as many orders as allowed in the last minute",
        8,
        1,
    )


def test_a_record_forgets_a_minute_and_a_day() -> None:
    """To the second."""
    record = remembered((RETRAIN, 0.0), (SCALE, 100.0))
    record.see(observation(59.9))
    assert (record.issued_s, record.retrained_s) == ([0.0, 100.0], [0.0])
    record.see(observation(60.0))
    assert (record.issued_s, record.retrained_s) == ([100.0], [0.0])
    record.see(observation(86_399.9))
    assert (record.issued_s, record.retrained_s) == ([], [0.0])
    record.see(observation(86_400.0))
    assert record.retrained_s == []


# -- cool-downs


def test_a_cool_down_is_of_one_kind_on_one_target() -> None:
    """It ends to the second."""
    record = remembered((SCALE, 990.0))
    guards = GuardSettings(cool_down_s={"scale": 30.0})
    told = ("cool_down", "too soon after the last", 10.0, 30.0)
    assert objection(SCALE, deployment(), record=record, guards=guards) == told
    assert objection(SCALE, deployment(), record=record, guards=guards, at_s=1019.9) is not None
    assert objection(SCALE, deployment(), record=record, guards=guards, at_s=1020.0) is None
    other = Scale(deployment="b/b", replicas=3)
    assert objection(other, deployment("b/b"), record=record, guards=guards) is None
    restart = Restart(deployment="app/model", replica="r1")
    assert objection(restart, deployment(replicas=3), record=record, guards=guards) is None


def test_an_order_does_not_stand_in_its_own_way() -> None:
    """Without itself a record is as it was before; what others did stays."""
    mine, other = order(SCALE, 990.0), order(RETRAIN, 980.0)
    record = Record()
    record.issue(other)
    record.issue(order(Scale(deployment="b/b", replicas=1), 990.0))
    before = counted(record)
    assert before == (2, 1, None, 990.0, 980.0)
    record.issue(mine)
    less = record.without(mine)
    assert counted(less) == before
    assert record.issued_s == [980.0, 990.0, 990.0]
    assert counted(record.without(other)) == (2, 0, 990.0, 990.0, None)
    for never_issued_s in (5.0, 2000.0):
        assert counted(record.without(order(SCALE, never_issued_s))) == counted(record) == (3, 1, 990.0, 990.0, 980.0)
    assert less.versions is record.versions


def test_of_two_orders_of_one_moment_each_leaves_out_itself_only() -> None:
    """A scale is no retraining, though both were issued at once."""
    mine, other = order(SCALE, 990.0), order(RETRAIN, 990.0)
    record = Record()
    record.issue(mine)
    record.issue(other)
    assert counted(record) == (2, 1, 990.0, None, 990.0)
    assert counted(record.without(mine)) == (1, 1, None, None, 990.0)
    assert counted(record.without(other)) == (1, 0, 990.0, None, None)


def counted(record: Record) -> tuple[int, int, float | None, float | None, float | None]:
    """Orders of the minute, retrainings of the day, and the last of three kinds."""
    last_s = (record.last_of(each) for each in (SCALE, Scale(deployment="b/b", replicas=1), RETRAIN))
    return record.orders_of_the_minute(), record.retrainings_of_the_day(), *last_s  # type: ignore[return-value]


def test_moments_are_forgotten_when_nothing_counts_them_any_more() -> None:
    """A name that comes once, such as that of a replica or a branch, is not kept for ever; what a cool-down counts is."""
    record = Record(cool_down_s={"scale": 100.0})
    for action in (SCALE, RETRAIN, PROMOTE):
        record.issue(order(action, 1000.0))
    kept = []
    for at_s in (1000.0, 1099.9, 1100.0, 1299.9, 1300.0):
        record.see(observation(at_s))
        kept.append(sorted(kind for kind, _ in record.last_s))
    assert kept == [["promote", "scale"], ["promote", "scale"], ["promote"], ["promote"], []]


def test_orders_of_the_minute_and_retrainings_of_the_day_are_forgotten_after_that() -> None:
    """To the tenth of a second."""
    record = Record()
    for action in (SCALE, RETRAIN):
        record.issue(order(action, 1000.0))
    seen = []
    for age_s in (59.9, 60.0, 86_399.9, 86_400.0):
        record.see(observation(1000.0 + age_s))
        seen.append((record.orders_of_the_minute(), record.retrainings_of_the_day()))
    assert seen == [(2, 1), (0, 1), (0, 1), (0, 0)]


# -- scaling


@pytest.mark.parametrize(
    ("replicas", "fields", "told"),
    [
        (3, {}, None),
        (2, {"min_replicas": 2}, None),
        (1, {"min_replicas": 2}, ("bounds", "fewer than the minimum of replicas", 1, 2)),
        (5, {"max_replicas": 5}, None),
        (6, {"max_replicas": 5}, ("bounds", "more than the maximum of replicas", 6, 5)),
        (3, {"scalable": False}, ("not_scalable", "its application lacks external_scaler_enabled: true", None, None)),
        (3, {"name": "b/b"}, ("unknown_target", "there is no deployment 'app/model'", None, None)),
    ],
)
def test_a_count_keeps_its_bounds(replicas: int, fields: dict[str, Any], told: Told | None) -> None:
    """Both of them are allowed themselves."""
    scale = Scale(deployment="app/model", replicas=replicas)
    assert objection(scale, deployment(**fields)) == told


def test_a_foreign_change_is_respected_for_a_while() -> None:
    """From the moment it is seen; only scales mind it."""
    record = Record()
    record.see(observation(940.0, deployment(replicas=2)))
    record.see(observation(950.0, deployment(replicas=5)))
    reason = "somebody else set it from 2 to 5 replicas just now"
    assert objection(SCALE, deployment(), record=record) == ("foreign_change", reason, 50.0, 60.0)
    assert objection(SCALE, deployment(), record=record, at_s=1009.9) is not None
    assert objection(SCALE, deployment(), record=record, at_s=1010.0) is None
    restart = Restart(deployment="app/model", replica="r1")
    assert objection(restart, deployment(replicas=3), record=record) is None
    relaxed = GuardSettings(foreign_change_respected_s=0.0)
    assert objection(SCALE, deployment(), record=record, at_s=950.0, guards=relaxed) is None


# -- restarts


def rows(*healthy: bool | None) -> Any:
    return tuple(replica(f"r{n}", healthy=each) for n, each in enumerate(healthy, 1))


@pytest.mark.parametrize(
    ("healthy", "fields", "told"),
    [
        ((True, True), {}, None),
        ((True,), {}, ("min_healthy", "would leave fewer healthy replicas than the minimum", 0, 1)),
        ((True, None), {"min_replicas": 2}, ("min_healthy", "would leave fewer healthy replicas than the minimum", 1, 2)),
        ((True, False), {}, ("min_healthy", "would leave fewer healthy replicas than the minimum", 0, 1)),
        ((False,), {}, None),
        ((False, False), {}, ("blast_radius", "too many of its replicas would be away at once", 2, 1.0)),
        ((False, True, True, False), {}, None),
        ((False, True, False, False), {}, ("blast_radius", "too many of its replicas would be away at once", 3, 2.0)),
        ((False, True), {"replicas_wanted": 3}, ("blast_radius", "too many of its replicas would be away at once", 2, 1.5)),
        ((True, True, True), {"replicas_wanted": 4}, None),
        ((False,), {"replicas_wanted": 0}, None),
    ],
    ids=repr,
)  # fmt: skip
def test_a_restart_leaves_enough_to_serve(healthy: tuple[bool | None, ...], fields: dict[str, Any], told: Told) -> None:
    """r1 is to be restarted; half of the replicas may be away at once, and one always may."""
    restart = Restart(deployment="app/model", replica="r1")
    assert objection(restart, deployment(replicas=rows(*healthy), **fields)) == told


def test_only_what_is_there_is_restarted() -> None:
    """Neither a replica nor a deployment that can not be seen."""
    gone = Restart(deployment="app/model", replica="r9")
    told = ("unknown_target", "there is no replica 'r9'", None, None)
    assert objection(gone, deployment()) == told
    assert objection(gone, deployment("b/b", replicas=9)) == told


def test_the_blast_radius_is_a_setting() -> None:
    """All of them, or never more than one."""
    restart = Restart(deployment="app/model", replica="r1")
    ill = deployment(replicas=rows(False, False, False, True))
    assert objection(restart, ill, guards=GuardSettings(blast_radius=0.75)) is None
    assert objection(restart, ill, guards=GuardSettings(blast_radius=0.0)) is not None
    one = deployment(replicas=rows(False, True, True, True))
    assert objection(restart, one, guards=GuardSettings(blast_radius=0.0)) is None
    both = deployment(replicas=rows(False, False), replicas_wanted=1)
    told = ("blast_radius", "too many of its replicas would be away at once", 2, 1.0)
    assert objection(restart, both, guards=GuardSettings(blast_radius=1.0)) == told


# -- promotions


@pytest.mark.parametrize(
    ("compared", "told"),
    [
        (comparison(rows=200), None),
        (comparison(rows=199), ("evidence", "too few labelled rows", 199, 200)),
        (None, ("evidence", "too few labelled rows", 0, 200)),
    ],
)
def test_a_promotion_needs_its_rows(compared: Any, told: Told | None) -> None:
    """Two hundred, on the same rows or of the challenger's own."""
    assert objection(PROMOTE, model(candidates=(version("2"),), rollout=rollout("2", comparison=compared))) == told


def test_rows_that_the_challenger_answered_itself_count_as_well() -> None:
    """Either kind is enough; the champion's do not count."""
    base = comparison(rows=0)
    own = replace(base, challenger=replace(arm(), loss=replace(arm().loss, n=200)))
    others = replace(base, champion=replace(arm(), loss=replace(arm().loss, n=900)), challenger=replace(
        arm(), loss=replace(arm().loss, n=3)))  # fmt: skip
    assert objection(PROMOTE, model(candidates=(version("2"),), rollout=rollout("2", comparison=own))) is None
    found = objection(PROMOTE, model(candidates=(version("2"),), rollout=rollout("2", comparison=others)))
    assert found == ("evidence", "too few labelled rows", 3, 200)


@pytest.mark.parametrize("seen", [(), (model(),), (model(rollout=rollout("3")),)], ids=["no model", "none", "another"])
def test_only_a_version_in_a_rollout_is_promoted(seen: tuple[Any, ...]) -> None:
    """Evidence of another is none."""
    assert objection(PROMOTE, *seen) == ("evidence", "the version is not in a rollout", None, None)


def test_a_promotion_that_failed_waits_and_is_given_up() -> None:
    """By the second; three times in all."""
    ready = model(candidates=(version("2"),), rollout=rollout("2", comparison=comparison(rows=300)))
    record = remembered((PROMOTE, 990.0))
    record.versions.failed[("m", "2")] = 1
    told = ("failed_before", "it has just failed", 10.0, PROMOTION_RETRY_S)
    assert objection(PROMOTE, ready, record=record) == told
    assert objection(PROMOTE, ready, record=record, at_s=990.0 + PROMOTION_RETRY_S) is None
    record.versions.failed[("m", "2")] = 3
    told = ("failed_before", "it has failed as often as a promotion is tried", 3, 3)
    assert objection(PROMOTE, ready, record=record, at_s=9000.0) == told
    unknown = Record(versions=Versions(digests=dict(KNOWN), failed={("m", "2"): 2}))
    assert objection(PROMOTE, ready, record=unknown, at_s=0.0) is None


def test_a_promotion_waits_for_its_own_failures_only() -> None:
    """Version 3 comes a moment after version 2, of the same model; only what has failed is kept back."""
    ready = model(candidates=(version("3"),), rollout=rollout("3", comparison=comparison(rows=300)))
    record = remembered((PROMOTE, 990.0))
    record.versions.digests[("m", "3")] = "sha-3"
    third = Promote(model="m", version="3", digest="sha-3")
    assert objection(third, ready, record=record) is None
    record.versions.failed[("m", "2")] = 1
    assert objection(third, ready, record=record) is None


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland"])
def test_what_failed_just_now_tells_in_utc_by_the_clock_of_people_when_it_is_tried_again(
    zone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever the agent runs, and however far its own clock is ahead of theirs."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    record = remembered()
    record.back_off.failed[("scale", ("deployment", "app/model"), "2")] = Failures(times=3, last_s=990.0, reason="no")
    reason = "it failed 3 times in a row (no), and is not tried again before 00:15:10 UTC"
    told = objection(SCALE, deployment(), record=record, clock_ahead_s=100.0)
    over = [objection(SCALE, deployment(), record=record, at_s=at_s) is None for at_s in (1009.9, 1010.0)]
    monkeypatch.undo()
    time.tzset()
    assert told == ("back_off", reason, 10.0, 20.0)
    assert over == [False, True]


# -- files


@pytest.mark.parametrize(
    ("action", "told"),
    [
        (StartRollout(model="m", version="2", digest="sha-2"), None),
        (StartRollout(model="m", version="2", digest="x"), "the files of version 2 are not those that were first seen"),
        (StartRollout(model="m", version="9", digest="x"), "version 9 was never seen in the registry"),
        (StartRollout(model="n", version="2", digest="sha-2"), "version 2 was never seen in the registry"),
        (RollBack(model="m", version="2", to="1", to_digest="x"), "the files of version 1 are not those that were first seen"),
        (RollBack(model="m", version="9", to="1", to_digest="sha-1"), None),
        (SetTraffic(model="m", version="9", share=0.5), None),
        (StopTraining(model="m"), None),
    ],
    ids=repr,
)  # fmt: skip
def test_files_are_those_that_were_first_seen(action: Action, told: str | None) -> None:
    """Of what would serve; what is taken away may be anything."""
    found = objection(action, model())
    assert found == (None if told is None else ("digest", told, None, None))


def test_files_are_those_that_are_seen_now_too() -> None:
    """Whichever place the version has."""
    back = RollBack(model="m", version="3", to="1", to_digest="sha-1")
    other = version("1", digest="other")
    for seen in (model(champion=other), model(champion="3", previous=other), model(champion="3", candidates=(other,))):
        assert objection(back, seen) == (
            "digest",
            "the files of version 1 are not those that were first seen",
            None,
            None,
        )
    assert objection(back, model(champion="3", candidates=(version("7", digest="other"),))) is None


def test_a_canary_is_taken_back_whatever_the_champions_files_are_now() -> None:
    """To end a rollout loads nothing: the champion's replicas serve on with what they have."""
    open_canary = model(champion=version("1", digest="other"), rollout=rollout("2", share=0.5))
    for digest in ("sha-1", "other"):
        assert objection(RollBack(model="m", version="2", to="1", to_digest=digest), open_canary) is None
    elsewhere = RollBack(model="m", version="2", to="1", to_digest="sha-1")
    assert objection(elsewhere, model(champion=version("1", digest="other"), rollout=rollout("3"))) is not None


def test_a_canary_of_a_model_without_a_champion_is_taken_back_to_what_is_known() -> None:
    """What would serve then is loaded, so it must be what was seen first."""
    alone = model(champion=None, rollout=rollout("2"))
    assert objection(BACK, alone) is None
    told = ("digest", "the files of version 1 are not those that were first seen", None, None)
    assert objection(replace(BACK, to_digest="other"), alone) == told


@pytest.mark.parametrize("seen", [(), (model(champion=None),), (model(champion="3"),)], ids=["unseen", "none", "3"])
def test_a_version_that_was_judged_bad_serves_no_more_whatever_serves_now(seen: tuple[Any, ...]) -> None:
    """Only where it serves already does nothing change."""
    bad = Record(versions=Versions(digests=dict(KNOWN), rejected={("m", "1")}))
    told = ("judged_bad", "version 1 was judged bad and taken back before", None, None)
    assert objection(BACK, *seen, record=bad) == told
    assert objection(BACK, model(champion="1"), record=bad) is None


# -- retrainings


@pytest.mark.parametrize(
    ("seen", "told"),
    [
        (model(), None),
        (model(managed=False), ("not_managed", "no recipe is given for this model", None, None)),
        (None, ("not_managed", "no recipe is given for this model", None, None)),
        (
            model(training=TrainingJob(id="j", state=JobState.RUNNING, started_at_s=0.0)),
            ("training_runs", "training j runs", None, None),
        ),
        (model(training=TrainingJob(id="j", state=JobState.FAILED, started_at_s=0.0)), None),
        (model(unread=("training",)), ("unread", "not known now: training", None, None)),
        (model(unread=("training", "rows")), ("unread", "not known now: training, rows", None, None)),
    ],
    ids=repr,
)
def test_a_retraining_is_for_a_managed_model_that_does_not_train(seen: Any, told: Told | None) -> None:
    """What can not be read may run."""
    assert objection(RETRAIN, *([] if seen is None else [seen])) == told


@pytest.mark.parametrize(
    ("since_s", "spans", "spoilt"),
    [
        (None, ((0.0, 2000.0),), False),
        (500.0, (), False),
        (500.0, ((500.0, 1000.0),), True),
        (500.0, ((501.0, 1000.0),), False),
        (500.0, ((0.0, 999.0),), False),
        (500.0, ((0.0, 600.0), (0.0, 2000.0)), True),
    ],
)
def test_nothing_is_learned_where_all_rows_are_set_aside(
    since_s: float | None, spans: tuple[tuple[float, float], ...], spoilt: bool
) -> None:
    """One span must cover all that would be learned from."""
    seen = model(quarantined=tuple(Quarantined(since_s=a, until_s=b) for a, b in spans))
    found = objection(Retrain(model="m", since_s=since_s), seen)
    assert found == (("quarantine", "all of its rows are quarantined", None, None) if spoilt else None)


@pytest.mark.parametrize(("limit", "told"), [(None, None), (3, None), (2, 2), (0, 2)])
def test_retrainings_of_a_day_are_counted(limit: int | None, told: int | None) -> None:
    """Of all models together; other orders do not count."""
    record = remembered((Retrain(model="a"), 100.0), (Retrain(model="b"), 200.0), (SCALE, 300.0))
    found = objection(RETRAIN, model(), record=record, budget=BudgetSettings(retrainings_per_day=limit))
    reason = "as many retrainings as allowed in a day"
    assert found == (None if told is None else ("retrainings_per_day", reason, told, limit))


def test_a_quarantine_and_the_end_of_a_training_are_kept_back_by_a_freeze_only() -> None:
    """No other guard knows them."""
    for action in (Quarantine(model="m", since_s=0.0, until_s=1.0), StopTraining(model="m")):
        assert objection(action) is None
        assert objection(action, controls=Controls(frozen=True)) is not None


def test_what_is_seen_is_told_by_whom_it_came() -> None:
    """Counts and files, in one list."""
    record = Record(versions=Versions(digests={("m", "1"): "first"}))
    assert [a.subject for a in record.see(seen_twice(2))] == ["m"]
    assert [a.subject for a in record.see(seen_twice(5))] == ["app/model", "m"]


def seen_twice(replicas: int) -> Observation:
    return observation(1.0, deployment(replicas=replicas), model())
