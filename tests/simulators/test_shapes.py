"""Numbers that are fine one by one and can not be played together are refused before a run, each at its own key."""

from pathlib import Path

import pytest

from simulators import mishaps
from simulators.batch import play
from simulators.plan import Task
from simulators.scenario import ScenarioError, parse_scenario

SCENARIO = """\
name: shapes
duration_s: 600
cluster: {nodes: [%(nodes)s]}
models:
  shop:
    slo_latency_s: 0.5
    traffic: [%(traffic)s]
    service: %(service)s
    %(model)s
%(top)s
"""
PLAIN = {
    "nodes": "{name: node, count: 2, cpus: 8}",
    "traffic": "{kind: steady, rate_rps: 5}",
    "service": "{kind: constant, seconds: 0.05}",
    "model": "replicas: 1",
    "top": "seed: 1",
}
TRAFFIC = "f:7: models.shop.traffic[0]"
KINDS = "steady, pieces, diurnal, ramp, step, flash_crowd, bursts or trace"
REFUSED = {
    "two weekdays": (
        {"traffic": "{kind: diurnal, mean_rps: 5, swing: 0.5, weekdays: [1, 2]}"},
        f"{TRAFFIC}.weekdays: found 2 values; expected 7, one for each day from Monday on",
    ),
    "eight weekdays": (
        {"traffic": "{kind: diurnal, mean_rps: 5, swing: 0.5, weekdays: [1, 1, 1, 1, 1, 1, 1, 1]}"},
        f"{TRAFFIC}.weekdays: found 8 values; expected 7, one for each day from Monday on",
    ),
    "times that go back": (
        {"traffic": "{kind: pieces, times_s: [0, 60, 30], rates_rps: [1, 2, 3]}"},
        f"{TRAFFIC}.times_s[2]: found 30 after 60; expected at least that",
    ),
    "more rates than times": (
        {"traffic": "{kind: pieces, times_s: [0], rates_rps: [1, 2]}"},
        f"{TRAFFIC}.rates_rps: found 2 values; expected 1, one for each of times_s",
    ),
    "no times": (
        {"traffic": "{kind: pieces, times_s: [], rates_rps: [1]}"},
        f"{TRAFFIC}.times_s: found []; expected at least 1 value",
    ),
    "a ramp that goes back in time": (
        {"traffic": "{kind: ramp, from_rps: 1, to_rps: 9, begin_s: 60, end_s: 10}"},
        f"{TRAFFIC}.end_s: found 10; expected at least begin_s, 60",
    ),
    "fewer stays than states": (
        {"traffic": "{kind: bursts, rates_rps: [1, 2, 3], stays_s: [60, 5]}"},
        f"{TRAFFIC}.stays_s: found 2 values; expected 3, one for each of rates_rps",
    ),
    "a state alone": (
        {"traffic": "{kind: bursts, rates_rps: [1], stays_s: [60]}"},
        f"{TRAFFIC}.rates_rps: found [1]; expected at least 2 values\n"
        f"{TRAFFIC}.stays_s: found [60]; expected at least 2 values",
    ),
    "a trace that ends before it begins": (
        {"traffic": "{kind: trace, path: nowhere.csv, from_s: 60, until_s: 60}"},
        f"{TRAFFIC}.until_s: found 60; expected more than from_s, 60",
    ),
    "a part of a trace by another clock": (
        {"traffic": "{kind: trace, path: nowhere.csv, from_s: 1764345600}"},
        f"{TRAFFIC}.from_s: found 1764345600; expected seconds from the trace's first request on, "
        "from which times since 1970 are counted too",
    ),
    "a pattern that is spelt with a capital": (
        {"traffic": "{kind: Ramp, from_rps: 1, to_rps: 9, begin_s: 0, end_s: 10}"},
        f"{TRAFFIC}.kind: found 'Ramp'; expected one of {KINDS}; did you mean 'ramp'?",
    ),
    "a pattern without a kind": (
        {"traffic": "{rate_rps: 1}"},
        f"{TRAFFIC}.kind: missing; expected one of {KINDS}",
    ),
    "a pattern that is a number": ({"traffic": "5"}, f"{TRAFFIC}: found 5; expected a mapping of keys to values"),
    "quantiles that fall": (
        {"service": "{kind: empirical, seconds: [0.1, 0.3, 0.2]}"},
        "f:8: models.shop.service.seconds[2]: found 0.2 after 0.3; expected at least that",
    ),
    "fewer probabilities than quantiles": (
        {"service": "{kind: empirical, seconds: [0.1, 0.2, 0.3], probabilities: [0, 1]}"},
        "f:8: models.shop.service.probabilities: found 2 values; expected 3, one for each of seconds",
    ),
    "probabilities of each instead of up to each": (
        {"service": "{kind: empirical, seconds: [0.1, 0.2, 0.3], probabilities: [0.5, 0.25, 0.25]}"},
        "f:8: models.shop.service.probabilities[1]: found 0.25 after 0.5; expected more, as each is of taking at most so long",
    ),
    "probabilities that end below one": (
        {"service": "{kind: empirical, seconds: [0.1, 0.2], probabilities: [0, 0.9]}"},
        "f:8: models.shop.service.probabilities[1]: found 0.9; expected 1, since they ascend from 0 to 1",
    ),
    "probabilities that begin above zero": (
        {"service": "{kind: empirical, seconds: [0.1, 0.2], probabilities: [0.5, 1]}"},
        "f:8: models.shop.service.probabilities[0]: found 0.5; expected 0, since they ascend from 0 to 1",
    ),
    "a negative probability": (
        {"service": "{kind: empirical, seconds: [0.1, 0.2], probabilities: [-0.5, 1]}"},
        "f:8: models.shop.service.probabilities[0]: found -0.5; expected at least 0",
    ),
    "a lognormal whose mean takes years": (
        {"service": "{kind: lognormal, scale_s: 1, shape: 9}"},
        "f:8: models.shop.service.shape: found 9, a mean of 3.88e+17 s together with scale_s; expected at most 1e+09 s",
    ),
    "a cold start that is measured wrongly": (
        {"top": "lifecycle: {cold_start: {kind: empirical, seconds: [2, 1]}}"},
        "f:10: lifecycle.cold_start.seconds[1]: found 1 after 2; expected at least that",
    ),
    "the same in a model of its own": (
        {"model": "lifecycle: {cold_start: {kind: empirical, seconds: [2, 1]}}"},
        "f:9: models.shop.lifecycle.cold_start.seconds[1]: found 1 after 2; expected at least that",
    ),
    "an overhead that falls": (
        {"model": "overhead: {kind: empirical, seconds: [2, 1]}"},
        "f:9: models.shop.overhead.seconds[1]: found 1 after 2; expected at least that",
    ),
    "a router whose time comes by tokens": (
        {"model": "router: {kind: tokens, prompt_token_s: 1, output_token_s: 1}"},
        "f:9: models.shop.router.kind: found 'tokens'; expected one of constant, exponential, lognormal or empirical",
    ),
    "tokens without a trace": (
        {"service": "{kind: tokens, prompt_token_s: 0.1, output_token_s: 0.1}"},
        "f:8: models.shop.service: tokens come with a trace; expected one trace as all traffic of this model",
    ),
    "bounds that are crossed": (
        {"model": "{min_replicas: 4, max_replicas: 2}".strip("{}").replace(", ", "\n    ")},
        "f:10: models.shop.max_replicas: found 2; expected at least min_replicas, 4",
    ),
    "two kinds of nodes of one name": (
        {"nodes": "{count: 1, cpus: 8}, {count: 1, cpus: 2}"},
        "f:3: cluster.nodes[1].name: found 'node', as cluster.nodes[0] is called; expected another name",
    ),
    "a node that is taken away and is no spot node": (
        {"nodes": "{count: 1, cpus: 8, preemptions_per_hour: 2}"},
        "f:3: cluster.nodes[0].preemptions_per_hour: found 2 with `spot: false`; expected it with `spot: true`",
    ),
    "more preemptions than can be played": (
        {
            "nodes": "{count: 5000, cpus: 8, spot: true, preemptions_per_hour: 3600, back_after_s: 0.1, preemption_notice_s: 0}"
        },
        "f:3: cluster.nodes: found about 2,727,273 preemptions in the run; expected at most 1,000,000",
    ),
    "a quota that covers nobody": (
        {"nodes": "{count: 1, cpus: 8}], quotas: [{models: ['*', 'zz*'], cpus: 9}"},
        "f:3: cluster.quotas[0].models[1]: found 'zz*', which matches no model; expected a glob over shop",
    ),
    "a node without a name": (
        {"nodes": "{name: '', count: 1, cpus: 8}"},
        "f:3: cluster.nodes[0].name: found ''; expected a name, not blanks",
    ),
    "a schedule that is called nothing": (
        {"top": "schedules: {' ': '0 3 * * *'}"},
        "f:10: schedules. : found ' '; expected a name, not blanks",
    ),
    "a policy whose schedule there is not": (
        {"top": "policies: [{use: scheduled, schedule: nightly}]"},
        "f:10: policies[0].schedule: found 'nightly'; expected a name under schedules (none)",
    ),
    "a fault of a model that is misspelt": (
        {"top": "faults: [{at_s: 5, kind: hang, model: Shop}, {at_s: 5, kind: node_loss, node: node1}]"},
        "f:10: faults[0].model: found 'Shop'; expected one of shop; did you mean 'shop'?\n"
        "f:10: faults[1].node: found 'node1'; expected one of node-1, node-2; did you mean 'node-1'?",
    ),
    "labels of a model that learns nothing": (
        {"top": "faults: [{at_s: 5, kind: labels_late, model: shop}]"},
        "f:10: faults[0].kind: found 'labels_late', which is about models with `learning`; shop is without",
    ),
    "the registry where nothing learns": (
        {"top": "faults: [{at_s: 5, kind: registry_away}]"},
        "f:10: faults[0].kind: found 'registry_away', which is about models with `learning`; every model is without",
    ),
    "a freeze of one model": (
        {"top": "people: [{at_s: 5, says: freeze, model: shop}]"},
        "f:10: people[0].model: found with `says: freeze`, which is about everything; expected with approve, deny or rollback only",
    ),
    "an answer that is looked for once, for an hour": (
        {"top": "people: [{at_s: 5, says: approve, for_s: 3600}]"},
        "f:10: people[0].for_s: found without every_s; expected with it, since they look once without",
    ),
}


