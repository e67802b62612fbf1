# ruff: noqa: S101 -- these are tests that travel with the package; asserts are what tests are made of
"""PolicyChecks: what every policy must pass, ours and a user's. Subclass it in a test module and give `make`.

    class TestMine(PolicyChecks):
        def make(self):
            return Mine(threshold=3)

It plays a small fleet's day and its gaps to the policy. It checks the contract of `policies.policy.Policy`, not whether the
opinions are good; that takes tests of your own.
"""

import copy
import pickle
from dataclasses import replace

from policies.action import Evidence, Promote, Proposal, Scale, target
from policies.builders import (
    comparison,
    deployment,
    model,
    observation,
    replica,
    report,
    rollout,
    symptom,
    traffic,
    version,
)
from policies.observation import (
    Controls,
    Deployment,
    DeploymentStatus,
    JobState,
    Model,
    Observation,
    ReplicaState,
    Rollout,
    TrainingJob,
)
from policies.policy import Policy

TICK_S = 30.0


def _fleet_day() -> tuple[Observation, ...]:
    """Forty ticks of three deployments and four models: calm, a burst, faults, drift, a rollout, gaps, and calm again."""
    return tuple(_moment(n) for n in range(40))


def _moment(n: int) -> Observation:
    at_s = n * TICK_S
    things: list[Deployment | Model] = [_busy(n, at_s), _ill(n, at_s), _asleep(n, at_s)]
    things += [_drifting(n, at_s), _rolling(n, at_s), _probed(n, at_s), _new(n)]
    due = ("nightly", "weekly") if n % 7 == 3 else ()
    return observation(
        at_s, *things, due=due, controls=Controls(frozen=n == 9, killed=n == 10, rollbacks=("m1",) * (n == 30))
    )


def _busy(n: int, at_s: float) -> Deployment:
    """A burst between ticks 5 and 15, with bounds, a starting replica, and a gap in the metrics."""
    ongoing = 40.0 if 5 <= n < 15 else 1.0
    seen = None if n in (20, 21) else traffic(at_s - (600 if n == 22 else 0), ongoing=ongoing, requests=1200)
    each = tuple(
        replica(f"b{i}", state=ReplicaState.STARTING if i == 3 and n == 8 else ReplicaState.RUNNING) for i in range(4)
    )
    return deployment("busy/model", each, min_replicas=2, max_replicas=6, max_ongoing_requests=5, traffic=seen)


def _ill(n: int, at_s: float) -> Deployment:
    """One replica is slow, one fails its checks, one failing deployment at the end."""
    slow = traffic(at_s, 200, latency_p50_s=1.0 if n > 5 else 0.05)
    each = (
        replica("i1", traffic=traffic(at_s, 200)),
        replica("i2", traffic=traffic(at_s, 200)),
        replica("i3", traffic=slow),
        replica("i4", healthy=False if n > 12 else None, traffic=traffic(at_s, 200, errors=150 if n > 9 else 0)),
    )
    status = DeploymentStatus.DEPLOY_FAILED if n > 35 else DeploymentStatus.HEALTHY
    return deployment(
        "ill/model", each[: 3 if n > 30 else 4], replicas_wanted=4, status=status, traffic=traffic(at_s, ongoing=3.0)
    )


def _asleep(n: int, at_s: float) -> Deployment:
    seen = traffic(at_s, requests=5 if n > 10 else 0, ongoing=2.0 if n > 10 else 0.0)
    return deployment("asleep/model", 0, min_replicas=0, max_replicas=2, traffic=seen, message="scaled to zero")


def _drifting(n: int, at_s: float) -> Model:
    symptoms = (symptom(since_s=300.0),) * (n >= 10) + (symptom("feature_drift", 100.0, signal="x"),) * (n >= 4)
    symptoms += (symptom("data_quality", 800.0, signal="x"),) * (26 < n < 30)
    state = JobState.FAILED if n > 16 else JobState.RUNNING
    job = TrainingJob(id="j1", state=state, started_at_s=400.0, finished_at_s=500.0 if n > 16 else None)
    written = None if n in (20, 21) else report(at_s, *symptoms, labelled_rows=5000 + 400 * n)
    return model("m1", report=written, training=job if n > 13 else None, previous=version("0"))


def _rolling(n: int, at_s: float) -> Model:
    """Candidates 2 and 3; 3 is rolled out and turns bad late."""
    candidates = (version("2", 10.0), version("3", 20.0)) if n < 38 else ()
    running: Rollout | None = None
    if 4 <= n < 25:
        beside = None if n == 6 else comparison(at_s, rows=200 * (n - 3), worse_by=0.2 if n > 18 else 0.0)
        running = rollout("3", ready=n > 4, stage_since_s=120.0, share=0.1 if n > 12 else 0.0, comparison=beside)
    return model("m2", candidates=candidates, rollout=running, report=report(at_s), previous=version("0"))


def _probed(n: int, at_s: float) -> Model:
    """Watched, but not managed."""
    return model("m3", None, managed=False, report=report(at_s, *(symptom(since_s=300.0),) * (n > 12), version=None))


