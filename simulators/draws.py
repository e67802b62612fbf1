"""Random numbers inside compiled code: one small stream of its own for each cause of chance.

xoshiro256++ (Blackman and Vigna, 2021, "Scrambled linear pseudorandom number generators") and the ziggurat method for normal and
exponential numbers (Marsaglia and Tsang, 2000, J. Stat. Softw. 5(8)) with 256 layers. NumPy's own generators can be passed to
numba too and draw as fast, but cost about 150 microseconds at every call into compiled code, more than the work of a whole block.
"""

import numpy as np
from numpy.typing import NDArray

from simulators.compilation import compiled

STREAM = np.dtype([("a", "u8"), ("b", "u8"), ("c", "u8"), ("d", "u8")])
"""The state of one stream."""

LAYERS = 256
NORMAL_EDGE, NORMAL_AREA = 3.6541528853610088, 0.00492867323399
EXPONENTIAL_EDGE, EXPONENTIAL_AREA = 7.69711747013104972, 0.0039496598225815571993


def streams(*seeds: np.random.SeedSequence) -> NDArray[np.void]:
    """One record of `STREAM` for each seed."""
    state = np.array([seed.generate_state(4, np.uint64) for seed in seeds])
    return state.view(STREAM).reshape(len(seeds))


def _normal_layers() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    edges = np.zeros(LAYERS + 1)
    edges[:2] = NORMAL_AREA / np.exp(-0.5 * NORMAL_EDGE**2), NORMAL_EDGE
    for i in range(2, LAYERS):
        edges[i] = np.sqrt(-2 * np.log(NORMAL_AREA / edges[i - 1] + np.exp(-0.5 * edges[i - 1] ** 2)))
    return edges, np.exp(-0.5 * edges**2)


def _exponential_layers() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    edges = np.zeros(LAYERS + 1)
    edges[:2] = EXPONENTIAL_AREA / np.exp(-EXPONENTIAL_EDGE), EXPONENTIAL_EDGE
    for i in range(2, LAYERS):
        edges[i] = -np.log(EXPONENTIAL_AREA / edges[i - 1] + np.exp(-edges[i - 1]))
    return edges, np.exp(-edges)


NORMAL_X, NORMAL_Y = _normal_layers()
EXPONENTIAL_X, EXPONENTIAL_Y = _exponential_layers()


@compiled
def bits(stream: np.void) -> np.uint64:
    """The next 64 bits."""
    a, b, c, d = stream.a, stream.b, stream.c, stream.d
    mixed = a + d
    result = ((mixed << np.uint64(23)) | (mixed >> np.uint64(41))) + a
    shifted = b << np.uint64(17)
    c ^= a
    d ^= b
    b ^= c
    a ^= d
    c ^= shifted
    stream.a, stream.b, stream.c = a, b, c
    stream.d = (d << np.uint64(45)) | (d >> np.uint64(19))
    return result


@compiled
def uniform(stream: np.void) -> float:
    """In [0, 1), a multiple of 2^-53."""
    return np.float64(bits(stream) >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@compiled
def below(stream: np.void, n: int) -> int:
    """A whole number in [0, n); the bias of 2^-53 n is of no account for a count of replicas."""
    return np.int64(uniform(stream) * n)


@compiled
def _normal_tail(stream: np.void) -> float:
    while True:
        x = -np.log(1.0 - uniform(stream)) / NORMAL_EDGE
        y = -np.log(1.0 - uniform(stream))
        if y + y > x * x:
            return NORMAL_EDGE + x


@compiled
def normal(stream: np.void) -> float:
    """Mean 0, variance 1. Layer, sign and height come from different bits of one draw."""
    while True:
        drawn = bits(stream)
        layer = np.int64(drawn & np.uint64(255))
        sign = 1.0 if drawn & np.uint64(256) else -1.0
        x = np.float64(drawn >> np.uint64(11)) * (1.0 / 9007199254740992.0) * NORMAL_X[layer]
        if x < NORMAL_X[layer + 1]:
            return sign * x
        if layer == 0:
            return sign * _normal_tail(stream)
        height = NORMAL_Y[layer] + uniform(stream) * (NORMAL_Y[layer + 1] - NORMAL_Y[layer])
        if height < np.exp(-0.5 * x * x):
            return sign * x


@compiled
def exponential(stream: np.void) -> float:
    """Mean 1."""
    while True:
        drawn = bits(stream)
        layer = np.int64(drawn & np.uint64(255))
        x = np.float64(drawn >> np.uint64(11)) * (1.0 / 9007199254740992.0) * EXPONENTIAL_X[layer]
        if x < EXPONENTIAL_X[layer + 1]:
            return x
        if layer == 0:
            return EXPONENTIAL_EDGE - np.log(1.0 - uniform(stream))
        height = EXPONENTIAL_Y[layer] + uniform(stream) * (EXPONENTIAL_Y[layer + 1] - EXPONENTIAL_Y[layer])
        if height < np.exp(-x):
            return x
