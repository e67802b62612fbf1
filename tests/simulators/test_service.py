"""Service times follow the law that they name."""

import numpy as np
import pytest
from scipy import stats

from simulators.compilation import cached, fingerprint
from simulators.draws import exponential, normal, streams
from simulators.service import Constant, Empirical, Exponential, Lognormal, Service, Tokens, draw, packed

_VERSION = fingerprint("draws", "service")
N = 200_000


@cached
def _draws(service, table, stream, out, version=_VERSION):  # type: ignore[no-untyped-def]
    for i in range(len(out)):
        out[i] = draw(service[0], table, stream[0])


@cached
def _plain(stream, normals, exponentials, version=_VERSION):  # type: ignore[no-untyped-def]
    for i in range(len(normals)):
        normals[i] = normal(stream[0])
        exponentials[i] = exponential(stream[0])


def sample(service: Service, seed: int = 3) -> np.ndarray:
    out = np.empty(N)
    _draws(*packed(service), streams(np.random.SeedSequence(seed)), out)
    return out


MEASURED = stats.rv_histogram((np.array([5.0, 1.25]), np.array([0.1, 0.2, 0.6])), density=True)
LAWS = [
    (Exponential(0.2, 0.05), stats.expon(loc=0.05, scale=0.2)),
    (Lognormal(0.0686, 0.4225, 0.0793), stats.lognorm(s=0.4225, loc=0.0793, scale=0.0686)),
    (Empirical((0.1, 0.2, 0.6), (0.0, 0.5, 1.0)), MEASURED),
]


@pytest.mark.parametrize(("service", "law"), LAWS)
def test_drawn_times_follow_their_law(service: Service, law: stats.rv_continuous) -> None:
    """Kolmogorov and Smirnov find no difference in 200,000 draws, and the mean is the one that is told."""
    drawn = sample(service)
    assert stats.kstest(drawn, law.cdf).pvalue > 1e-3
    assert service.mean_s == pytest.approx(law.mean(), rel=1e-9)
    assert drawn.mean() == pytest.approx(service.mean_s, rel=0.01)


def test_normal_and_exponential_numbers_are_right_to_the_tails() -> None:
    """Half a million each: the law as a whole, and the share beyond the ziggurat's last edge."""
    normals, exponentials = np.empty((2, 500_000))
    _plain(streams(np.random.SeedSequence(11)), normals, exponentials)
    assert stats.kstest(normals, "norm").pvalue > 1e-3
    assert stats.kstest(exponentials, "expon").pvalue > 1e-3
    for beyond, share in (
        (np.abs(normals) > 3.6541528853610088, 2 * stats.norm.sf(3.6541528853610088)),
        (exponentials > 7.7, np.exp(-7.7)),
    ):
        assert abs(beyond.sum() - share * 500_000) < 4 * np.sqrt(share * 500_000)


def test_a_constant_is_constant() -> None:
    """No chance is in it."""
    assert set(sample(Constant(0.25)).tolist()) == {0.25}


def test_one_seed_gives_one_course_and_another_another() -> None:
    """Streams of different seeds share nothing."""
    service = Exponential(1.0)
    assert np.array_equal(sample(service, 3), sample(service, 3))
    assert abs(np.corrcoef(sample(service, 3), sample(service, 4))[0, 1]) < 0.01


def test_tokens_take_so_long_each() -> None:
    """A constant, the prompt's tokens and the written ones."""
    assert Tokens(0.001, 0.02, 0.1).seconds(np.array([100.0, 0.0]), np.array([10.0, 1.0])) == pytest.approx([0.4, 0.12])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Constant(-1.0), "seconds must be a finite number >= 0, not -1.0"),
        (lambda: Exponential(0.0), "mean must be a finite number > 0, not 0.0"),
        (lambda: Lognormal(float("nan"), 1.0), "scale_s must be a finite number > 0, not nan"),
        (lambda: Empirical((0.1,)), "at least two quantiles"),
        (lambda: Empirical((0.2, 0.1)), "seconds must not descend"),
        (lambda: Empirical((0.1, 0.2), (0.0, 0.9)), "begin at 0 and end at 1"),
    ],
)
def test_a_service_that_cannot_be_is_refused(make: object, text: str) -> None:
    """The error names the field and what was expected."""
    with pytest.raises(ValueError, match=text):
        make()  # type: ignore[operator]
