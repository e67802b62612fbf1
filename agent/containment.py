"""What a part raises to end its process, or its task, is a fault of that part. Only a person's Ctrl-C ends an agent. Pure."""

from collections.abc import Iterator
from contextlib import contextmanager


class PartEnded(RuntimeError):
    """A sensor, an actuator, a notifier or another part raised what would have ended the agent, such as SystemExit."""


@contextmanager
def contained() -> Iterator[None]:
    """Lets every Exception through, and KeyboardInterrupt. Raises PartEnded in place of anything else."""
    try:
        yield
    except (Exception, KeyboardInterrupt):
        raise
    except BaseException as error:
        told = str(error)
        raise PartEnded(f"it raised {type(error).__name__}{f': {told}' if told else ''}") from error
