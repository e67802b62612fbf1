"""What people are told at once: suggestions, questions, failures; each once, and again when it changes."""

from dataclasses import replace
from typing import Any

import pytest

from agent.arbiter import Veto
from agent.core import Decision, Suggestion
from agent.notices import Notices
from agent.order import Autonomy, Order, Outcome, Status
from policies.action import Action, Alert, Evidence, Proposal, Restart, RollBack, Scale

WHY = (Evidence(name="utilization", value=0.9, threshold=0.7),)
RESTART = Restart(deployment="a/m", replica="r1")


def order(number: int, action: Action = RESTART, at_s: float = 0.0) -> Order:
    return Order(
        number=number, epoch=1, key=str(number), action=action, because=WHY, policy="p", issued_at_s=at_s, deadline_s=at_s + 60.0
    )  # fmt: skip


def suggestion(replicas: int, autonomy: Autonomy = Autonomy.SUGGEST, name: str = "a/m") -> Suggestion:
    return Suggestion(
        proposal=Proposal(action=Scale(deployment=name, replicas=replicas), because=WHY), autonomy=autonomy
    )


def notices() -> Notices:
    return Notices(approval_expires_s=3600.0)


def told(notices: Notices, **decided: Any) -> list[Alert]:
    return list(notices.of(Decision(**({"at_s": 0.0} | decided))))


def test_a_suggestion_is_told_once_and_again_when_it_changes() -> None:
    """Not at every tick; what would be done, why, and that it is not."""
    people = notices()
    (first,) = told(people, suggestions=(suggestion(4),))
    assert first == Alert(
        subject="suggestion for a/m",
        text="it would scale a/m to 4 replicas, because of utilization 90 % against 70 % (not done: its autonomy is suggest)",
        severity="info",
    )
    assert told(people, at_s=1.0, suggestions=(suggestion(4),)) == []
    (second,) = told(people, at_s=2.0, suggestions=(suggestion(5),))
    assert "to 5 replicas" in second.text


def test_a_suggestion_that_comes_and_goes_is_told_once_an_hour() -> None:
    """It flaps; the pager does not. One that is gone for an hour is news again."""
    people = notices()
    texts = [told(people, at_s=60.0 * n, suggestions=(suggestion(4),) if n % 2 == 0 else ()) for n in range(20)]
    assert [len(each) for each in texts] == [1, *[0] * 19]
    assert told(people, at_s=5000.0) == []
    assert len(told(people, at_s=5001.0, suggestions=(suggestion(4),))) == 1


def test_what_is_only_observed_is_told_nobody() -> None:
    """It is written down, and that is all."""
    assert told(notices(), suggestions=(suggestion(4, Autonomy.OBSERVE),)) == []


def test_an_order_that_waits_is_told_once_with_the_words_that_answer_it() -> None:
    """By when, too: nobody answering means no."""
    people = notices()
    (asked,) = told(people, awaiting=(order(17),))
    text = "it wants to replace replica r1 of a/m, because of utilization 90 % against 70 %. Answer with `homeostat approve 17` or"
    text += " `homeostat deny 17` until 1 January 1970 01:00 UTC; no answer means no"
    assert asked == Alert(subject="order 17 waits for approval", text=text, severity="warning")
    assert told(people, at_s=1.0, awaiting=(order(17),)) == []
    (civil,) = Notices(approval_expires_s=3600.0).of(Decision(at_s=0.0, awaiting=(order(17),)), clock_ahead_s=600.0)
    assert "until 1 January 1970 00:50 UTC" in civil.text
    (again,) = told(people, at_s=2.0, awaiting=(order(18),))
    assert again.subject == "order 18 waits for approval"


@pytest.mark.parametrize(
    ("status", "detail", "severity"),
    [
        (Status.FAILED, "refused: no such replica", "warning"),
        (Status.EXPIRED, "the deadline passed", "warning"),
        (Status.DENIED, "nobody approved it in time", "info"),
    ],
)
def test_an_order_that_came_to_nothing_is_told_with_what_it_was(status: Status, detail: str, severity: str) -> None:
    """And where to read more."""
    people = notices()
    told(people, orders=(order(3),))
    ended = Outcome(number=3, status=status, at_s=9.0, detail=detail)
    text = f"replace replica r1 of a/m: {detail}. `homeostat why 3` tells more"
    assert told(people, outcomes=(ended,)) == [Alert(subject=f"order 3 {status}", text=text, severity=severity)]


@pytest.mark.parametrize("status", [Status.SUCCEEDED, Status.SUPERSEDED])
def test_an_order_that_did_what_it_should_or_was_replaced_is_told_nobody(status: Status) -> None:
    """`homeostat orders` lists it."""
    assert told(notices(), outcomes=(Outcome(number=3, status=status, at_s=9.0),)) == []


