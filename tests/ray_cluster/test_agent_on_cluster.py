"""The agent as a detached actor, the commands around it, and the applications of users."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import ray
import yaml
from ray import serve
from ray.util.state import list_actors
from typer.testing import CliRunner

from agent.cli import app
from agent.journal.record import Kind, verify
from agent.journal.store import SqlJournal
from agent.order import Order
from agent.ports import Refused
from agent.settings_file import load
from policies.action import Restart
from ray_cluster import names
from ray_cluster.actuator import ClusterActuator
from ray_cluster.agents import find_agent
from ray_cluster.prometheus import metrics_addresses
from ray_cluster.registry import MlflowRegistry
from ray_cluster.serve_rest import ServeRest
from ray_cluster.testing import wait_until
from ray_cluster.translate import deployments

pytestmark = pytest.mark.ray
ROOT = Path(__file__).parents[2]
HOMEOSTAT = Path(sys.executable).parent / "homeostat"


def command(cluster, *words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`homeostat` as a user would call it, on the cluster of the tests."""
    environment = os.environ | {"RAY_ADDRESS": cluster.local.address, "COLUMNS": "200"}
    return subprocess.run(
        [str(HOMEOSTAT), *words], capture_output=True, text=True, env=environment, cwd=folder or ROOT, timeout=200,
        check=False,
    )  # fmt: skip


def at_once(*words: str) -> int:
    """The exit code of a command that needs no cluster, in this process."""
    return CliRunner().invoke(app, list(words)).exit_code


def configured(cluster, example: str, folder: Path, **changes) -> Path:
    """The example's homeostat.yaml in a folder of its own, with the cluster's dashboard."""
    raw = yaml.safe_load((ROOT / "examples" / example / "homeostat.yaml").read_text())
    raw |= {"cluster": {"dashboard_url": cluster.local.dashboard_url}, "tick_s": 0.5} | changes
    file = folder / "homeostat.yaml"
    file.write_text(yaml.safe_dump(raw))
    return file


def serve_example(example: str) -> None:
    """Deploy the example's serve.yaml, with replicas that leave quickly, and wait until it runs."""
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    config = yaml.safe_load((ROOT / "examples" / example / "serve.yaml").read_text())
    for each in config["applications"]:
        each["deployments"] = [{"name": each["name"].split("-")[0].title(), "graceful_shutdown_wait_loop_s": 0.1}]
    schema = ServeDeploySchema.model_validate(config)
    _get_global_client().deploy_apps(schema)
    wanted = {app.name for app in schema.applications}
    wait_until(lambda: all(serve.status().applications[n].status == "RUNNING" for n in wanted))


def ticks(name: str) -> int:
    try:
        return ray.get(find_agent(name).status.remote(), timeout=30)["ticks"]
    except (ray.exceptions.RayError, AttributeError):
        return 0


def test_the_two_models_of_the_shop_are_scaled_without_a_change_of_their_code(cluster, tmp_path: Path) -> None:
    """Level L0, as the tutorial walks it: deploy, validate, doctor, run, load, status, why, stop; the record verifies and replays."""
    serve_example("shop")
    policies = [{"use": "target_utilization", "target": 0.02, "up_window_s": 1, "stale_after_s": 30}]
    file = configured(cluster, "shop", tmp_path, policies=policies)
    assert at_once("config", "validate", str(file)) == 0
    # A cluster that was just started needs a moment until its metrics can be read.
    wait_until(lambda: command(cluster, "doctor", str(file)).returncode == 0)
    started = command(cluster, "run", folder=tmp_path)
    assert started.returncode == 0, started.stderr
    journal = SqlJournal(f"sqlite:///{tmp_path}/homeostat.db")
    second = command(cluster, "run", folder=tmp_path)
    assert (second.returncode, second.stderr.split("; ")[0]) == (1, "an agent 'shop' runs already on this cluster")
    replaced = command(cluster, "run", "--replace", folder=tmp_path)
    assert replaced.returncode == 0, replaced.stderr

    def scaled() -> bool:
        for _ in range(20):
            payment = {"amount": 100, "foreign": 0}
            assert httpx.post(f"{cluster.http}/fraud", json=payment, timeout=30).status_code == httpx.codes.OK
        intents = [entry.payload["action"] for entry in journal.entries(kinds=(Kind.INTENT,))]
        return any(each["deployment"] == "fraud/Fraud" and each["replicas"] > 1 for each in intents)

    wait_until(scaled)
    wanted = {"orders", "gate_value", "gate_threshold", "loop_lag_seconds", "budget_left"}
    wait_until(lambda: wanted <= figures())
    assert "running" in command(cluster, "status", folder=tmp_path).stdout
    assert "utilization" in command(cluster, "why", "1", folder=tmp_path).stdout
    assert command(cluster, "stop", folder=tmp_path).returncode == 0
    assert find_agent("shop") is None
    assert [entry.payload["word"] for entry in journal.entries(kinds=(Kind.CONTROL,))] == ["run", "run", "stop"]
    assert at_once("journal", "verify", "--journal", str(tmp_path / "homeostat.db")) == 0
    replayed = command(cluster, "replay", str(tmp_path / "homeostat.db"))
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr


