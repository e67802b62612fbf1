"""Asking the policies. A policy is a user's code: what it raises, or proposes amiss, costs it that, and nobody else anything. Pure.

Every field of a proposal is looked at before anything is made of it: an order must be one that a world can do and a journal can write.
Numbers of other libraries (numpy's, Decimal) become Python's own. What is no finite number in evidence is not known.
"""

import math
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields, replace
from decimal import Decimal
from itertools import islice
from numbers import Real
from typing import Any, TypeVar, get_args

from agent.codec import writable_text
from agent.redaction import redacted_part
from agent.repeats import mark_of
from policies.action import Action, Alert, Evidence, Proposal
from policies.observation import Observation
from policies.policy import Policy

PROPOSALS_MAX = 100_000
"""More from one policy at one tick are not heard: what never ends must not stop the loop."""
COUNT_MAX = 1_000_000_000
ACTIONS: tuple[type, ...] = get_args(Action)
SEVERITIES = ("info", "warning", "critical")

ADDRESS = re.compile(r"\b0x[0-9A-Fa-f]{6,}\b")

T = TypeVar("T")
Fault = tuple[tuple[str, ...], str]
"""What stays the same of it, and what is told."""
Check = Callable[[Any], Any]
"""Gives the value as it shall be, raises ValueError or TypeError where it can not be."""


