"""What the agent remembers of versions: files, verdicts, and promotions that failed; within a life and over lives."""

from dataclasses import replace
from typing import Any

import pytest

from agent.assembly import build_core
from agent.calendar import FreezeCalendar
from agent.core import Core, Decision, Rules
from agent.guards import PROMOTION_RETRY_S
from agent.journal.controls import said
from agent.journal.life import begin
from agent.journal.memory import MemoryJournal
from agent.journal.record import Kind
from agent.journal.replay import replay
from agent.loop import lines_of
from agent.order import JOURNAL_WAS_AWAY, NEVER_SENT, Autonomy, Status
from agent.settings import AutonomySettings, FreezeWindow, Settings
from agent.versions import PROMOTION_TRIES, Versions
from policies.action import Action, Alert, Evidence, Promote, Proposal, RollBack, Scale, SetTraffic, StartRollout
from policies.observation import Capacity, Controls, Model, Observation, Resources
from policies.rollout.staged import Staged
from policies.testing import comparison, deployment, model, observation, report, rollout, symptom, version

ROOMY = Capacity(total=Resources(cpus=64.0), free=Resources(cpus=64.0))
PROMOTE = Promote(model="m", version="2", digest="sha-2")
OLD, NEW = version("1"), version("2")


def back(number: str = "2", to: str = "1") -> RollBack:
    return RollBack(model="m", version=number, to=to, to_digest=f"sha-{to}")


class Wants:
    def __init__(self, *actions: Action) -> None:
        self.actions = list(actions)
        self.shown: list[Observation] = []

    def propose(self, seen: Observation) -> list[Proposal]:
        self.shown.append(seen)
        return [Proposal(action=action, because=(Evidence(name="test"),)) for action in self.actions]


def core_of(policy: Any, *, windows: Any = (), **fields: Any) -> Core:
    rules = Rules(autonomy=AutonomySettings(default=Autonomy.ACT))
    return Core([("policy", policy)], rules, FreezeCalendar(windows), **fields)


def seen_at(at_s: float, *things: Any, **fields: Any) -> Observation:
    return observation(at_s, *things, **({"capacity": ROOMY} | fields))


def canary(**fields: Any) -> Model:
    return model(candidates=(NEW,), rollout=rollout("2", **({"comparison": comparison(rows=900)} | fields)))


def promoted(previous: str = "1", champion: str = "2", **fields: Any) -> Model:
    return model(champion=champion, previous=version(previous), **fields)


def rules(decision: Decision) -> list[str]:
    return [veto.rule for veto in decision.vetoes]


def actions(decision: Decision) -> list[Action]:
    return [order.action for order in decision.orders]


# -- judged bad


def test_nothing_goes_back_to_a_version_that_was_taken_back() -> None:
    """Not even where a policy of a user's own says so; the veto tells why."""
    core = core_of(Wants(back("3", "2")), versions=Versions(rejected={("m", "2")}))
    decision = core.step(seen_at(1.0, promoted("2", "3")))
    assert (decision.orders, [(v.rule, v.reason) for v in decision.vetoes]) == (
        (),
        [("judged_bad", "version 2 was judged bad and taken back before")],
    )


@pytest.mark.parametrize(
    ("rejected", "seen"),
    [
        ({("m", "2")}, model(champion="2", candidates=(version("3"),), rollout=rollout("3"))),
        ({("another", "2")}, promoted("2", "3")),
        ({("m", "1")}, promoted("2", "3")),
    ],
    ids=["it serves already", "of another model", "another version"],
)
def test_to_end_a_rollout_is_no_way_back(rejected: set[tuple[str, str]], seen: Model) -> None:
    """The controls: the champion stays who it is, whatever was thought of it, and other versions are other versions."""
    core = core_of(Wants(back("3", "2")), versions=Versions(rejected=rejected))
    assert actions(core.step(seen_at(1.0, seen))) == [back("3", "2")]


def test_policies_are_not_shown_a_way_back_to_a_bad_version() -> None:
    """A champion that drifts has nowhere to go but on: `staged` proposes nothing, in the life that judged and in the next."""
    drifted = promoted("2", "3", champion_since_s=0.0, report=report(50.0, symptom(since_s=9.0), version="3", loss=0.9,
                       loss_reference=0.1))  # fmt: skip
    bad = core_of(Staged(), versions=Versions(rejected={("m", "2")}))
    assert bad.step(seen_at(60.0, drifted)).orders == ()
    assert actions(core_of(Staged()).step(seen_at(60.0, drifted))) == [back("3", "2")]


