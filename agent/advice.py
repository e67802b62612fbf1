"""What a configuration says that is allowed, and hardly meant: told by `config validate` and `run`, and no reason to refuse it."""

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from agent.application_names import CHALLENGER_SUFFIX, SERVER_DEPLOYMENT, application_name
from agent.matching import Known, unmatched
from agent.settings import DeploymentSettings, PolicySettings, Settings
from agent.strict_yaml import dotted
from policies.registry import POLICIES

WITHOUT_SLO = frozenset(POLICIES) - {"joint", "aiad", "one_shot", "mark", "faro_sum", "faro_fair_sum"}
"""Policies of ours that read no latency objective. What others read is not known, so nothing is said of theirs."""
LONG_SLO_S = 30.0


def advice(settings: Settings) -> Iterator[str]:
    """One sentence for each thing that should be looked at again."""
    if not (settings.deployments or settings.models or settings.policies):
        yield "the configuration: it names no deployment, no model and no policy, so an agent would only watch"
    for keys, name, deployment in _deployments(settings):
        if deployment.slo_latency_s is None:
            continue
        if not any(_reads_slo(each) for each in settings.policies if _aims(each, name)):
            yield (
                f"{keys}.slo_latency_s: no policy of this configuration that looks at {name} reads it, so nothing is scaled by it; "
                "joint, aiad, one_shot, mark, faro_sum and faro_fair_sum do"
            )
        if deployment.slo_latency_s > LONG_SLO_S:
            yield f"{keys}.slo_latency_s: {deployment.slo_latency_s:g} s is long; were milliseconds meant?"
    yield from _unreachable_targets(settings)
    if settings.deployments or settings.models:
        yield from (f"{dotted(keys)}: {told}" for keys, told in unmatched(settings.policies, _known(settings)))


def _known(settings: Settings) -> Known:
    """All that an agent of these settings can see, challengers too."""
    served = {application_name(name, model) for name, model in settings.models.items()}
    applications = [*served, *(f"{each}{CHALLENGER_SUFFIX}" for each in served)]
    probes = [each.probe for each in settings.deployments.values() if each.probe is not None]
    return Known(
        deployments=[*settings.deployments, *(f"{each}/{SERVER_DEPLOYMENT}" for each in sorted(applications))],
        models=[*settings.models, *probes],
    )


def _deployments(settings: Settings) -> Iterator[tuple[str, str, DeploymentSettings]]:
    """Where each stands in the file, its name on Serve, and what is said of it."""
    for name, deployment in settings.deployments.items():
        yield f"deployments.{name}", name, deployment
    for name, model in settings.models.items():
        yield f"models.{name}.deployment", f"{application_name(name, model)}/{SERVER_DEPLOYMENT}", model.deployment


def _unreachable_targets(settings: Settings) -> Iterator[str]:
    for name, model in settings.models.items():
        served = f"{application_name(name, model)}/{SERVER_DEPLOYMENT}"
        most = model.server.max_ongoing_requests
        for index, entry in enumerate(settings.policies):
            target = entry.parameters.get("target_ongoing_requests")
            if _aims(entry, served) and isinstance(target, int | float) and target > most:
                yield (
                    f"policies[{index}].target_ongoing_requests: {target:g} is more than a replica of {name} answers at a time "
                    f"(models.{name}.server.max_ongoing_requests: {most}), so requests queue before replicas are added"
                )


def _aims(entry: PolicySettings, name: str) -> bool:
    return any(fnmatchcase(name, glob) for glob in entry.targets)


def _reads_slo(entry: PolicySettings) -> bool:
    return any(use not in WITHOUT_SLO for use in _uses(entry.model_dump()))


def _uses(value: Any) -> Iterator[str]:
    """Names of the policy and of those inside it; a wrapper reads what its inner one reads."""
    if isinstance(value, Mapping):
        inner = [use for each in value.values() for use in _uses(each)]
        yield from inner or ([value["use"]] if isinstance(value.get("use"), str) else [])
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _uses(each)
