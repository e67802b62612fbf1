"""Which key of its file a run was about when it fell over. What can be wrong with a file is refused before; this is the last net."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.strict_yaml import dotted, read
from agent.yaml_nodes import FileFault, Keys, text_of
from simulators.engine import Act

_NAME = "scenario_keys"


@contextmanager
def about(*keys: str | int) -> Iterator[None]:
    """Whatever is raised meanwhile came about by `keys`; what stands nearest to it counts."""
    try:
        yield
    except Exception as error:
        if not hasattr(error, _NAME):
            setattr(error, _NAME, keys)
        raise


def acting(act: Act, *keys: str | int) -> Act:
    """`act`, about `keys`."""

    def acted() -> None:
        with about(*keys):
            act()

    return acted


def told(error: BaseException, file: str) -> str:
    """What happened, with the line and the key in `file` that it was about; the first line where nobody knows."""
    keys: Keys = getattr(error, _NAME, ())
    where = f"{file}:{_line(file, keys)}: {dotted(keys)}{': ' if keys else ''}"
    return f"{where}the run fell over: {type(error).__name__}: {error}"


def _line(file: str, keys: Keys) -> int:
    if not Path(file).is_file():
        return 1
    try:
        return read(text_of(file), file).line(keys)
    except FileFault:
        return 1