def test_by_hand_nothing_goes_back_to_a_bad_version_either() -> None:
    """The person is told that there is nowhere to go."""
    core = core_of(Staged(), versions=Versions(rejected={("m", "2")}))
    decision = core.step(seen_at(1.0, promoted("2", "3"), controls=Controls(rollbacks=("m",))))
    assert (decision.orders, [alert.text for alert in decision.alerts]) == (
        (),
        ["m can not be rolled back: there is no version to go back to"],
    )


def test_nothing_goes_back_to_what_this_life_has_taken_back() -> None:
    """Version 2 was rolled back, and version 3 that came after it is bad, too: version 2 is no way out."""
    policy = Wants(back("2"))
    core = core_of(policy)
    assert actions(core.step(seen_at(1.0, promoted("1", "2")))) == [back("2")]
    core.step(seen_at(6.0, model()))
    policy.actions = [back("3", "2")]
    decision = core.step(seen_at(100.0, promoted("2", "3")))
    assert (decision.orders, rules(decision)) == ((), ["judged_bad"])


def test_a_version_is_judged_bad_by_its_rollback_until_it_is_promoted_again() -> None:
    """Issued orders are what counts."""
    versions = Versions()
    versions.issue(back("2"))
    assert versions.rejected == {("m", "2")}
    versions.issue(Promote(model="m", version="3", digest="sha-3"))
    versions.issue(StartRollout(model="m", version="2", digest="sha-2"))
    assert versions.rejected == {("m", "2")}
    versions.issue(PROMOTE)
    assert versions.rejected == set()


@pytest.mark.parametrize(
    ("before", "action", "status", "after"),
    [
        (False, "back", Status.FAILED, False),
        (True, "back", Status.FAILED, True),
        (False, "back", Status.SUCCEEDED, True),
        (False, "back", Status.EXPIRED, True),
        (False, "back", Status.SUPERSEDED, True),
        (True, "promote", Status.FAILED, True),
        (False, "promote", Status.FAILED, False),
        (True, "promote", Status.SUCCEEDED, False),
        (True, "promote", Status.EXPIRED, False),
    ],
)
def test_an_order_that_the_world_did_not_do_has_judged_nothing(
    before: bool, action: str, status: Status, after: bool
) -> None:
    """A version whose rollback was refused serves on, and may be gone back to later; one that may have been taken back may not."""
    versions = Versions(rejected={("m", "2")} if before else set())
    order = back("2") if action == "back" else PROMOTE
    versions.issue(order)
    assert (("m", "2") in versions.rejected) is (action == "back")
    versions.end(order, status, "refused: no" if status is Status.FAILED else "")
    assert (("m", "2") in versions.rejected) is after
    assert versions.rejected_before == {}


def test_a_refused_rollback_leaves_the_version_to_go_back_to() -> None:
    """Version 2 could not be taken back, version 3 came after it and is bad: back to 2."""
    policy = Wants(back("2"))
    core = core_of(policy)
    core.step(seen_at(1.0, promoted("1", "2")))
    core.refused(1, "the registry is away")
    policy.actions = []
    assert [o.status for o in core.step(seen_at(6.0, promoted("1", "2"))).outcomes] == [Status.FAILED]
    policy.actions = [back("3", "2")]
    assert actions(core.step(seen_at(100.0, promoted("2", "3")))) == [back("3", "2")]


# -- promotions that fail


def test_a_promotion_that_fails_is_tried_a_few_times_and_then_counts_as_a_failed_rollout() -> None:
    """Not sooner than after a while, since a registry may be away; then policies are shown why it can not serve."""
    policy = Wants(PROMOTE)
    core = core_of(policy)
    given = []
    for n in range(400):
        at_s = 5.0 * n
        decision = core.step(seen_at(at_s, canary()))
        for order in decision.orders:
            given.append(at_s)
            core.refused(order.number, "the registry is away")
    assert given == [0.0, PROMOTION_RETRY_S, 2 * PROMOTION_RETRY_S]
    assert rules(decision) == ["failed_before"]
    assert (decision.vetoes[0].value, decision.vetoes[0].threshold) == (PROMOTION_TRIES, PROMOTION_TRIES)
    failed = [seen.models["m"].rollout.failed for seen in policy.shown]  # type: ignore[union-attr]
    assert failed[:121] == [None] * 121
    assert set(failed[121:]) == {"its promotion failed 3 times"}