@pytest.mark.parametrize(("changed", "told"), REFUSED.values(), ids=REFUSED)
def test_a_shape_that_can_not_be_played_is_refused_at_its_key(changed: dict[str, str], told: str) -> None:
    """With file and line, what was found and what was expected, and nothing else."""
    with pytest.raises(ScenarioError) as error:
        parse_scenario(SCENARIO % (PLAIN | changed), "f", Path())
    assert str(error.value) == told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("' shop'", "found ' shop'; expected 'shop', without blanks around it"),
        ("''", "found ''; expected a name, not blanks"),
        ('"a\\tb"', "found 'a\\tb'; expected a name without control characters"),
        ("x" * 300, "expected a name of at most 200 characters, not 300"),
    ],
)
def test_a_model_is_called_by_a_name_that_people_can_see(name: str, told: str) -> None:
    """As deployments are, whose names begin with it."""
    with pytest.raises(ScenarioError) as error:
        parse_scenario((SCENARIO % PLAIN).replace("  shop:", f"  {name}:"), "f", Path())
    assert [line for line in str(error.value).splitlines() if not line.startswith("f:5: models.")] == []
    assert told in str(error.value)


def test_what_is_done_for_a_model_with_a_slash_in_its_name_counts_as_its_own() -> None:
    """Names are as they are on a hub; a deployment is the last part behind it."""
    text = (SCENARIO % (PLAIN | {"top": "policies: [{use: static, replicas: {'*': 2}}]"})).replace(
        "  shop:", "  hub/shop:"
    )
    told = play(Task(scenario=parse_scenario(text, "f", Path()), seed=1), lambda at_s: None, drawn=False).told
    assert told["models"]["hub/shop"]["scale_orders"] == told["totals"]["scale_orders"] == 1