def _new(n: int) -> Model:
    return model("m4", None, champion_since_s=None, candidates=(version("1"),) if n > 3 else ())


def _unknown(n: int) -> Observation:
    """The same fleet with everything that may be None being None."""
    blank = deployment(
        "busy/model", (replica("b1", healthy=None), replica("b2", healthy=None)), min_replicas=2, max_replicas=6
    )
    challenged = model("m2", rollout=rollout("3"), candidates=(version("3"),), champion_since_s=None)
    return observation(
        n * TICK_S, blank, model("m1", None, champion_since_s=None), challenged, problems=("metrics are away",)
    )


def _reversed(seen: Observation) -> Observation:
    deployments = {name: seen.deployments[name] for name in reversed(list(seen.deployments))}
    models = {name: seen.models[name] for name in reversed(list(seen.models))}
    return replace(seen, deployments=deployments, models=models)


def _play(policy: Policy, day: tuple[Observation, ...]) -> list[tuple[Proposal, ...]]:
    return [tuple(policy.propose(seen)) for seen in day]


class PolicyChecks:
    """The contract of a policy, as tests. `make` gives a fresh policy, the same each time."""

    scales_by_traffic = True
    """Set it to False for a policy that scales by something else, such as the hour, and so may scale when no traffic is seen."""

    def make(self) -> Policy:
        raise NotImplementedError("give make(), which returns a fresh policy")

    def test_it_is_a_policy(self) -> None:
        """It has `propose`."""
        assert isinstance(self.make(), Policy)

    def test_the_same_observations_give_the_same_proposals(self) -> None:
        """Two fresh policies, one day: no clock, no chance, nothing shared between the two."""
        assert _play(self.make(), _fleet_day()) == _play(self.make(), _fleet_day())

    def test_a_pickled_policy_goes_on_as_if_nothing_had_happened(self) -> None:
        """Its whole state is inside the object, at every moment of the day."""
        day = _fleet_day()
        for cut in (0, 7, 12, 19, 28):
            stayed = self.make()
            _play(stayed, day[:cut])
            moved = pickle.loads(pickle.dumps(stayed))  # noqa: S301 (our own bytes)
            assert _play(moved, day[cut:]) == _play(stayed, day[cut:])

    def test_the_order_of_names_does_not_matter(self) -> None:
        """A mapping has no order; what is wanted is the same set whichever way it is walked."""
        forward = _play(self.make(), _fleet_day())
        backward = _play(self.make(), tuple(_reversed(seen) for seen in _fleet_day()))
        assert [set(each) for each in forward] == [set(each) for each in backward]

    def test_what_was_seen_is_not_changed(self) -> None:
        """An observation belongs to the journal; a policy only reads it."""
        day = _fleet_day()
        before = copy.deepcopy(day)
        _play(self.make(), day)
        assert day == before

    def test_nothing_seen_is_nothing_done(self) -> None:
        """An empty world gives no exception and no action; reasons to hold are welcome."""
        for proposals in _play(self.make(), tuple(observation(n * TICK_S) for n in range(20))):
            assert all(each.action.kind in ("hold", "alert") for each in proposals)

    def test_the_unknown_scales_and_promotes_nothing(self) -> None:
        """Where traffic, reports and comparisons are missing, replica counts and champions stay as they are."""
        forbidden = (Promote, Scale) if self.scales_by_traffic else (Promote,)
        for day in (tuple(map(_unknown, range(20))), (*_fleet_day(), *(_unknown(40 + n) for n in range(20)))):
            for proposals in _play(self.make(), day)[-20:]:
                assert not [each for each in proposals if isinstance(each.action, forbidden)]

    def test_replica_counts_stay_inside_the_bounds_of_the_deployment(self) -> None:
        """Never under `min_replicas`, never over `max_replicas`, never for a deployment that is not there."""
        policy = self.make()
        for seen in _fleet_day():
            for action in (each.action for each in policy.propose(seen)):
                if isinstance(action, Scale):
                    deployment = seen.deployments[action.deployment]
                    assert deployment.min_replicas <= action.replicas
                    assert deployment.max_replicas is None or action.replicas <= deployment.max_replicas

    def test_every_proposal_says_why(self) -> None:
        """There is evidence, and each piece has a name and a number or words."""
        for proposal in (each for proposals in _play(self.make(), _fleet_day()) for each in proposals):
            assert proposal.because, f"{proposal.action} has no evidence"
            assert all(_says_something(each) for each in proposal.because), proposal

    def test_one_target_is_asked_one_thing(self) -> None:
        """A policy does not contradict itself within a tick; several reasons to hold are no contradiction."""
        for proposals in _play(self.make(), _fleet_day()):
            targets = [target(each.action) for each in proposals if each.action.kind != "hold"]
            assert len(targets) == len(set(targets)), targets


def _says_something(evidence: Evidence) -> bool:
    return bool(evidence.name) and (evidence.value is not None or bool(evidence.note))
