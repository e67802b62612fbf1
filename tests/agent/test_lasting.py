"""Problems that last are told once, and so is their end."""

from agent.lasting import LastingProblems
from policies.action import Alert
from policies.observation import Observation

BLIND = "deployment shop/Model: its load is not known, 2 of its 4 replicas can not be read"
WORSE = "deployment shop/Model: its load is not known, 3 of its 4 replicas can not be read"
TOLD = Alert(subject="deployment shop/Model", text=f"for 60 s: {WORSE}", severity="warning")
OVER = Alert(
    subject="deployment shop/Model", text="deployment shop/Model: it is as it should be again", severity="info"
)


def played(*looks: tuple[float, tuple[str, ...]]) -> list[tuple[float, Alert]]:
    """(moment, alert) of all that was told."""
    lasting = LastingProblems()
    return [
        (at_s, alert)
        for at_s, problems in looks
        for alert in lasting.see(Observation(at_s=at_s, problems=problems))
    ]  # fmt: skip


def test_a_problem_that_lasts_a_minute_is_told_once_with_its_newest_words_and_so_is_its_end() -> None:
    """Its words may change meanwhile: it is about the same thing."""
    looks = [(0.0, (BLIND,)), (59.0, (WORSE,)), (60.0, (WORSE,)), (300.0, (BLIND,)), (305.0, ()), (310.0, ())]
    assert played(*looks) == [(60.0, TOLD), (305.0, OVER)]


def test_a_problem_of_one_look_is_nobodys_business() -> None:
    """Nor is one that comes and goes for less than a minute at a time; nobody is told of the end of what was not told."""
    assert played((0.0, (BLIND,)), (30.0, ()), (60.0, (BLIND,)), (90.0, ())) == []


def test_a_problem_that_comes_back_is_told_again_after_an_hour() -> None:
    """Not each time that a network flickers."""
    looks = [(0.0, (WORSE,)), (60.0, (WORSE,)), (70.0, ()), (100.0, (WORSE,)), (1000.0, (WORSE,))]
    assert played(*looks, (3700.0, (WORSE,))) == [(60.0, TOLD), (70.0, OVER), (3700.0, TOLD)]


def test_problems_about_different_things_are_told_each() -> None:
    """In the order in which they were seen."""
    serve = "Serve: can not be read, ServeAway: refused"
    told = played((0.0, (serve, BLIND)), (60.0, (serve, WORSE)))
    assert told == [(60.0, Alert(subject="Serve", text=f"for 60 s: {serve}", severity="warning")), (60.0, TOLD)]