def test_a_promotion_that_no_world_was_asked_for_has_not_failed() -> None:
    """The record was away, or could not hold the order: that says nothing of the version."""
    promote = Promote(model="m", version="2", digest="sha-2")
    versions = Versions()
    for detail in sorted(NEVER_SENT):
        versions.end(promote, Status.FAILED, detail)
    assert versions.failed == {}
    versions.end(promote, Status.FAILED, "refused: it does not load")
    assert versions.failed == {("m", "2"): 1}


@pytest.mark.parametrize(
    ("reason", "given"), [(JOURNAL_WAS_AWAY, [0.0, 10.0, 20.0, 30.0]), ("it does not load", [0.0])]
)
def test_a_promotion_that_was_never_sent_is_given_again_at_once(reason: str, given: list[float]) -> None:
    """While the journal is away the core does not count tries that no world has seen."""
    core = core_of(Wants(PROMOTE))
    found = []
    for at_s in (0.0, 10.0, 20.0, 30.0):
        for order in core.step(seen_at(at_s, canary())).orders:
            found.append(at_s)
            core.refused(order.number, reason)
    assert found == given


def test_a_promotion_that_runs_out_of_time_is_tried_again_at_once() -> None:
    """Its deadline was wait enough; after the last try `staged` takes the version back."""
    core = core_of(Staged(stage_min_s=0.0, steps=()))
    moments = [
        (at_s, core.step(seen_at(at_s, canary(comparison=comparison(at_s, rows=3000))))) for at_s in range(0, 1000, 20)
    ]
    assert [(at_s, action.kind) for at_s, decision in moments for action in actions(decision)] == [
        (0, "promote"),
        (300, "promote"),
        (600, "promote"),
        (900, "roll_back"),
    ]
    because = moments[45][1].orders[0].because
    assert because == (Evidence(name="rollout_failed", note="its promotion failed 3 times"),)


@pytest.mark.parametrize("status", [Status.FAILED, Status.EXPIRED])
def test_a_rollback_that_fails_is_no_promotion_that_failed(status: Status) -> None:
    """However often: nothing is said of whether its version could be promoted."""
    versions = Versions()
    for _ in range(PROMOTION_TRIES):
        versions.issue(back())
        versions.end(back(), status, "refused: no")
    assert versions.failed == {}


def test_an_end_of_what_this_agent_did_not_issue_changes_no_mind() -> None:
    """Whether the version was judged bad before, nobody remembers: it stays as it is."""
    versions = Versions(rejected={("m", "2")})
    versions.end(back(), Status.FAILED, "refused: no")
    assert versions == Versions(rejected={("m", "2")})


def test_a_promotion_that_succeeds_is_forgotten_with_its_failures() -> None:
    """And other outcomes count nothing."""
    versions = Versions()
    for status in (Status.FAILED, Status.EXPIRED, Status.SUPERSEDED, Status.DENIED, Status.WITHDRAWN):
        versions.end(PROMOTE, status)
    versions.end(Scale(deployment="a", replicas=1), Status.FAILED)
    assert versions.failed == {("m", "2"): 2}
    versions.end(PROMOTE, Status.SUCCEEDED)
    assert versions.failed == {}


def test_a_failure_that_is_known_is_told_as_it_is() -> None:
    """The world's own word for it is better."""
    versions = Versions(failed={("m", "2"): 3})
    seen = seen_at(1.0, canary(failed="did not load"))
    assert versions.shown(seen) is seen


# -- freeze


@pytest.mark.parametrize("by", ["person", "calendar"])
def test_a_freeze_does_not_keep_an_open_canary_open(by: str) -> None:
    """It keeps from changes; that a bad version answers users is none that anybody wanted to keep."""
    windows = () if by == "person" else (FreezeWindow(start="0 0 * * *", duration_s=86400.0, reason="closing"),)
    controls = Controls(frozen=by == "person")
    take = core_of(Wants(back()), windows=windows)
    assert actions(take.step(seen_at(100.0, canary(share=0.5), controls=controls))) == [back()]


@pytest.mark.parametrize(
    ("action", "seen"),
    [
        (back(), promoted()),
        (back("1", "0"), canary(share=0.5)),
        (SetTraffic(model="m", version="2", share=0.5), canary(share=0.1)),
        (PROMOTE, canary(share=0.5)),
    ],
    ids=["no canary is open", "another version", "a step forward", "a promotion"],
)
def test_a_freeze_keeps_from_everything_else(action: Action, seen: Model) -> None:
    """A champion is changed by no rollback while changes are frozen, nor does a canary go on."""
    decision = core_of(Wants(action)).step(seen_at(100.0, seen, controls=Controls(frozen=True)))
    assert (decision.orders, rules(decision)) == ((), ["freeze"])


