"""Files of people and of strangers: whatever stands in them, they are read, or refused with file, line and what was expected."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.advice import advice
from agent.settings import Settings
from agent.settings_file import SettingsError, parse
from agent.strict_yaml import FileFault, read
from simulators.data_files import ScenarioError
from simulators.plan import BadInput
from simulators.run import Simulation
from simulators.scenario import load_policies, parse_scenario
from simulators.tuning_problem import load as load_space
from tests.fuzz.fuzzing import fuzzed, in_words
from tests.fuzz.inputs import as_yaml, odd_leaves, odd_words, spoilt_texts, spoilt_values
from tests.fuzz.shapes import shaped_scenarios
from tests.simulators.tuned import SCENARIO, SPACE

ROOT = Path(__file__).parents[2]
CONFIGURATIONS = [
    file.read_text()
    for file in sorted(ROOT.glob("examples/*/homeostat.yaml"))
    if "examples." not in file.read_text()  # a recipe of the examples needs its package allowed
] + [
    """\
name: shop
tick_s: 2
autonomy: {default: suggest, scale: act}
budget: {replicas: 12, cpus: 8, retrainings_per_day: 2}
guards:
  blast_radius: 0.5
  cool_down_s: {scale: 30}
  freeze_windows: [{start: "0 22 * * 5", duration_s: 7200, reason: weekend}]
deadlines: {scale_s: 60}
journal: {url: "sqlite:///j.db"}
deployments: {ranker/Ranker: {min_replicas: 1, max_replicas: 6, slo_latency_s: 0.5, probe: ranker}}
models:
  fraud:
    application: checkout
    deployment: {slo_latency_s: 0.2}
    drift: {loss: brier, monitors: [{kind: error_drift, use: adwin, signal: loss, parameters: {delta: 1e-6}}]}
    training: {recipes: [logistic, prior], trials: 4}
schedules: {nightly: "0 3 * * 1-5", report: "30 6 1 * *"}
policies:
  - use: replace_unhealthy
  - {use: scheduled, schedule: nightly}
  - {use: patient, patience_s: 30, policy: {use: target_utilization, target: 0.7}}
  - {use: joint, budget: 8, weights: {"ranker/*": 2}}
""",
]
SHIPPED = [file.read_text() for file in sorted(ROOT.glob("scenarios/*.yaml"))]
SCENARIOS = [text for text in SHIPPED if "path:" not in text and "stream:" not in text]
NAME = "file.yaml"
TOLD = re.compile(rf"({re.escape(NAME)}:\d+: .+|and more of them|[A-Z_]+__[^:]*: .+)", re.DOTALL)
JARGON = re.compile(
    r"\b(tuple|dictionary|boolean|instance of|union|discriminator|pydantic|(input|list|tuple|string|value) should|extra inputs|"
    r"[A-Z][a-z]+(Type|Value|Attribute|Key|Index|Lookup|Validation)?Error)\b",
    re.IGNORECASE,
)
"""Words of Python and of the library that reads the settings."""


def trees(texts: list[str]) -> list[dict[str, Any]]:
    return [read(text, NAME).values for text in texts]


def told(error: Exception) -> None:
    """Every fault says where it is, the first line of each naming the file and a line in it, and says it in a person's words."""
    first = str(error).splitlines()[0]
    assert TOLD.fullmatch(first), first
    assert not JARGON.search(str(error)), str(error)


@fuzzed(20_000)
@given(
    st.one_of(
        spoilt_texts(CONFIGURATIONS + SCENARIOS),
        st.text(max_size=200),
        st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")),
    )
)
def test_any_text_is_plain_yaml_or_refused(text: str) -> None:
    """The reader beneath all of our files."""
    try:
        located = read(text, NAME)
    except FileFault as error:
        told(error)
        return
    assert all(isinstance(key, str) for key in located.values)


@fuzzed(10_000)
@given(st.one_of(spoilt_texts(CONFIGURATIONS), spoilt_values(trees(CONFIGURATIONS)).map(as_yaml)))
def test_any_configuration_is_valid_or_refused(text: str) -> None:
    """What is valid can be written into a journal and read again, and has advice or none."""
    try:
        settings = parse(text, NAME, {})
    except SettingsError as error:
        told(error)
        return
    assert Settings.model_validate(settings.model_dump(mode="json")) == settings
    assert all(isinstance(each, str) for each in advice(settings))


VARIABLES = (
    "BUDGET__REPLICAS",
    "BUDGET",
    "AUTONOMY__SCALE",
    "TICK_S",
    "MODELS__FRAUD",
    "POLICIES",
    "POLICIES__0__USE",
    "",
    "__",
    "NAME__X",
)
variables = st.sampled_from(VARIABLES).map(lambda key: f"HOMEOSTAT__{key}")
said = st.one_of(odd_words, odd_leaves.map(str), spoilt_texts(["{replicas: 3}", "[1, 2]", "off", "3"]))


