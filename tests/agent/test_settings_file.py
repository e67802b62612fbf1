"""Bad input is named by file, line and key, with what was expected."""

import json
from pathlib import Path

import pytest

from agent.configuration_reference import reference
from agent.order import Autonomy
from agent.refusals import SAMPLES
from agent.settings_file import SettingsError, load, parse, schema
from agent.strict_yaml import value_in

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("nam: x", "f.yaml:1: nam: unknown key; did you mean 'name'?"),
        ("tick_s: 5s", "f.yaml:1: tick_s: found '5s'; expected seconds as a number, such as 30"),
        ("name: a\nbudget:\n  replica: 3", "f.yaml:3: budget.replica: unknown key; did you mean 'replicas'?"),
        ("tick_s: -1", "f.yaml:1: tick_s: found -1; expected more than 0"),
        (
            "autonomy: {default: always}",
            "f.yaml:1: autonomy.default: found 'always'; expected one of off, observe, suggest, approve or act",
        ),
        (
            "policies:\n  - use: target_utilizatio",
            "f.yaml:2: policies[0]: unknown policy 'target_utilizatio'; did you mean",
        ),
        (
            "policies:\n  - use: idle\n    speed: 3",
            "f.yaml:3: policies[0].speed: policy 'idle' has no parameter 'speed'",
        ),
        (
            "policies:\n  - {use: scheduled, schedule: nightly}",
            "f.yaml:2: policies[0].schedule: found 'nightly'; expected a name",
        ),
        ("schedules: {a: often}", "f.yaml:1: schedules.a: found 'often'; expected a cron expression of five fields"),
        (
            "schedules: {a: '0 3 30 2 *'}",
            "f.yaml:1: schedules.a: found '0 3 30 2 *', which never falls due; expected a day that its months have",
        ),
        (
            "guards:\n  freeze_windows:\n    - {start: '0 25 * * *', duration_s: 60}",
            "f.yaml:3: guards.freeze_windows[0].start: found '0 25 * * *'; expected a cron expression of five fields",
        ),
        ("name: a\nname: b", "f.yaml:2: name: given twice, first on line 1"),
        ("- a", "f.yaml:1: found seq; expected a mapping"),
        ("a: [", "f.yaml:1: not YAML"),
        (
            "deployments: {a/b: {min_replicas: 3, max_replicas: 2}}",
            "max_replicas (2) must be at least min_replicas (3)",
        ),
        (
            "models: {team/fraud: {}}",
            "f.yaml:1: models.team/fraud: found the name 'team/fraud'; expected letters, digits,",
        ),
        ("models: {'fraud:v2': {}}", "f.yaml:1: models.fraud:v2: found the name 'fraud:v2'"),
        ("models: {o'brien: {}}", "f.yaml:1: models.o'brien: found the name"),
        ("models: {'': {}}", "f.yaml:1: models.: found the name ''"),
        ("models: {' fraud': {}}", "found the name ' fraud'"),
        ("models: {a: {application: x/y}}", "f.yaml:1: models.a.application: found 'x/y'; expected letters"),
        (
            f"models: {{{'x' * 101}: {{}}}}",
            "expected letters, digits, '_', '-', '.' and spaces inside, at most 100, as",
        ),
        ("deployments: {' a/b': {}}", "f.yaml:1: deployments. a/b: found ' a'; expected 'a', without blanks around it"),
        (
            'deployments: {"a\\u0007/b": {}}',
            "f.yaml:1: deployments.a\\x07/b: found 'a\\x07'; expected a name without control",
        ),
        (
            "deployments: {a/b: {probe: ../x}}",
            "f.yaml:1: deployments.a/b.probe: found '../x'; expected letters, digits,",
        ),
        ("deployments: {a/b: {probe: ''}}", "f.yaml:1: deployments.a/b.probe: found ''; expected a name, not blanks"),
        (
            "deployments: {a/b: {probe: x}, c/d: {probe: x}}",
            "f.yaml:1: deployments.c/d.probe: found 'x', under which deployments.a/b is watched; expected another name",
        ),
        (
            "schedules: {' a': '0 3 * * *'}",
            "f.yaml:1: schedules. a: found ' a'; expected 'a', without blanks around it",
        ),
        ("schedules: {a: '0 3 last * *'}", "f.yaml:1: schedules.a: found '0 3 last * *'; expected a cron expression"),
        ("policies: [{use: idle, targets: []}]", "f.yaml:1: policies[0].targets: found []; expected at least 1 value"),
        (
            "policies: [{use: idle, targets: 'a*'}]",
            "f.yaml:1: policies[0].targets: found 'a*'; expected a list, such as ['a*']",
        ),
        (
            "policies: [{use: idle, targets: ['']}]",
            "f.yaml:1: policies[0].targets[0]: found ''; expected a name, not blanks",
        ),
        (
            "models: {a: {drift: {monitors: [{kind: error_drift, use: adwin, signal: ''}]}}}",
            'f.yaml:1: models.a.drift.monitors[0].signal: found \'\'; expected "loss", "prediction", the name of a feature',
        ),
        (
            "policies: [{use: static, replicas: -1}]",
            "f.yaml:1: policies[0].replicas: policy 'static': parameter 'replicas' must be a mapping of names to values, got -1",
        ),
        (
            "policies: [{use: static, replicas: {a: x}}]",
            "f.yaml:1: policies[0].replicas: policy 'static': parameter 'replicas' ['a'] must be a whole number, got 'x'",
        ),
        (
            "policies: [{use: target_utilization, target: 1e-9}]",
            "f.yaml:1: policies[0].target: policy 'target_utilization': target must be at least 0.01, got 1e-09",
        ),
        (
            "policies: [{use: queue_length, target_ongoing_requests: 1e-9}]",
            "f.yaml:1: policies[0].target_ongoing_requests: policy 'queue_length': target_ongoing_requests must be at least 0.01",
        ),
        (
            "policies: [{use: one_shot, rule: Sustained}]",
            "parameter 'rule' must be one of 'sustained', 'stabilised', got 'Sustained'; did you mean 'sustained'?",
        ),
        (
            "policies: [{use: on_drift, kinds: [Error_drift]}]",
            "must be one of 'error_drift', 'prediction_drift', 'feature_drift', 'data_quality', 'performance', got 'Error_drift'; "
            "did you mean 'error_drift'?",
        ),
        ("policies: [{use: joint, past: {a: 3}}]", "policy 'joint': parameter 'past' ['a'] must be a list, got 3"),
        (
            "policies: [{use: joint, past: {a: [x]}}]",
            "policy 'joint': parameter 'past' ['a'] must be a finite number, got 'x'",
        ),
        (
            "models: {a: {drift: {monitors: [{kind: error_drift, use: Adwin}]}}}",
            "or package.module:Class; did you mean 'adwin'?",
        ),
        ("policies: [{use: STATIC}]", "f.yaml:1: policies[0]: unknown policy 'STATIC'; did you mean 'static'?"),
        (
            "autonomy: {scale: OFF}",
            "f.yaml:1: autonomy.scale: found 'OFF'; expected one of off, observe, suggest, approve or act; did you mean 'off'?",
        ),
        ("budget: {replicas: 1.5}", "f.yaml:1: budget.replicas: found 1.5; expected a whole number"),
        ("budget: {replicas: ٣}", "f.yaml:1: budget.replicas: found '٣'; expected a whole number"),
        (
            "budget: {cluster_makes_room: maybe}",
            "f.yaml:1: budget.cluster_makes_room: found 'maybe'; expected true or false",
        ),
        ("models: 3", "f.yaml:1: models: found 3; expected a mapping of keys to values"),
        ("Tick_s: 3", "f.yaml:1: Tick_s: unknown key; did you mean 'tick_s'?"),
        ("name: ''", "f.yaml:1: name: found ''; expected letters"),
        (
            "notify: ['https://hooks/secret']",
            "f.yaml:1: notify[0]: found ***; expected the name of an environment variable",
        ),
        (
            "models:\n  a: {application: shop}\n  b: {application: shop}",
            "f.yaml:3: models.b.application: the Serve application 'shop' is that of models.a as well; expected another",
        ),
        (
            "models:\n  fraud: {}\n  fraud-challenger: {}",
            "f.yaml:3: models.fraud-challenger: the Serve application 'fraud-challenger' is that of the challenger of models.fraud",
        ),
        ("models: {a-challenger: {}, a: {}}", "'a-challenger' is that of models.a-challenger as well"),
        (
            "models: {a: {}, b: {application: a}}",
            "models.b.application: the Serve application 'a' is that of models.a as",
        ),
        (
            "models: {fraud: {}}\ndeployments: {fraud/ModelServer: {}}",
            "f.yaml:2: deployments.fraud/ModelServer: 'fraud' is the Serve application of models.fraud, where its bounds",
        ),
        (
            "models: {fraud: {}}\ndeployments: {fraud-challenger/ModelServer: {}}",
            "'fraud-challenger' is the Serve application of the challenger of models.fraud",
        ),
        (
            "models: {fraud: {}}\ndeployments: {shop/Fraud: {probe: fraud}}",
            "f.yaml:2: deployments.shop/Fraud.probe: found 'fraud', under which models.fraud is watched; expected another",
        ),
        (
            "deployments: {a/b: {probe: p, drift: {monitors: [{kind: error_drift, use: adwim}]}}}",
            "f.yaml:1: deployments.a/b.drift.monitors[0]: unknown detector 'adwim'",
        ),
        (
            "deployments: {a/b: {probe: p, drift: {monitors: [{kind: error_drift, use: 'subprocess:Popen'}]}}}",
            "deployments.a/b.drift.monitors[0]: detector 'subprocess:Popen' is an import path",
        ),
        ("deployments: {/Ranker: {}}", 'f.yaml:1: deployments./Ranker: expected "application/deployment"'),
        ("deployments: {ranker/: {}}", 'f.yaml:1: deployments.ranker/: expected "application/deployment"'),
        ("deployments: {a/b/c: {}}", 'f.yaml:1: deployments.a/b/c: expected "application/deployment"'),
        ("deployments: {a/b: {slo_latency_s: 500}}", "found 500; expected seconds, at most 300 (0.5?)"),
        (
            "guards: {blast_radius: 50}",
            "f.yaml:1: guards.blast_radius: found 50; expected a part of one, from 0 to 1 (0.5?)",
        ),
        ("guards: {blast_radius: 500}", "found 500; expected at most 1"),
        ("budget: {cpus: .inf}", "f.yaml:1: budget.cpus: found inf; expected"),
        (
            "budget: {replicas: 1e9}",
            "f.yaml:1: budget.replicas: found 1000000000.0; expected at most 100,000",
        ),
        ("tick_s: 0.000001", "f.yaml:1: tick_s: found 1e-06; expected at least 0.01 s"),
        ("guards: {cool_down_s: {scale: .nan}}", "guards.cool_down_s.scale: found nan"),
        ("policies: [{use: target_utilization, target: 70}]", "target must be above 0 and at most 1, got 70 (0.7?)"),
        (
            "policies: [{use: target_utilization, tolerance: 10}]",
            "tolerance must be from 0 to 1, got 10 (0.1?)",
        ),
        ("policies: [{use: target_utilization, concurrency: 1e6}]", "concurrency must be at most 10,000, got 1e+06"),
        ("policies: [{use: aiad, slo_latency_s: 500}]", "slo_latency_s must be seconds, at most 300, got 500 (0.5?)"),
        ("policies: [{use: joint, budget: 1000000000000}]", "budget must be at most 1e+09, got 1e+12"),
        ("policies: [{use: mark, season_steps: 1000000}]", "season_steps must be at most 20,160"),
        ("deployments: {a: {}}", 'f.yaml:1: deployments.a: expected "application/deployment"'),
        (
            "budget: {replicas: 1}\ndeployments: {a/b: {min_replicas: 2}}",
            "f.yaml:1: budget.replicas: found 1; the minimums",
        ),
        ("models: {m: {training: {recipes: [hist]}}}", "unknown recipe 'hist'"),
        ("models: {m: {training: {}}}", "f.yaml:1: models.m.training.recipes: missing"),
        (
            "models: {m: {drift: {monitors: [{kind: error_drift, use: adwim}]}}}",
            "f.yaml:1: models.m.drift.monitors[0]: unknown detector 'adwim'",
        ),
    ],
)
def test_a_fault_is_named_by_file_line_and_key(text: str, told: str) -> None:
    """And by what was expected."""
    with pytest.raises(SettingsError) as caught:
        parse(text, "f.yaml", {})
    assert told in str(caught.value)