def test_what_is_to_happen_after_the_end_is_a_note_of_the_result() -> None:
    """A fault, a person, a first look."""
    late = "faults: [{at_s: 601, kind: hang}, {at_s: 600, kind: hang}]\npeople: [{at_s: 700, says: freeze}]\n"
    scenario = parse_scenario(
        SCENARIO % (PLAIN | {"top": f"{late}first_tick_s: 601\npolicies: [{{use: idle}}]"}), "f", Path()
    )
    assert play(Task(scenario=scenario, seed=1), lambda at_s: None, drawn=False).told["notes"] == [
        "faults[0].at_s: found 601; the run ends at 600 s, so nothing comes of it",
        "people[0].at_s: found 700; the run ends at 600 s, so nothing comes of it",
        "first_tick_s: found 601; the run ends at 600 s, so the policies are never asked",
    ]


def test_a_measure_that_is_misspelt_says_what_was_meant() -> None:
    """Of the whole, or of a model."""
    with pytest.raises(ScenarioError) as error:
        parse_scenario(
            SCENARIO % (PLAIN | {"top": "expect: [slo_violation_rat < 1, models.shop.p99 < ٣, models.shop.p99 < 1]"}),
            "f",
            Path(),
        )
    told = [line.rpartition("; ")[2] for line in str(error.value).splitlines()]
    assert told == [
        "did you mean 'slo_violation_rate'?",
        "expected a measure, a comparison and a number, as in 'slo_violation_rate < 0.02'",
        "did you mean 'p99_s'?",
    ]