def figures() -> set[str]:
    """Names of the agent's own figures, as Prometheus would scrape them."""
    pages = [httpx.get(f"http://{address}/metrics", timeout=10).text for address in metrics_addresses()]
    lines = [line for page in pages for line in page.splitlines() if line.startswith("ray_homeostat_")]
    return {re.split(r"[{ ]", line)[0].removeprefix("ray_homeostat_").removesuffix("_total") for line in lines}


def test_one_line_in_the_model_brings_drift_on_record(cluster, tmp_path: Path) -> None:
    """Level L1: rows and late labels reach the report of the model that the settings name."""
    serve_example("shop_probe")
    configured(cluster, "shop_probe", tmp_path)
    assert command(cluster, "run", folder=tmp_path).returncode == 0
    for n in range(10):
        payment = {"id": f"p{n}", "amount": 10.0 * n, "foreign": 0}
        assert httpx.post(f"{cluster.http}/fraud-probed", json=payment, timeout=30).status_code == httpx.codes.OK
    from ray_cluster.monitor_shard import label

    wait_until(lambda: _shard_is_there("fraud-probed"))
    wait_until(lambda: _report(tmp_path)["rows"] == 10)
    for n in range(10):
        label("fraud-probed", f"p{n}", 0.0)
    wait_until(lambda: _report(tmp_path)["labelled_rows"] == 10)
    command(cluster, "stop", folder=tmp_path)


def _shard_is_there(model: str) -> bool:
    try:
        return bool(ray.get_actor(names.shard_actor(model), names.NAMESPACE))
    except ValueError:
        return False


def _report(folder: Path) -> dict:
    entry = SqlJournal(f"sqlite:///{folder}/homeostat.db").last(Kind.OBSERVED)
    model = entry.payload["models"].get("fraud-probed") if entry else None
    return model["report"] if model and model["report"] else {"rows": 0, "labelled_rows": 0}