@fuzzed(5_000)
@given(st.dictionaries(variables, said, max_size=3))
def test_any_environment_is_taken_or_refused(environment: dict[str, str]) -> None:
    """And removes no limit that the file sets by being empty."""
    try:
        settings = parse(CONFIGURATIONS[-1], NAME, environment)
    except SettingsError as error:
        told(error)
        return
    assert settings.budget.replicas is not None or "{" in environment.get("HOMEOSTAT__BUDGET", "")


@fuzzed(10_000)
@given(st.one_of(spoilt_texts(SCENARIOS), spoilt_values(trees(SCENARIOS)).map(as_yaml)))
def test_any_scenario_is_valid_or_refused(text: str) -> None:
    """With every fault named."""
    try:
        parse_scenario(text, NAME, ROOT)
    except ScenarioError as error:
        told(error)


SMALL = [
    SCENARIO.format(name="small") + "policies: [{use: target_utilization}]\nexpect: [slo_violation_rate < 1]\n",
    """\
name: learns
duration_s: 600
cluster: {nodes: [{name: a, count: 2, cpus: 8, gpus: 1, spot: true, preemptions_per_hour: 1}], quotas: [{models: ["*"], cpus: 9}]}
lifecycle: {cold_start: {kind: lognormal, scale_s: 5, shape: 0.2}, warm_s: 60}
models:
  fraud model:
    traffic:
      - {kind: diurnal, mean_rps: 5, swing: 0.5}
      - {kind: pieces, times_s: [0, 60], rates_rps: [1, 5]}
      - {kind: bursts, rates_rps: [1, 9], stays_s: [60, 5]}
    service: {kind: empirical, seconds: [0.01, 0.1, 0.5]}
    replicas: 2
    slo_latency_s: 0.5
    batch_max: 4
    batch_wait_s: 0.01
    timeout_s: 5
    retries: 2
    learning:
      base_loss: 0.1
      changes: [{kind: harmful, at_s: 100, harm: 0.2}, {kind: season, at_s: 10, until_s: 500, harm: 0.1}]
      bad_versions: {2: 0.3}
faults: [{at_s: 60, kind: replica_crash, model: fraud model}, {at_s: 100, kind: node_loss, node: a-1, for_s: 60}]
policies: [{use: joint, budget: 8}, {use: on_drift}, {use: staged}]
schedules: {nightly: "*/5 * * * *"}
expect: [models.fraud model.p99_s < 10]
""",
]


@fuzzed(3_000)
@given(spoilt_values(trees(SMALL)))
def test_a_scenario_that_is_valid_can_be_begun(tree: dict[str, Any]) -> None:
    """What a file may say, the world can be made of."""
    try:
        scenario = parse_scenario(as_yaml(tree), NAME, ROOT)
    except ScenarioError as error:
        told(error)
        return
    Simulation(scenario, scenario.settings.seed)


@pytest.fixture(scope="module")
def compiled() -> None:
    """What is compiled on the first run is no part of any input's time."""
    Simulation(parse_scenario(SMALL[0], NAME, ROOT), 1).run()


@fuzzed(3_000)
@given(tree=shaped_scenarios)
def test_a_scenario_that_is_valid_can_be_played(compiled: None, tree: dict[str, Any]) -> None:
    """Every pattern of traffic, duration, fault, person and policy there is, to the end and by all the rules."""
    try:
        scenario = parse_scenario(as_yaml(tree), NAME, ROOT)
    except ScenarioError as error:
        told(error)
        return
    Simulation(scenario, scenario.settings.seed).run()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("space")
    for name in ("tuned", "held_out"):
        (found / f"{name}.scenario.yaml").write_text(SCENARIO.format(name=name))
    return found


@fuzzed(4_000)
@given(tree=spoilt_values(trees([SPACE])), text=spoilt_texts([SPACE]), plainly=st.booleans())
def test_any_space_is_valid_or_refused(folder: Path, tree: dict[str, Any], text: str, plainly: bool) -> None:
    """And so are policy files."""
    file = folder / NAME
    file.write_text(text if plainly else as_yaml(tree), encoding="utf-8", errors="surrogatepass")
    try:
        load_space(file)
    except BadInput as error:
        for each in error.faults:
            in_words(ValueError(each), NAME, "scenario.yaml", "and more of them")
    try:
        load_policies(file)
    except ScenarioError as error:
        in_words(error, NAME)