class BadProposal(ValueError):
    """A proposal that nothing can be made of; says which field and what was expected."""

    def __init__(self, name: str, expected: str, found: object) -> None:
        super().__init__(f"{name}: expected {expected}, got {_described(found)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What policies said at one moment: proposals in order of priority, alerts apart."""

    proposals: tuple[Proposal, ...] = ()
    alerts: tuple[Alert, ...] = ()
    marks: Mapping[Alert, Hashable] = field(default_factory=dict)
    """What stays the same of an alert about a policy, although its words may change at every look."""
    authors: Mapping[str, str] = field(default_factory=dict)
    """Author -> the policy that handed it over: one that is made of others may name them."""
    unsure: frozenset[str] = frozenset()
    """Policies of whose wishes not all are known, as they raised or proposed something amiss."""


def ask(policies: Iterable[tuple[str, Policy]], seen: Observation) -> Asked:
    """Every policy's proposals. One that raises loses all of its own, one that proposes something amiss loses that."""
    proposals: list[Proposal] = []
    alerts: list[Alert] = []
    marks: dict[Alert, Hashable] = {}
    authors: dict[str, str] = {}
    unsure: set[str] = set()
    for name, policy in policies:
        said, faults = _said(name, policy, seen)
        authors |= {each.policy: name for each in said}
        proposals += (each for each in said if not isinstance(each.action, Alert))
        alerts += (each.action for each in said if isinstance(each.action, Alert))
        for mark, fault in faults:
            alerts.append(Alert(subject=name, text=writable_text(redacted_part(fault)), severity="critical"))
            marks[alerts[-1]] = (name, *mark)
            unsure.add(name)
    return Asked(
        proposals=tuple(proposals), alerts=tuple(alerts), marks=marks, authors=authors, unsure=frozenset(unsure)
    )


def _said(name: str, policy: Policy, seen: Observation) -> tuple[list[Proposal], list[Fault]]:
    """What `policy` proposes, and what was wrong with the rest."""
    try:
        answer: Any = policy.propose(seen)
        if answer is None or isinstance(answer, Proposal):
            told = f"policy {name} returned {_described(answer)}; expected a list of proposals, which may be empty"
            return [], [((told,), told)]
        wanted = list(islice(answer, PROPOSALS_MAX + 1))
    except KeyboardInterrupt:  # a person's, who wants the process to end
        raise
    except BaseException as error:  # whatever a policy raises must not stop the others, be it a call of `sys.exit`
        return [], [(mark_of(error), f"policy {name} raised {_words(error)}")]
    good: list[Proposal] = []
    faults: list[Fault] = []
    if len(wanted) > PROPOSALS_MAX:
        told = f"policy {name} proposed more than {PROPOSALS_MAX} things at once; the rest was not heard"
        faults.append(((told,), told))
    for each in wanted[:PROPOSALS_MAX]:
        try:
            good.append(checked(each, name))
        except BadProposal as error:
            faults.append(((str(error),), f"policy {name} made a proposal that was left out: {error}"))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # what a user's own kind of tuple or text raises when it is looked at
            faults.append((mark_of(error), f"policy {name} made a proposal that was left out: {_words(error)}"))
    return good, faults


def _words(error: BaseException) -> str:
    """What was raised, also where it can not say so itself; without addresses, which are others whenever it is replayed."""
    try:
        return ADDRESS.sub("0x...", f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        raise
    except BaseException:
        return type(error).__name__


def checked(proposal: Any, policy: str) -> Proposal:
    """`proposal` with `policy` as its author, if it names none, and numbers that can be written. Raises BadProposal."""
    if type(proposal) is not Proposal:
        raise BadProposal("proposal", "a Proposal", proposal)
    action = proposal.action
    if type(action) not in ACTIONS:
        raise BadProposal("action", "one of " + ", ".join(kind.__name__ for kind in ACTIONS), action)
    author = _passed("policy", "text", _text, proposal.policy)
    return replace(
        proposal, action=_with(action, _action_fields(action)), because=_because(proposal), policy=author or policy
    )


def _action_fields(action: Any) -> Iterator[tuple[str, Any]]:
    for each in fields(action):
        name = f"{type(action).__name__}.{each.name}"
        value = getattr(action, each.name)
        if each.name == "kind":
            if not isinstance(value, str) or value != each.default:
                raise BadProposal(name, repr(each.default), value)
        elif not (value is None and _optional(each)):
            expected, check = FIELDS[each.name]
            yield each.name, _passed(name, expected, check, value)


def _because(proposal: Proposal) -> tuple[Evidence, ...]:
    if not isinstance(proposal.because, Sequence) or isinstance(proposal.because, str):
        raise BadProposal("because", "a tuple of Evidence", proposal.because)
    return tuple(_evidence(n, each) for n, each in enumerate(proposal.because))


def _evidence(n: int, evidence: Any) -> Evidence:
    if type(evidence) is not Evidence:
        raise BadProposal(f"because[{n}]", "Evidence", evidence)
    passed = (
        (name, _passed(f"because[{n}].{name}", expected, check, getattr(evidence, name)))
        for name, (expected, check) in EVIDENCE.items()
    )
    return _with(evidence, passed)


def _with(value: T, passed: Iterable[tuple[str, Any]]) -> T:
    """`value` with the fields that `passed` names, or itself where all of them are as they were."""
    changed = {
        name: new for name, new in passed if type(new) is not type(getattr(value, name)) or new != getattr(value, name)
    }
    return replace(value, **changed) if changed else value  # type: ignore[type-var]


def _passed(name: str, expected: str, check: Check, value: Any) -> Any:
    try:
        return check(value)
    except (ValueError, TypeError, ArithmeticError):
        raise BadProposal(name, expected, value) from None


def _optional(each: Field[Any]) -> bool:
    return each.default is None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    value.encode()  # a lone surrogate can be written nowhere
    return str(value)


def _told(value: Any) -> str:
    """What a policy says to people, without secrets: it may be what an error said to it."""
    return redacted_part(_text(value))


def _severity(value: Any) -> str:
    if value not in SEVERITIES:
        raise ValueError
    return str(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        raise TypeError
    exact: Any = value
    if int(exact) != exact:
        raise ValueError
    return int(exact)


def _count(low: int) -> Check:
    def check(value: Any) -> int:
        number = _whole(value)
        if not low <= number <= COUNT_MAX:
            raise ValueError
        return number

    return check


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real | Decimal) or not math.isfinite(value):
        raise ValueError
    return _plain(value)


def _plain(value: Any) -> float:
    """`value` as a number of Python's own."""
    return value if type(value) in {int, float} else float(value)


def _share(value: Any) -> float:
    number = _number(value)
    if not 0 <= number <= 1:
        raise ValueError
    return number


def _known(value: Any) -> float | None:
    """`value`, or None where it is no finite number. Raises TypeError where it is no number at all."""
    if value is None:
        return None
    if not isinstance(value, Real | Decimal):
        raise TypeError
    try:
        number = float(value)
    except (OverflowError, ValueError):
        return None
    if not math.isfinite(number):
        return None
    return _plain(value)


def _known_count(value: Any) -> int | None:
    return None if _known(value) is None else _whole(value)


def _described(value: object) -> str:
    """What kind of value it is; the value itself may be long, or another one at every tick."""
    kind = type(value).__name__
    if isinstance(value, bool) or not isinstance(value, Real | Decimal):
        return kind
    try:
        return f"a negative {kind}" if value < 0 else kind if math.isfinite(value) else f"{kind} {float(value)}"
    except (ArithmeticError, ValueError):
        return kind


TEXT: tuple[str, Check] = ("text that can be written as UTF-8", _text)
SHARE: tuple[str, Check] = ("a number from 0 to 1", _share)
MOMENT: tuple[str, Check] = ("a finite number of seconds", _number)
ONE_OR_MORE: tuple[str, Check] = (f"a whole number from 1 to {COUNT_MAX}", _count(1))
FIELDS: dict[str, tuple[str, Check]] = {
    **dict.fromkeys(("deployment", "replica", "model", "version", "digest", "to", "to_digest"), TEXT),
    **dict.fromkeys(("subject", "text"), (TEXT[0], _told)),
    "severity": ("one of " + ", ".join(SEVERITIES), _severity),
    "replicas": (f"a whole number from 0 to {COUNT_MAX}", _count(0)),
    "rows_max": ONE_OR_MORE,
    "concurrent_trials": ONE_OR_MORE,
    "share": SHARE,
    "shadow": SHARE,
    "since_s": MOMENT,
    "until_s": MOMENT,
}
"""What each field of an action must be; a name means the same in all of them."""
EVIDENCE: dict[str, tuple[str, Check]] = {
    "name": TEXT,
    "value": ("a number or None", _known),
    "threshold": ("a number or None", _known),
    "window_s": ("a number or None", _known),
    "n": ("a whole number or None", _known_count),
    "note": (TEXT[0], _told),
}
