"""Short builders of observations, for tests of policies; import them from `policies.testing`.

Every builder has a default for everything, so that a test names only what it is about.
"""

from typing import Any

from policies.observation import (
    Arm,
    Comparison,
    Deployment,
    DeploymentStatus,
    Model,
    Moments,
    Observation,
    Replica,
    ReplicaState,
    Report,
    Rollout,
    Symptom,
    Traffic,
    Version,
)


def observation(at_s: float = 0.0, *things: Deployment | Model, **fields: Any) -> Observation:
    """What is seen at `at_s`: deployments and models in any order, other fields by name."""
    return Observation(
        at_s=at_s,
        deployments={each.name: each for each in things if isinstance(each, Deployment)},
        models={each.name: each for each in things if isinstance(each, Model)},
        **fields,
    )


def traffic(at_s: float = 0.0, requests: int = 600, **fields: Any) -> Traffic:
    """A healthy minute: 10 requests/s of 50 ms, none failed."""
    plain: dict[str, Any] = {"window_s": 60.0, "latency_mean_s": 0.05, "latency_p50_s": 0.05}
    return Traffic(measured_at_s=at_s, requests=requests, **(plain | fields))


def replica(id: str = "r1", **fields: Any) -> Replica:  # noqa: A002 (the field's own name)
    """A replica that runs and is healthy."""
    plain: dict[str, Any] = {"state": ReplicaState.RUNNING, "healthy": True}
    return Replica(id=id, **(plain | fields))


def deployment(name: str = "app/model", replicas: int | tuple[Replica, ...] = 2, **fields: Any) -> Deployment:
    """A healthy deployment of `replicas` running replicas (r1, r2, ...), all of them wanted."""
    each = replicas if isinstance(replicas, tuple) else tuple(replica(f"r{n}") for n in range(1, replicas + 1))
    plain: dict[str, Any] = {"status": DeploymentStatus.HEALTHY, "replicas_wanted": len(each), "replicas": each}
    return Deployment(name=name, **(plain | fields))


def version(number: str = "1", created_at_s: float = 0.0, **fields: Any) -> Version:
    """Version `number`; its digest is made of its number."""
    plain: dict[str, Any] = {"digest": f"sha-{number}"}
    return Version(number=number, created_at_s=created_at_s, **(plain | fields))


def model(name: str = "m", champion: Version | str | None = "1", **fields: Any) -> Model:
    """A managed model whose champion, version 1, has served since time 0."""
    plain: dict[str, Any] = {"managed": True, "champion_since_s": 0.0}
    served = version(champion) if isinstance(champion, str) else champion
    return Model(name=name, champion=served, **(plain | fields))


def report(at_s: float = 0.0, *symptoms: Symptom, **fields: Any) -> Report:
    """A report on version 1 with 5,000 rows, all labelled, and a Brier loss of 0.1."""
    plain: dict[str, Any] = {"version": "1", "rows": 5000, "labelled_rows": 5000, "loss_name": "brier", "loss": 0.1}
    return Report(measured_at_s=at_s, symptoms=symptoms, **(plain | {"window_rows": 1000} | fields))


def symptom(kind: str = "error_drift", since_s: float = 0.0, **fields: Any) -> Symptom:
    """ADWIN on the loss says that it drifted."""
    plain: dict[str, Any] = {"signal": "loss", "detector": "adwin", "value": 0.3, "threshold": 0.1, "n": 1000}
    return Symptom(kind=kind, since_s=since_s, **(plain | fields))


def rollout(version: str = "2", **fields: Any) -> Rollout:
    """A ready challenger that gets copies of all rows and answers none, since time 0."""
    plain: dict[str, Any] = {"started_at_s": 0.0, "stage_since_s": 0.0, "shadow": 1.0, "ready": True}
    return Rollout(version=version, **(plain | fields))


def arm(requests: int = 1000, errors: int = 0, loss: float = 0.1, latency_s: float = 0.05, **fields: Any) -> Arm:
    """One version's answers: all labelled, latencies with a standard deviation of a fifth of their mean."""
    plain: dict[str, Any] = {
        "loss": Moments(n=requests, mean=loss, variance=0.01),
        "latency": Moments(n=requests, mean=latency_s, variance=(latency_s / 5) ** 2),
        "latency_p95_s": latency_s * 1.5,
    }
    return Arm(requests=requests, errors=errors, **(plain | fields))


def comparison(at_s: float = 0.0, rows: int = 1000, worse_by: float = 0.0, **fields: Any) -> Comparison:
    """`rows` labelled rows that both versions answered, equal but for a mean loss difference of `worse_by`."""
    plain: dict[str, Any] = {
        "champion": arm(rows),
        "challenger": arm(rows, loss=0.1 + worse_by),
        "paired_loss": Moments(n=rows, mean=worse_by, variance=0.0025),
    }
    return Comparison(measured_at_s=at_s, **(plain | fields))
