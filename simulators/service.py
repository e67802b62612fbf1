"""How long one request takes: constant, exponential, shifted lognormal, empirical, or by its tokens.

A service is a frozen dataclass; `packed` lays several of them out as records and `draw` takes from one of these inside compiled
code. Times are seconds at speed 1: what slows a replica down multiplies them elsewhere.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulators.compilation import compiled
from simulators.draws import exponential, normal, uniform

SERVICE = np.dtype(
    [("kind", "i8"), ("shift_s", "f8"), ("scale_s", "f8"), ("shape", "f8"), ("begin", "i8"), ("points", "i8")]
)
"""One service: `begin` and `points` say where its probabilities lie in the table; its values follow them."""

NOTHING, CONSTANT, EXPONENTIAL, LOGNORMAL, EMPIRICAL, GIVEN = range(6)


def _require(holds: bool, text: str) -> None:
    if not holds:
        raise ValueError(text)


def _finite(name: str, value: float, *, positive: bool = False) -> None:
    fine = math.isfinite(value) and (value > 0 if positive else value >= 0)
    _require(fine, f"{name} must be a finite number {'> 0' if positive else '>= 0'}, not {value!r}")


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same."""

    seconds: float
    kind: ClassVar[int] = CONSTANT

    def __post_init__(self) -> None:
        _finite("seconds", self.seconds)

    @property
    def mean_s(self) -> float:
        return self.seconds


@dataclass(frozen=True, slots=True)
class Exponential:
    """Without memory, after an optional fixed part."""

    mean: float
    shift_s: float = 0.0
    kind: ClassVar[int] = EXPONENTIAL

    def __post_init__(self) -> None:
        _finite("mean", self.mean, positive=True)
        _finite("shift_s", self.shift_s)

    @property
    def mean_s(self) -> float:
        return self.shift_s + self.mean


@dataclass(frozen=True, slots=True)
class Lognormal:
    """shift_s + scale_s * exp(shape * N), N standard normal: scipy's lognorm(s=shape, loc=shift_s, scale=scale_s)."""

    scale_s: float
    shape: float
    shift_s: float = 0.0
    kind: ClassVar[int] = LOGNORMAL

    def __post_init__(self) -> None:
        _finite("scale_s", self.scale_s, positive=True)
        _finite("shape", self.shape)
        _finite("shift_s", self.shift_s)

    @property
    def mean_s(self) -> float:
        return self.shift_s + self.scale_s * math.exp(self.shape**2 / 2)


@dataclass(frozen=True, slots=True)
class Empirical:
    """The inverse of a measured distribution function, linear between its points.

    `probabilities` ascend from 0 to 1, `seconds` are the quantiles there. Without probabilities the quantiles are equally spaced.
    """

    seconds: tuple[float, ...]
    probabilities: tuple[float, ...] = ()
    kind: ClassVar[int] = EMPIRICAL

    def __post_init__(self) -> None:
        _require(len(self.seconds) >= 2, "seconds must hold at least two quantiles")
        for value in self.seconds:
            _finite("seconds", value)
        at = self.points
        _require(len(at) == len(self.seconds), "probabilities and seconds must be of one length")
        _require(at[0] == 0 and at[-1] == 1, "probabilities must begin at 0 and end at 1")
        _require(all(a < b for a, b in pairwise(at)), "probabilities must ascend")
        _require(all(a <= b for a, b in pairwise(self.seconds)), "seconds must not descend")

    @property
    def points(self) -> tuple[float, ...]:
        return self.probabilities or tuple(np.linspace(0.0, 1.0, len(self.seconds)).tolist())

    @property
    def mean_s(self) -> float:
        return float(np.trapezoid(self.seconds, self.points))


@dataclass(frozen=True, slots=True)
class Tokens:
    """A language model: a constant, and so much for each token that is read and each that is written.

    The tokens come with each request; `seconds` turns them into the marks that `RequestKernel.advance` takes.
    """

    prompt_token_s: float
    output_token_s: float
    constant_s: float = 0.0
    kind: ClassVar[int] = GIVEN

    def __post_init__(self) -> None:
        for name in ("prompt_token_s", "output_token_s", "constant_s"):
            _finite(name, getattr(self, name))

    def seconds(self, prompt_tokens: NDArray[np.float64], output_tokens: NDArray[np.float64]) -> NDArray[np.float64]:
        """Service times of requests with so many tokens, shape (requests,)."""
        read: NDArray[np.float64] = np.asarray(prompt_tokens, dtype=np.float64) * self.prompt_token_s
        return self.constant_s + read + np.asarray(output_tokens, dtype=np.float64) * self.output_token_s


Service: TypeAlias = Constant | Exponential | Lognormal | Empirical | Tokens


def packed(*services: Service | None) -> tuple[NDArray[np.void], NDArray[np.float64]]:
    """Records and the table of the empirical ones, for `draw`. None is a service that takes no time."""
    records = np.zeros(len(services), SERVICE)
    table: list[float] = []
    for record, service in zip(records, services, strict=True):
        record["kind"] = NOTHING if service is None else service.kind
        match service:
            case Constant(seconds):
                record["shift_s"] = seconds
            case Exponential(mean, shift_s):
                record["scale_s"], record["shift_s"] = mean, shift_s
            case Lognormal(scale_s, shape, shift_s):
                record["scale_s"], record["shape"], record["shift_s"] = scale_s, shape, shift_s
            case Empirical(seconds):
                record["begin"], record["points"] = len(table), len(seconds)
                table += [*service.points, *seconds]
            case _:
                pass
    return records, np.array(table or [0.0])


@compiled
def _empirical(table: NDArray[np.float64], begin: int, points: int, at: float) -> float:
    low, high = begin, begin + points - 1
    while high - low > 1:
        middle = (low + high) >> 1
        if table[middle] <= at:
            low = middle
        else:
            high = middle
    share = (at - table[low]) / (table[high] - table[low])
    return table[low + points] + share * (table[high + points] - table[low + points])


@compiled
def draw(service: np.void, table: NDArray[np.float64], stream: np.void) -> float:
    """One service time in seconds. `GIVEN` draws nothing: such a request carries its own."""
    kind = service.kind
    if kind == LOGNORMAL:
        return service.shift_s + service.scale_s * np.exp(service.shape * normal(stream))
    if kind == EXPONENTIAL:
        return service.shift_s + service.scale_s * exponential(stream)
    if kind == EMPIRICAL:
        return _empirical(table, service.begin, service.points, uniform(stream))
    return service.shift_s
