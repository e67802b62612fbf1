"""Settings and ports make an agent. Both worlds call this, so both run the same one."""

from collections.abc import Iterable, Sequence

from agent.calendar import FreezeCalendar
from agent.core import Core, Rules
from agent.loop import Agent
from agent.order import Order
from agent.ports import Actuator, Journal, Notifier, Sensor, Trainer
from agent.settings import Settings
from policies import registry
from policies.observation import Resources
from policies.policy import Policy
from policies.wrappers import Scoped


class AssemblyError(ValueError):
    """The settings name something that can not be built; says which key and what was expected."""


def build_policies(settings: Settings) -> Sequence[tuple[str, Policy]]:
    """The policies of `settings` in order of priority, each seeing its targets only. Raises AssemblyError."""
    policies: list[tuple[str, Policy]] = []
    for index, entry in enumerate(settings.policies):
        try:
            policy = registry.build(entry.use, entry.parameters)
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
            name: Resources(
                cpus=training.trial_cpus * training.concurrent_trials,
                gpus=training.trial_gpus * training.concurrent_trials,
            )
            for name, training in trainings.items()
        },
    )


def build_core(settings: Settings, *, epoch: int = 1, next_number: int = 1, open_orders: Iterable[Order] = ()) -> Core:
    """A fresh core for `settings`, going on from the orders that an earlier life left open. Raises AssemblyError."""
    try:
        calendar = FreezeCalendar(settings.guards.freeze_windows)
    except ValueError as error:
        raise AssemblyError(f"guards.freeze_windows: {error}; expected a cron expression of five fields") from error
    return Core(
        build_policies(settings),
        rules(settings),
        calendar,
        epoch=epoch,
        next_number=next_number,
        open_orders=open_orders,
    )


def assemble(
    settings: Settings,
    *,
    sensor: Sensor,
    actuator: Actuator,
    trainer: Trainer,
    notifier: Notifier,
    journal: Journal,
    epoch: int = 1,
    next_number: int = 1,
    open_orders: Iterable[Order] = (),
) -> Agent:
    """An agent over the world behind the ports. Raises AssemblyError."""
    return Agent(
        build_core(settings, epoch=epoch, next_number=next_number, open_orders=open_orders),
        sensor=sensor,
        actuator=actuator,
        trainer=trainer,
        notifier=notifier,
        journal=journal,
    )