def test_a_bad_version_that_is_played_gives_a_part_of_its_answers_wrongly() -> None:
    """More than all of them is no part."""
    with pytest.raises(ScenarioError) as error:
        parse_scenario(
            SCENARIO % (PLAIN | {"model": "learning: {fidelity: played, generate: {}, bad_versions: {2: 5}}"}),
            "f",
            Path(),
        )
    assert (
        str(error.value)
        == "f:9: models.shop.learning.bad_versions.2: found 5; expected a part of its answers, from 0 to 1"
    )


def test_a_glob_of_a_policy_that_matches_nothing_is_a_note_of_the_result() -> None:
    """Since the policies of one file are played in many scenarios."""
    top = "policies: [{use: static, replicas: {shop: 3}}, {use: idle, targets: [shop, spam]}]"
    scenario = parse_scenario(SCENARIO % (PLAIN | {"top": top}), "f", Path())
    told = play(Task(scenario=scenario, seed=1), lambda at_s: None, drawn=False).told["notes"]
    nothing = "matches nothing here, so nothing comes of it; expected a glob over"
    assert told == [
        f"policies[0].replicas.shop: 'shop' {nothing} shop/ModelServer; did you mean 'shop/ModelServer'?",
        f"policies[1].targets[1]: 'spam' {nothing} shop or shop/ModelServer",
    ]


@pytest.mark.parametrize(
    "changed",
    [
        {"traffic": "{kind: pieces, times_s: [0, 60, 60], rates_rps: [1, 2, 30]}"},
        {"traffic": "{kind: ramp, from_rps: 1, to_rps: 9, begin_s: 60, end_s: 60}"},
        {"traffic": "{kind: diurnal, mean_rps: 5, swing: 0.5, weekdays: [1, 1, 1, 1, 1, 0, 0]}"},
        {"service": "{kind: empirical, seconds: [0.1, 0.1, 0.2], probabilities: [0, 0.9, 1]}"},
        {"top": "people: [{at_s: 5, says: approve, model: shop, every_s: 10, for_s: 60}]"},
        {"model": "min_replicas: 2\n    max_replicas: 2\n    replicas: 2"},
    ],
)
def test_what_lies_on_the_border_can_be_played(changed: dict[str, str]) -> None:
    """A jump in no time, days without requests, quantiles that are the same."""
    scenario = parse_scenario(SCENARIO % (PLAIN | changed), "f", Path())
    assert play(Task(scenario=scenario, seed=1), lambda at_s: None, drawn=False).told["error"] is None


