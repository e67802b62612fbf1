"""Words with a form of their own: cron expressions, conditions on results, import paths, moments."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from agent.cron import cron, faults
from agent.settings import FreezeWindow
from policies.imports import ImportRefused, found, packages
from policies.registry import BadParameter, UnknownPolicy, build, names
from simulators.expectations import ExpectationError, check, parse
from simulators.scenario import known_measures
from simulators.tuning_choice import Condition
from tests.fuzz.fuzzing import fuzzed, in_words
from tests.fuzz.inputs import odd_values, odd_words, spoilt_texts

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
CRON = ["0 3 1 * 1", "*/5 * * * *", "0 0 1,15 * mon-fri", "59 23 31 dec 0-7", "0 3 29 2 */2", "1-5/2 4 * jan-mar fri"]
cron_fields = st.text("0123456789*/,-ljanfebmonsun ", max_size=8)
CONDITIONS = [
    "slo_violation_rate < 0.02",
    "models.fraud model.p99_s >= 1e-3",
    "models.a/b.replicas_max != -.5",
    "replica_hours <= 1.1 * before",
]


@fuzzed(8_000)
@given(st.one_of(spoilt_texts(CRON), st.lists(cron_fields, min_size=3, max_size=6).map(" ".join)))
def test_any_expression_falls_due_in_order_or_is_refused(expression: str) -> None:
    """One that never falls due is refused as well, and each answer comes at once."""
    told = list(faults({"x": expression}, [FreezeWindow(start=expression, duration_s=60.0)]))
    assert len(told) in (0, 2)
    if told:
        return
    first = cron(expression).get_next_fire_time(None, BEGIN)
    second = cron(expression).get_next_fire_time(first, first)
    assert first is not None
    assert BEGIN <= first < second


@fuzzed(7_000)
@given(st.one_of(spoilt_texts(CONDITIONS), st.text(max_size=60), st.text("<>=! a.1eE-+*before", max_size=400)))
def test_any_condition_is_checked_or_refused(text: str) -> None:
    """Of results and of tunings."""
    measures = known_measures(["fraud model", "a/b", "a"])
    try:
        check(parse(text), measures)
    except ExpectationError as error:
        in_words(error)
    try:
        Condition.parse(text)
    except ExpectationError as error:
        in_words(error)


@fuzzed(3_000)
@given(
    st.one_of(
        odd_words,
        st.text("abc._:", max_size=20),
        st.sampled_from(["os:system", "subprocess:Popen", "policies.idle:Idle"]),
    )
)
def test_no_path_leads_out_of_what_is_allowed(path: str) -> None:
    """Whatever it looks like."""
    try:
        cls = found(path, packages(["policies"]), ("propose",))
    except ImportRefused:
        return
    assert cls.__module__.startswith("policies")


@fuzzed(6_000)
@given(st.sampled_from(names()), st.data())
def test_any_parameter_is_taken_or_refused(use: str, data: st.DataObject) -> None:
    """By every policy there is."""
    from inspect import signature

    from policies.registry import _find

    known = sorted(signature(_find(use, ())).parameters)
    parameters = data.draw(
        st.dictionaries(st.one_of(st.sampled_from(known), odd_words) if known else odd_words, odd_values, max_size=3)
    )
    if "policy" in known and data.draw(st.booleans()):
        parameters["policy"] = {"use": "idle"}
    try:
        build(use, parameters)
    except (UnknownPolicy, BadParameter) as error:
        in_words(error, use, "unknown policy")
