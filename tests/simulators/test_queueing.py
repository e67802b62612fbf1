"""The simulator agrees with theory, and its two paths with each other."""

import math

import numpy as np
import pytest

from benchmarks.queueing import cases, rows
from benchmarks.queueing_theory import erlang_c, lognormal_single, markov, steady_service
from simulators.request_waiting import SharedQueue, waits
from simulators.requests import RequestKernel
from simulators.service import Exponential, Lognormal, Tokens
from simulators.sketch import sketch_of

QUICK = [c for c in cases() if c.load == 0.8 and (c.servers in (1, 4) or c.events)]


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_waits_and_sojourns_agree_with_theory(case: object) -> None:
    """400,000 requests: within 1 % (mean) and 2 % (p99), or three standard errors."""
    told = rows(case, 400_000, seed=2)  # type: ignore[arg-type]
    assert [row["name"] for row in told if not row["held"]] == []


def test_a_wrong_theory_is_noticed() -> None:
    """A service 10 % longer than theory thinks does not pass."""
    case = next(c for c in cases() if c.name == "M/M/4 load 0.5")
    wrong = type(case)(case.name, Exponential(1.0), 4, 0.55, case.theory)
    assert rows(wrong, 400_000, seed=2)[0]["held"] is False


def test_theory_agrees_with_its_textbook_values() -> None:
    """M/M/1 and M/D/1 in closed form; Erlang's C of two servers; an exponential as a limit of the rest."""
    assert erlang_c(2, 0.75) == pytest.approx(2 * 0.75**2 / 1.75)
    assert markov(1, 0.8, 0.99).sojourn_s == pytest.approx(math.log(100) / 0.2)
    assert steady_service(1, 0.5, 0.99).mean_wait_s == pytest.approx(0.5)
    narrow = Lognormal(1.0, 1e-3)
    assert lognormal_single(narrow, 0.8, 0.99).mean_wait_s == pytest.approx(2.0, rel=1e-4)
    assert lognormal_single(narrow, 0.8, 0.99).sojourn_s == pytest.approx(
        steady_service(1, 0.8, 0.99).sojourn_s, rel=2e-3
    )


@pytest.mark.parametrize("servers", [1, 4, 16, 64])
def test_both_paths_agree_request_by_request(servers: int) -> None:
    """The same arrivals and service times through the recursion and through the event kernel."""
    random = np.random.default_rng(servers)
    arrivals = np.cumsum(random.exponential(1 / (0.9 * servers), 4000))
    services = random.lognormal(-0.5, 1.0, 4000)
    expected = waits(arrivals, services, servers)
    kernel = RequestKernel(
        service=Tokens(0.0, 0.0),
        routing="shared_queue",
        max_ongoing_requests=1,
        seed=np.random.SeedSequence(1),
        bin_s=0.01,
    )
    for replica in range(servers):
        kernel.add_replica(replica)
    kernel.advance(arrivals, float(arrivals[-1]) + 1e-9, services)
    kernel.advance(np.empty(0), float((arrivals + expected + services).max()))
    seen = [(b.begin_s, b.p50_s) for b in kernel.closed_bins() if b.arrived == 1]
    alone = {round(begin_s / 0.01): p50_s for begin_s, p50_s in seen}
    pairs = [
        (alone[m], w + s)
        for m, w, s in zip((arrivals / 0.01).astype(int), expected, services, strict=True)
        if m in alone
    ]
    assert len(pairs) > 500
    assert [a for a, _ in pairs] == pytest.approx([b for _, b in pairs], rel=0.004)
    counted = kernel.snapshot()
    assert counted.latency_sum_s == pytest.approx(float((expected + services).sum()), rel=1e-12)
    assert np.array_equal(counted.sketch, sketch_of(expected + services))


def test_waits_by_hand() -> None:
    """Two servers, four requests."""
    assert waits(np.array([0.0, 1.0, 2.0, 3.0]), np.array([5.0, 5.0, 1.0, 1.0]), 2).tolist() == [0.0, 0.0, 3.0, 3.0]


def test_a_plain_queue_can_be_fed_in_pieces() -> None:
    """Blocks do not change what happens."""
    arrivals = np.cumsum(np.random.default_rng(1).exponential(0.3, 1000))
    whole, parts = (
        SharedQueue(service=Exponential(1.0), servers=4, slo_s=2.0, seed=np.random.SeedSequence(5)) for _ in range(2)
    )
    whole.advance(arrivals)
    for part in np.array_split(arrivals, 7):
        parts.advance(part)
    assert np.array_equal(whole.sketch, parts.sketch)
    assert (whole.served, whole.late, whole.wait_sum_s) == (parts.served, parts.late, parts.wait_sum_s)