@pytest.mark.parametrize("text", ["minute,shop\n0,5\n", "t_s\n1\n", "t_s,prompt_tokens\n1,5\n"])
def test_service_by_tokens_needs_them_in_the_trace(tmp_path: Path, text: str) -> None:
    """Of each request, how many it reads and how many it writes."""
    (tmp_path / "t.csv").write_text(text)
    names = {"minute,shop\n0,5\n": "shop", "t_s\n1\n": "times alone"}.get(text, "prompt_tokens")
    changed = {
        "traffic": "{kind: trace, path: t.csv}",
        "service": "{kind: tokens, prompt_token_s: 0.01, output_token_s: 0.1}",
    }
    with pytest.raises(ScenarioError) as error:
        parse_scenario(SCENARIO % (PLAIN | changed), "f", tmp_path)
    told = f"found a trace of {names}; expected the columns prompt_tokens and output_tokens of each request"
    assert str(error.value) == f"{TRAFFIC}.path: {told}, since service is by tokens"


def test_tokens_are_found_by_their_names(tmp_path: Path) -> None:
    """Wherever their columns stand."""
    (tmp_path / "t.csv").write_text("t_s,user,output_tokens,prompt_tokens\n1,99,3,5\n")
    changed = {
        "traffic": "{kind: trace, path: t.csv}",
        "service": "{kind: tokens, prompt_token_s: 0.01, output_token_s: 0.1}",
    }
    scenario = parse_scenario(SCENARIO % (PLAIN | changed), "f", tmp_path)
    told = play(Task(scenario=scenario, seed=1), lambda at_s: None, drawn=False).told
    assert told["models"]["shop"]["p50_s"] == pytest.approx(0.35, rel=0.05)


# -- the last net ------------------------------------------------------------------------------------------------

FALLS = {
    "traffic": ("simulators.staging.Poisson", "7: models.shop.traffic[0]"),
    "a fault": ("simulators.faults.lose_node", "10: faults[0]"),
    "a person": ("simulators.people.said", "11: people[0]"),
    "requests": ("simulators.requests.RequestKernel.advance", "5: models.shop"),
    "the agent": ("simulators.run.assemble", "12: policies"),
}


@pytest.mark.parametrize(("broken", "where"), FALLS.values(), ids=FALLS)
def test_a_run_that_falls_over_names_file_line_and_the_nearest_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str, where: str
) -> None:
    """Whatever part of it was to blame; the traceback follows."""

    def falls(*given: object, **named: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(broken, falls)
    top = "faults: [{at_s: 5, kind: node_loss}]\npeople: [{at_s: 5, says: freeze}]\npolicies: [{use: idle}]"
    file = tmp_path / "f.scenario.yaml"
    file.write_text(SCENARIO % (PLAIN | {"top": top}))
    scenario = parse_scenario(file.read_text(), str(file), tmp_path)
    told = play(Task(scenario=scenario, seed=1), lambda at_s: None, drawn=False).told["error"].splitlines()
    assert told[:2] == [
        f"{file}:{where}: the run fell over: RuntimeError: out of luck",
        "Traceback (most recent call last):",
    ]


def test_a_run_of_which_nothing_is_known_names_its_file() -> None:
    """The first line, where no key is known and the file is gone."""
    assert mishaps.told(ValueError("x"), "gone.yaml") == "gone.yaml:1: the run fell over: ValueError: x"