def test_a_managed_model_is_served_by_its_agent(cluster, tmp_path: Path) -> None:
    """Level L2: the example registers a first version with a recipe of its own, and the agent serves it."""
    run = subprocess.run(
        [sys.executable, "-m", "examples.shop_managed.first_version", str(tmp_path)], capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=200, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    configured(cluster, "shop_managed", tmp_path)
    assert command(cluster, "run", "--allow-imports", "examples", folder=tmp_path).returncode == 0
    rows = {"rows": [{"key": "p1", "features": {"amount": 900.0, "foreign": 1.0}}]}

    def answered() -> dict | None:
        try:
            answer = httpx.post(f"{cluster.http}/fraud-managed/", json=rows, timeout=30)
        except httpx.TimeoutException:  # its first replica is still on its way
            return None
        return answer.json() if answer.status_code == httpx.codes.OK else None

    answer = wait_until(answered, every_s=0.5)["predictions"][0]
    assert (answer["key"], answer["version"]) == ("p1", "1")
    assert 0.0 < answer["prediction"] <= 1.0
    command(cluster, "stop", folder=tmp_path)


def test_a_killed_agent_comes_back_with_a_new_epoch_and_goes_on(cluster, tmp_path: Path) -> None:
    """SIGKILL its process: Ray restarts it, it reads its journal, and the record is one unbroken chain over both lives.

    All the while the registry of its managed model is away: that model is not served, and nothing else waits for it.
    """
    serve_example("shop")
    away = {"models": {"ghost": {}}, "registry": {"tracking_uri": "sqlite:////proc/no/such/mlflow.db"}}
    configured(cluster, "shop", tmp_path, name="phoenix", **away)
    assert command(cluster, "run", folder=tmp_path).returncode == 0
    wait_until(lambda: ticks("phoenix") >= 3)
    journal = SqlJournal(f"sqlite:///{tmp_path}/homeostat.db")
    actor = next(row for row in list_actors() if row.name == names.agent_actor("phoenix"))
    os.kill(actor.pid, signal.SIGKILL)
    wait_until(lambda: len(list(journal.entries(kinds=(Kind.STARTED,)))) == 2)
    wait_until(lambda: ticks("phoenix") >= 2)
    epochs = [entry.payload["epoch"] for entry in journal.entries(kinds=(Kind.STARTED,))]
    assert epochs == [1, 2]
    told = command(cluster, "status", folder=tmp_path).stdout
    assert "can not be seen: model ghost: its registry: can not be read" in told
    command(cluster, "stop", folder=tmp_path)
    assert verify(journal.entries()).ok
    problems = journal.last(Kind.OBSERVED).payload["problems"]
    assert [
        each for each in problems if each.startswith("model ghost: its registry: can not be read, RegistryUnavailable")
    ]
    assert set(journal.last(Kind.OBSERVED).payload["deployments"]) == {"fraud/Fraud", "ranker/Ranker"}


def test_a_replica_of_a_users_own_is_replaced_once_however_often_it_is_ordered(cluster, tmp_path: Path) -> None:
    """Level L0: Serve brings another; an order for a replica that is gone has nothing to do, and one of a stranger is refused."""
    serve_example("shop")
    settings = load(configured(cluster, "shop", tmp_path, name="restarts"), {})
    rest = ServeRest(cluster.local.dashboard_url)
    actuator = ClusterActuator(settings, rest=rest, registry=MlflowRegistry(f"sqlite:///{tmp_path}/mlflow.db"), epoch=1)

    def running() -> set[str]:
        row = deployments(rest.details())["fraud/Fraud"]
        return {each.id for each in row.running} if len(row.running) == row.replicas_wanted else set()

    def restart(number: int, deployment: str, replica: str) -> None:
        actuator.start(
            Order(
                number=number, epoch=1, key=f"restart-{number}", action=Restart(deployment=deployment, replica=replica),
                because=(), policy="test", issued_at_s=0.0, deadline_s=60.0,
            )
        )  # fmt: skip

    victim = wait_until(running).pop()
    restart(1, "fraud/Fraud", victim)
    after = wait_until(lambda: (now := running()) and victim not in now and now)
    restart(2, "fraud/Fraud", victim)
    assert running() == after
    with pytest.raises(Refused, match="not among the deployments"):
        restart(3, "strange/Stranger", victim)


def test_the_doctor_names_what_is_missing_and_how_to_mend_it(cluster, tmp_path: Path) -> None:
    """An application without the flag, and a deployment that is not there; exit code 1."""
    from examples.shop.app import fraud

    serve.run(fraud, name="fraud", route_prefix="/fraud")
    configured(cluster, "shop", tmp_path)
    doctor = command(cluster, "doctor", folder=tmp_path)
    assert doctor.returncode == 1
    assert "external_scaler_enabled: true" in doctor.stdout
    assert "ranker/Ranker" in doctor.stdout


def test_a_command_without_a_cluster_says_how_to_start_one(tmp_path: Path, cluster) -> None:
    """Exit code 2, the address that was tried, and what to do."""
    file = configured(cluster, "shop", tmp_path)
    environment = os.environ | {"RAY_ADDRESS": "127.0.0.1:1"}
    run = subprocess.run(
        [str(HOMEOSTAT), "status", str(file)], capture_output=True, text=True, env=environment, timeout=200, check=False
    )
    assert run.returncode == 2, run.stdout + run.stderr
    assert "there is no Ray at '127.0.0.1:1'" in run.stderr
    assert "ray start --head" in run.stderr