def test_every_fault_is_told_at_once() -> None:
    """Nobody likes to mend one line at a time."""
    with pytest.raises(SettingsError) as caught:
        parse("nam: x\ntick_s: soon\n", "f.yaml", {})
    assert len(str(caught.value).splitlines()) == 2


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """With what the system said."""
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: can not be read"):
        load(tmp_path / "nowhere.yaml", {})


def test_the_environment_overrides_the_file() -> None:
    """Double underscores separate keys; values are read as YAML; the file's other keys stay."""
    found = parse("budget: {replicas: 3, cpus: 2}", "f.yaml", {"HOMEOSTAT__BUDGET__REPLICAS": "5", "PATH": "/bin"})
    assert (found.budget.replicas, found.budget.cpus) == (5, 2.0)


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("HOMEOSTAT__BUDGET__REPLICAS", "few", "HOMEOSTAT__BUDGET__REPLICAS: budget.replicas: found 'few'"),
        (
            "HOMEOSTAT__NOTIFY",
            "[A, a b]",
            "HOMEOSTAT__NOTIFY: notify[1]: found 'a b'; expected the name of an environment",
        ),
        (
            "HOMEOSTAT__POLICIES",
            "[{use: idle, targets: 5}]",
            "HOMEOSTAT__POLICIES: policies[0].targets: found 5; expected a list",
        ),
        (
            "HOMEOSTAT__AUTONOMY__SCALE",
            "OFF",
            "HOMEOSTAT__AUTONOMY__SCALE: autonomy.scale: found 'OFF'; expected one of off,",
        ),
        ("HOMEOSTAT__TICK_S", "soon", "HOMEOSTAT__TICK_S: tick_s: found 'soon'; expected seconds"),
        ("HOMEOSTAT__NAM", "x", "HOMEOSTAT__NAM: nam: unknown key; did you mean 'name'?"),
        ("HOMEOSTAT__SCHEDULES__NIGHTLY", "often", "HOMEOSTAT__SCHEDULES__NIGHTLY: schedules.nightly: found 'often'"),
        ("HOMEOSTAT__NAME", "a: b: c", "HOMEOSTAT__NAME: not YAML"),
    ],
)
def test_a_fault_in_the_environment_is_named_by_its_variable(variable: str, value: str, told: str) -> None:
    """Not by a line of a file in which it does not stand."""
    with pytest.raises(SettingsError) as caught:
        parse("name: a\n", "f.yaml", {variable: value})
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize("text", ["", " ", "null", "~"])
@pytest.mark.parametrize("variable", ["HOMEOSTAT__BUDGET__REPLICAS", "HOMEOSTAT__BUDGET"])
def test_an_empty_variable_removes_no_limit(variable: str, text: str) -> None:
    """`${REPLICAS}` that came out empty is a slip, and is said before anything runs without the limit."""
    with pytest.raises(SettingsError) as caught:
        parse("budget: {replicas: 3}\n", "f.yaml", {variable: text})
    assert str(caught.value).startswith(variable)