def test_who_said_no_is_not_told_so() -> None:
    """They know."""
    people = notices()
    told(people, awaiting=(order(3),))
    ended = Outcome(number=3, status=Status.DENIED, at_s=9.0, detail="a person said no")
    assert people.of(Decision(at_s=9.0, outcomes=(ended,)), denied=(3,)) == ()


def test_an_order_of_an_earlier_life_is_told_in_words() -> None:
    """It was known before the first decision."""
    people = notices()
    people.know([order(3)])
    (ended,) = told(people, outcomes=(Outcome(number=3, status=Status.EXPIRED, at_s=9.0, detail="too late"),))
    assert ended.text.startswith("replace replica r1 of a/m: too late")


def test_many_at_once_are_one_notice() -> None:
    """A fleet that is watched for the first time is one message, not a hundred; the gravest gives the severity."""
    many = tuple(suggestion(4, name=f"app{n}/m") for n in range(100))
    (one,) = told(notices(), suggestions=many)
    assert (one.subject, one.severity, len(one.text.splitlines())) == ("100 suggestions", "info", 6)
    assert one.text.splitlines()[-1] == "and 95 more"
    ends = (
        Outcome(number=1, status=Status.DENIED, at_s=9.0, detail="nobody approved it in time"),
        Outcome(number=2, status=Status.FAILED, at_s=9.0, detail="it failed"),
    )
    (both,) = told(notices(), outcomes=ends)
    assert (both.subject, both.severity) == ("2 orders did not succeed", "warning")


def test_people_are_reminded_once_when_half_of_the_time_is_over() -> None:
    """With the same words and the same end."""
    people = notices()
    subjects = []
    for at_s in range(0, 3600, 600):
        subjects += [alert.subject for alert in told(people, at_s=float(at_s), awaiting=(order(17),))]
    assert subjects == ["order 17 waits for approval", "order 17 still waits for approval"]


@pytest.mark.parametrize("until_s", [600.0, 1799.0, 1800.0], ids=["early", "just before", "reminded"])
def test_a_new_life_asks_nobody_again(until_s: float) -> None:
    """What waits was asked for in the life before."""
    people = notices()
    people.resume([order(17)], [], until_s)
    assert told(people, at_s=until_s, awaiting=(order(17),)) == []


def test_a_new_life_reminds_where_the_one_before_had_not() -> None:
    """Half of the time was over while no agent ran: one reminder. Where people were reminded, none."""
    fresh, reminded = notices(), notices()
    fresh.resume([order(17)], [], 600.0)
    reminded.resume([order(17)], [], 2000.0)
    waiting = {"at_s": 2400.0, "awaiting": (order(17),)}
    assert [alert.subject for alert in told(fresh, **waiting)] == ["order 17 still waits for approval"]
    assert told(reminded, **waiting) == []


def test_a_new_life_suggests_nothing_again() -> None:
    """Unless the life before suggested something else, or long ago."""
    people = notices()
    people.resume([], [Scale(deployment="a/m", replicas=4)], 100.0)
    assert told(people, at_s=110.0, suggestions=(suggestion(4),)) == []
    assert len(told(people, at_s=120.0, suggestions=(suggestion(5),))) == 1
    late = notices()
    late.resume([], [Scale(deployment="a/m", replicas=4)], 100.0)
    assert told(late, at_s=4000.0) == []
    assert len(told(late, at_s=4001.0, suggestions=(suggestion(4),))) == 1


def frozen(action: Action, rule: str = "freeze") -> Veto:
    return Veto(proposal=Proposal(action=action, because=WHY, policy="staged"), rule=rule, reason="say `homeostat ...`")


def test_a_rollback_that_a_freeze_keeps_back_is_told_once_with_the_words_that_let_it_through() -> None:
    """People must know at once that what answers their users is bad; a scale that waits tells nobody, nor does another rule."""
    people = notices()
    back = RollBack(model="m", version="2", to="1", to_digest="sha-1")
    (first,) = told(people, vetoes=(frozen(back), frozen(RESTART), frozen(replace(back, model="n"), "digest")))
    text = "it would roll version 2 of m back to version 1, because of utilization 90 % against 70 %, but say `homeostat ...`"
    assert first == Alert(subject="rollback of m", text=text, severity="critical")
    assert [told(people, at_s=10.0 * n, vetoes=(frozen(back),)) for n in range(1, 3)] == [[], []]
    assert told(people, at_s=3700.0) == []
    assert len(told(people, at_s=3710.0, vetoes=(frozen(back),))) == 1
