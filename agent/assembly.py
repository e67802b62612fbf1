"""Settings and ports make an agent. Both worlds call this, so both run the same one."""

from collections.abc import Iterable, Sequence

from agent.calendar import FreezeCalendar
from agent.core import Core, Rules
from agent.journal.life import Beginning, Lived
from agent.journal.told import told_before
from agent.journal.warm_start import seen_again
from agent.ledger import TrainingCost
from agent.loop import Agent
from agent.notices import Notices
from agent.ports import Actuator, Notifier, Sensor, Trainer
from agent.settings import Settings
from agent.yaml_nodes import Fault
from policies import registry
from policies.imports import Packages
from policies.observation import Observation, Resources
from policies.policy import Policy
from policies.wrappers import Scoped

FIRST_LIFE = Beginning()


class AssemblyError(ValueError):
    """The settings name something that can not be built; says which key and what was expected."""


def policy_fault(error: AssemblyError, index: int) -> Fault:
    """Where in a list of policies, and in the policy at `index`, is wrong what could not be built, and how."""
    cause = error.__cause__ or error
    return ("policies", index, *getattr(cause, "place", ())), str(cause)


def build_policies(settings: Settings, allowed: Packages = ()) -> Sequence[tuple[str, Policy]]:
    """The policies of `settings` in order of priority, each seeing its targets only.

    `allowed` are the packages whose classes may be named by import path. Raises AssemblyError.
    """
    policies: list[tuple[str, Policy]] = []
    for index, entry in enumerate(settings.policies):
        try:
            policy = registry.build(entry.use, entry.parameters, allowed)
        except ValueError as error:
            raise AssemblyError(f"policies[{index}] (use: {entry.use}): {error}") from error
        scoped = policy if entry.targets == ("*",) else Scoped(policy=policy, targets=entry.targets)
        policies.append((entry.use, scoped))
    return policies


def rules(settings: Settings) -> Rules:
    """What the arbiter and the guards are told."""
    trainings = {name: model.training for name, model in settings.models.items() if model.training is not None}
    return Rules(
        autonomy=settings.autonomy,
        budget=settings.budget,
        guards=settings.guards,
        deadlines=settings.deadlines,
        training_cost={
            name: TrainingCost(
                trial=Resources(cpus=training.trial_cpus, gpus=training.trial_gpus), trials=training.concurrent_trials
            )
            for name, training in trainings.items()
        },
    )


def build_core(
    settings: Settings,
    beginning: Beginning = FIRST_LIFE,
    again: Iterable[Observation] = (),
    allowed: Packages = (),
) -> Core:
    """A core for `settings`, going on from what earlier lives left and saw: `again`, oldest first. Raises AssemblyError.

    `allowed` are the packages whose classes may be named by import path.
    """
    try:
        calendar = FreezeCalendar(settings.guards.freeze_windows)
    except ValueError as error:
        raise AssemblyError(f"guards.freeze_windows: {error}; expected a cron expression of five fields") from error
    core = Core(
        build_policies(settings, allowed),
        rules(settings),
        calendar,
        epoch=beginning.epoch,
        next_number=beginning.next_number,
        key_prefix=beginning.key_prefix,
        open_orders=beginning.open_orders,
        awaiting=beginning.awaiting,
        remembered=beginning.remembered,
        versions=beginning.versions(),
        back_off=beginning.back_off(),
    )
    for seen in (*beginning.owed, *again):
        core.relive(seen)
    return core


def assemble(
    settings: Settings,
    *,
    sensor: Sensor,
    actuator: Actuator,
    trainer: Trainer,
    notifier: Notifier,
    journal: Lived,
    beginning: Beginning = FIRST_LIFE,
    allowed: Packages = (),
) -> Agent:
    """An agent over the world behind the ports, which remembers what earlier lives saw and told last.

    Raises AssemblyError, JournalUnavailable.
    """
    agent = Agent(
        build_core(settings, beginning, seen_again(journal, beginning.seen_again_from), allowed),
        sensor=sensor,
        actuator=actuator,
        trainer=trainer,
        notifier=notifier,
        journal=journal,
        notices=Notices(settings.autonomy.approval_expires_s),
    )
    told = told_before(journal)
    if told is not None:
        agent.resume(told)
    return agent