@pytest.mark.parametrize(
    "text", ["budget: {replicas: }", "budget: {replicas: null}", "budget:\n  replicas: ~\n", "budget:"]
)
def test_a_limit_in_a_file_is_a_number_or_is_not_there(text: str) -> None:
    """Neither nothing nor null stands for no limit."""
    with pytest.raises(SettingsError, match=r"f.yaml:\d: budget"):
        parse(text, "f.yaml", {})


@pytest.mark.parametrize("level", ["off", "'off'", "false"])
def test_off_is_a_level_that_can_be_written(level: str) -> None:
    """As the documentation names it, and as readers of YAML write it that take the word for false."""
    found = [parse(f"autonomy: {{scale: {level}}}\n", "f", {}), parse("", "f", {"HOMEOSTAT__AUTONOMY__SCALE": level})]
    assert [each.autonomy.scale for each in found] == [Autonomy.OFF] * 2


def test_nothing_at_all_is_a_valid_configuration_that_does_nothing() -> None:
    """Day one is safe."""
    found = parse("", "f.yaml", {})
    assert (found.autonomy.default.value, found.policies) == ("suggest", ())


@pytest.mark.parametrize("file", sorted((ROOT / "examples").glob("*/homeostat.yaml")), ids=lambda p: p.parent.name)
def test_the_examples_are_valid(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the documentation shows can be used as it is."""
    monkeypatch.syspath_prepend(str(ROOT))
    assert load(file, {}, allowed=("examples",)).policies


def test_the_schema_describes_every_key() -> None:
    """Editors show the descriptions; the schema is JSON."""
    described = json.loads(json.dumps(schema()))
    assert described["additionalProperties"] is False
    assert described["$defs"]["BudgetSettings"]["description"]


def test_the_configuration_reference_is_up_to_date() -> None:
    """`make docs` writes it; whoever changes a setting commits the page too."""
    assert (ROOT / "docs" / "configuration.md").read_text() == reference()


NAME_OF_ONE = "found ***; expected the name of an environment variable, such as ALERT_URL"
HOOK = "https://hooks.slack.com/services/T0/B0/abcdef"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (f"notify: [{HOOK!r}]", f"f.yaml:1: notify[0]: {NAME_OF_ONE}"),
        (f"notify: {HOOK!r}", "f.yaml:1: notify: found ***; expected a list, such as [ALERT_URL]"),
        ("notify: [tgram-1234567890-abc]", f"f.yaml:1: notify[0]: {NAME_OF_ONE}"),
        (f"notify: {{slack: {HOOK!r}}}", "f.yaml:1: notify: found ***; expected a list, such as [ALERT_URL]"),
        (f"notify: [[{HOOK!r}]]", "f.yaml:1: notify[0]: found ***; expected text"),
        ("policies: [{use: static, replicas: {api_token: hunter2}}]", None),
    ],
)  # fmt: skip
def test_a_secret_where_the_name_of_its_variable_belongs_is_not_shown(text: str, told: str | None) -> None:
    """It is what people write there by mistake, and messages end up in logs."""
    with pytest.raises(SettingsError) as error:
        parse(text, "f.yaml", {})
    assert told is None or str(error.value) == told
    assert not {"hooks", "abcdef", "tgram", "hunter2"} & set(
        str(error.value).replace("/", " ").replace("'", " ").split()
    )


def test_a_secret_in_a_variable_of_the_environment_is_not_shown_either() -> None:
    """HOMEOSTAT__NOTIFY sets the list."""
    with pytest.raises(SettingsError) as error:
        parse("", "f.yaml", {"HOMEOSTAT__NOTIFY": f"[{HOOK}]"})
    assert str(error.value) == f"HOMEOSTAT__NOTIFY: notify[0]: {NAME_OF_ONE}"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("policies: [joint]", "policies[0]: found 'joint'; expected a mapping of keys to values, such as - use: replace_unhealthy"),
        ("policies: joint", "policies: found 'joint'; expected a list, such as [{use: replace_unhealthy}]"),
        ("policies: [{}]", "policies[0].use: missing; expected a value, such as replace_unhealthy"),
        ("guards: {cool_down_s: 30}", "guards.cool_down_s: found 30; expected a mapping of keys to values, such as {scale: 30}"),
        ("budget: 3", "budget: found 3; expected a mapping of keys to values, such as {replicas: 6}"),
        ("models: {a: {training: {}}}", "models.a.training.recipes: missing; expected a value, such as [logistic]"),
        ("schedules: daily", "schedules: found 'daily'; expected a mapping of keys to values, such as {nightly: '0 3 * * *'}"),
    ],
)  # fmt: skip
def test_a_wrong_form_is_told_with_the_right_one(text: str, told: str) -> None:
    """The shortest that is right."""
    with pytest.raises(SettingsError) as error:
        parse(text, "f", {})
    assert str(error.value) == f"f:1: {told}"


LISTS = {"policies", "monitors", "freeze_windows", "recipes", "notify", "nodes", "traffic"}


@pytest.mark.parametrize("sample", SAMPLES.items(), ids=map(".".join, SAMPLES))
def test_every_form_that_is_shown_as_right_is_yaml(sample: tuple[tuple[str, ...], str]) -> None:
    """What people copy has to be readable."""
    keys, text = sample
    assert isinstance(value_in(text), list if keys[-1] in LISTS or text.startswith("- ") else object)