# -- files


def test_files_that_are_others_than_at_first_are_told_once_an_hour() -> None:
    """Whose they are, and what a person can say; nothing is done with them meanwhile."""
    exchanged = replace(canary(), candidates=(version("2", digest="f" * 64),))
    core = core_of(
        Wants(Promote(model="m", version="2", digest="f" * 64)), versions=Versions(digests={("m", "2"): "a" * 64})
    )
    first, second = core.step(seen_at(1.0, exchanged)), core.step(seen_at(6.0, exchanged))
    text = (
        "version 2 of m has other files than when it was first seen (digest ffffffffffff instead of aaaaaaaaaaaa), so nothing is "
        "done with it; if the registry was made anew, say `homeostat accept m`"
    )
    assert (first.alerts, second.alerts) == ((Alert(subject="m", text=text, severity="critical"),), ())
    assert (first.orders, rules(first)) == ((), ["digest"])


@pytest.mark.parametrize("place", ["champion", "previous"])
def test_files_of_the_champion_and_the_one_before_are_watched_too(place: str) -> None:
    """What serves, and what would serve after a rollback."""
    core = core_of(Wants(), versions=Versions(digests={("m", "1"): "first"}))
    fields = {"champion": version("3")} | {place: OLD}
    assert [a.subject for a in core.step(seen_at(1.0, model(**fields))).alerts] == ["m"]


def test_files_that_a_person_accepted_are_the_versions_own() -> None:
    """Those very files, no others; and nothing that was thought of the old ones is held against them."""
    made_anew = replace(canary(), candidates=(version("2", digest="new"),))
    promote = Promote(model="m", version="2", digest="new")
    remembered = Versions(digests={("m", "2"): "sha-2"}, rejected={("m", "2")}, failed={("m", "2"): 3})
    core = core_of(Wants(promote), versions=remembered)
    accepted = Controls(accepted=(("m", "2", "new"),))
    decision = core.step(seen_at(1.0, made_anew, controls=accepted))
    assert (actions(decision), decision.alerts) == ([promote], ())
    assert (remembered.rejected, remembered.failed) == (set(), {})
    other = replace(made_anew, candidates=(version("2", digest="again others"),))
    assert [alert.severity for alert in core.step(seen_at(6.0, other, controls=accepted)).alerts] == ["critical"]


@pytest.mark.parametrize(
    ("digest", "after"),
    [
        ("sha-2", Versions(digests={("m", "2"): "sha-2"}, rejected={("m", "2")}, failed={("m", "2"): 3})),
        ("new", Versions(digests={("m", "2"): "new"})),
    ],
)
def test_to_accept_the_files_that_are_known_changes_no_mind(digest: str, after: Versions) -> None:
    """The word stands in what is seen at every look; only other files are another version."""
    versions = Versions(digests={("m", "2"): "sha-2"}, rejected={("m", "2")}, failed={("m", "2"): 3})
    versions.accept(("m", "2"), digest)
    assert versions == after


def test_files_of_a_version_of_which_nothing_was_thought_are_accepted() -> None:
    """Known or not, there is no verdict to forget."""
    versions = Versions(digests={("m", "2"): "sha-2"})
    versions.accept(("m", "2"), "new")
    versions.accept(("m", "3"), "sha-3")
    assert versions == Versions(digests={("m", "2"): "new", ("m", "3"): "sha-3"})


# -- over lives, by the journal


SETTINGS = Settings.model_validate(
    {
        "autonomy": {"default": "act"},
        "journal": {"warm_start_s": 0},
        "models": {"m": {"training": {"recipes": ["logistic"]}}},
    }
)


def lived(journal: MemoryJournal, policy: Any, *seen: Observation) -> list[Decision]:
    core = build_core(SETTINGS, begin(journal, SETTINGS, seen[0].at_s - 0.5))
    core._policies = (("policy", policy),)
    decisions = []
    for each in seen:
        decisions.append(core.step(each))
        journal.append(lines_of(decisions[-1], each))
    return decisions


def test_what_was_judged_bad_is_bad_in_the_next_life() -> None:
    """The journal holds the rollback; the new life, which has seen nothing else, does not go back to it."""
    journal = MemoryJournal()
    lived(journal, Wants(back("2", "1")), seen_at(1.0, canary()))
    after = lived(journal, Wants(back("3", "2")), seen_at(10.0, model()), seen_at(20.0, promoted("2", "3")))
    assert [rules(each) for each in after] == [["judged_bad"], ["judged_bad"]]
    assert begin(journal, SETTINGS, 30.0).rejected == (("m", "2"),)


