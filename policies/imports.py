"""From an import path "package.module:Class" to its class, where whoever runs the command has allowed that package.

Settings, scenarios and journals are handed around, so a name in them runs no code by itself:

1. Nothing is imported but what lies inside an allowed package. No file can allow one; only the caller of a command or a function does.
2. What is found has to be a class that is defined in an allowed package, not one that a module there has imported from elsewhere.
3. It has to have the methods of what it is to stand for. All this is looked at before anything of it is called.
"""

import difflib
import importlib
import inspect
import re
from collections.abc import Sequence

Packages = tuple[str, ...]
"""Names of packages whose classes may be named by import path; "shop" allows "shop.policies" as well."""
OPTION = "--allow-imports"
_PACKAGE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_PATH = re.compile(rf"(?P<module>{_PACKAGE.pattern}):[^\W\d]\w*")


class ImportRefused(ValueError):
    """What an import path names is not allowed, not there, or not of the kind that was asked for."""


def packages(names: Sequence[str]) -> Packages:
    """`names` as packages that are allowed. Raises ValueError for what can not be the name of a package."""
    for name in names:
        if not _PACKAGE.fullmatch(name):
            raise ValueError(f"{OPTION}: found {name!r}; expected the name of a package, such as shop or shop.policies")
    return tuple(dict.fromkeys(names))


def found(path: str, allowed: Packages, methods: Sequence[str]) -> type:
    """The class at `path`, uncalled, which has all of `methods`. Raises ImportRefused."""
    parts = _PATH.fullmatch(path)
    if parts is None:
        raise ImportRefused(f"{path!r} is neither a registered name nor package.module:Class")
    module = parts["module"]
    if not _inside(module, allowed):
        raise ImportRefused(
            f"{path!r} is an import path; expected a registered name, or {OPTION} {module.partition('.')[0]} on the command line "
            "where that is code which you trust"
        )
    cls = _imported(path)
    if not inspect.isclass(cls):
        raise ImportRefused(f"{path!r} is no class; expected one with {_listed(methods)}")
    if not _inside(cls.__module__, allowed):
        raise ImportRefused(
            f"{path!r} is defined in {cls.__module__!r}; expected a class of {', '.join(allowed)} itself"
        )
    if missing := [each for each in methods if not callable(getattr(cls, each, None))]:
        raise ImportRefused(f"{path!r} has no method {missing[0]}; expected a class with {_listed(methods)}")
    return cls


def _inside(module: str, allowed: Packages) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in allowed)


def _imported(path: str) -> object:
    module, _, name = path.partition(":")
    try:
        holder = importlib.import_module(module)
    except Exception as error:  # the module is the user's, and may raise anything
        raise ImportRefused(
            f"{path!r} can not be imported: {type(error).__name__}: {error}{_next_step(module, error)}"
        ) from error
    if not hasattr(holder, name):
        near = difflib.get_close_matches(
            name, [each for each in vars(holder) if inspect.isclass(vars(holder)[each])], n=1
        )
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ImportRefused(f"{path!r} can not be imported: {module} has no class {name!r}{hint}")
    thing: object = getattr(holder, name)
    return thing


def _next_step(module: str, error: Exception) -> str:
    """What makes a module found which is not there itself, rather than another that it wants."""
    if not isinstance(error, ModuleNotFoundError) or not _inside(module, (error.name or "",)):
        return ""
    return (
        "; install its package, or put the folder that holds it on PYTHONPATH: where the command is called, and for an agent also where "
        "Ray is started, since it runs there"
    )


def _listed(methods: Sequence[str]) -> str:
    return " and ".join(f"{each}(...)" for each in methods)