def test_promotions_that_failed_are_counted_over_lives() -> None:
    """A crash loop is no new try."""
    journal = MemoryJournal()
    for n in range(PROMOTION_TRIES):
        lived(journal, Wants(PROMOTE), seen_at(1000.0 * n, canary()), seen_at(1000.0 * n + 300.0, canary()))
        ended = begin(journal, SETTINGS, 1000.0 * n + 500.0)
        assert ended.failed_promotions == (("m", "2", n + 1),)
        for order in ended.open_orders:
            gone = {"number": order.number, "status": "superseded", "at_s": 0.0, "detail": ""}
            journal.append([(Kind.OUTCOME, 1000.0 * n + 600.0, gone)])
    assert rules(lived(journal, Wants(PROMOTE), seen_at(9000.0, canary()))[0]) == ["failed_before"]


def test_what_a_person_accepted_is_accepted_in_the_next_life() -> None:
    """Also what was thought of the new files since: the old ones' verdict ends with the word, not with every restart."""
    journal = MemoryJournal()
    lived(journal, Wants(back("2", "1")), seen_at(1.0, canary()))
    journal.append([(Kind.CONTROL, 2.0, said("accept", by="ann", model="m", digests={"2": "new", "1": "sha-1"}))])
    beginning = begin(journal, SETTINGS, 3.0)
    assert (beginning.digests, beginning.rejected) == ((("m", "1", "sha-1"), ("m", "2", "new")), ())
    assert journal.controls(3.0).accepted == (("m", "1", "sha-1"), ("m", "2", "new"))
    anew = replace(canary(), candidates=(version("2", digest="new"),))
    lived(journal, Wants(back("2", "1")), seen_at(4.0, anew, controls=journal.controls(4.0)))
    assert begin(journal, SETTINGS, 5.0).rejected == (("m", "2"),)


@pytest.mark.parametrize("lives", [1, 2])
def test_files_are_known_over_lives_though_nothing_was_ever_done_with_them(lives: int) -> None:
    """They were exchanged while no agent looked: whoever does that finds no agent that takes them for the first."""
    journal = MemoryJournal()
    for n in range(lives):
        lived(journal, Wants(), seen_at(1.0 + n, canary()))
    assert begin(journal, SETTINGS, 5.0).digests == (("m", "1", "sha-1"), ("m", "2", "sha-2"))
    assert replay(journal.kept).identical
    exchanged = replace(canary(), candidates=(version("2", digest="other"),))
    after = lived(journal, Wants(Promote(model="m", version="2", digest="other")), seen_at(10.0, exchanged))[0]
    assert ([a.subject for a in after.alerts], rules(after), after.orders) == (["m"], ["digest"], ())
    notes = [note["versions"] for note in journal.of_kind(Kind.NOTE)]
    assert notes == [[["m", "1", "sha-1"], ["m", "2", "sha-2"]]]


@pytest.mark.parametrize("refused", [True, False])
def test_a_rollback_that_was_open_at_a_restart_judges_by_how_it_ends(refused: bool) -> None:
    """The next life sends it again, and is refused or obeyed."""
    journal = MemoryJournal()
    lived(journal, Wants(back("2")), seen_at(1.0, promoted("1", "2")))
    assert begin(journal, SETTINGS, 2.0).rejected_before == (("m", "2", False),)
    core = build_core(SETTINGS, begin(journal, SETTINGS, 3.0))
    for n, seen in enumerate(
        (seen_at(4.0, promoted("1", "2")), seen_at(9.0, promoted("1", "2") if refused else model()))
    ):
        journal.append(lines_of(core.step(seen), seen))
        if n == 0 and refused:
            core.refused(1, "no")
            journal.append([(Kind.REFUSED, 4.0, {"number": 1, "reason": "no"})])
    assert begin(journal, SETTINGS, 10.0).rejected == (() if refused else (("m", "2"),))


def test_a_life_that_begins_with_all_of_that_replays() -> None:
    """What is remembered stands in the start's own entry."""
    journal = MemoryJournal()
    for at_s in (1.0, 400.0, 800.0):
        core = build_core(SETTINGS, begin(journal, SETTINGS, at_s - 0.5))
        for seen in (seen_at(at_s, canary()), seen_at(at_s + 300.0, deployment(), canary())):
            journal.append(lines_of(core.step(seen), seen))
    assert replay(journal.kept).identical
