"""Every request of a deployment is accounted for, served in order, and never beyond a limit."""

import heapq
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.requests import Counters, RequestKernel
from simulators.service import Constant, Exponential, Lognormal, Tokens
from simulators.sketch import quantiles
from simulators.windows import window_quantiles

NOTHING = np.empty(0)


def kernel(replicas: int = 1, seed: int = 1, **options: Any) -> RequestKernel:
    made = RequestKernel(
        **{"service": Constant(1.0), "routing": "round_robin", "seed": np.random.SeedSequence(seed), **options}
    )
    for replica in range(replicas):
        made.add_replica(replica)
    return made


def outcome(k: RequestKernel) -> dict[str, int]:
    now = k.snapshot()
    names = ("completed", "dropped", "failed", "timed_out", "late")
    return {name: getattr(now, name) for name in names if getattr(now, name)}


def same(one: Counters, two: Counters) -> bool:
    counts = [name for name in Counters.__dataclass_fields__ if name not in ("sketch", "replicas")]
    exact = [n for n in counts if isinstance(getattr(one, n), int)]
    near = [n for n in counts if n not in exact]
    return (
        all(getattr(one, n) == getattr(two, n) for n in exact)
        and all(math.isclose(getattr(one, n), getattr(two, n), rel_tol=1e-9, abs_tol=1e-9) for n in near)
        and np.array_equal(one.sketch, two.sketch)
        and np.array_equal(one.replicas.completed, two.replicas.completed)
    )


def balanced(now: Counters) -> bool:
    """Conservation, and the integrals of what is here agree with what is here."""
    return now.arrived == now.ended + now.in_system and now.in_system >= 0 and now.sketch.sum() == now.completed


def test_latencies_of_more_requests_than_32_bits_count_have_quantiles() -> None:
    """Two thousand million requests of one latency, and some more: of all, of one replica and of the newest window."""
    k = kernel(seed=1, service=Constant(0.125))
    k.advance(np.arange(4.0), 4.0)
    for sketch in (k._k.sketch, k._k.replica_sketches[0]):
        sketch[sketch > 0] = 2**31 - 2
    before = k.snapshot()
    k.advance(np.arange(4.0, 14.0), 14.0)
    now = k.snapshot()
    assert (now.sketch.max(), now.replicas.sketches.max()) == (2**31 + 8, 2**31 + 8)
    assert quantiles(now.sketch, (0.5, 0.99)) == pytest.approx((0.125, 0.125), rel=0.01)
    assert window_quantiles(now.sketch, before.sketch, (0.5, 0.99)) == pytest.approx((0.125, 0.125), rel=0.01)


def test_one_server_serves_in_the_order_of_arrival() -> None:
    """Three at once, a second each: they are done after one, two and three seconds."""
    k = kernel(max_ongoing_requests=1, bin_s=1.0)
    k.advance(np.array([0.0, 0.0, 0.0]), 2.5)
    now = k.snapshot()
    assert (now.completed, now.queued, now.ongoing, now.latency_sum_s) == (2, 0, 1, 3.0)
    k.advance(NOTHING, 3.0)
    assert k.snapshot().latency_sum_s == 6.0
    assert k.snapshot().queued_integral == pytest.approx(3.0)
    assert k.snapshot().ongoing_integral == pytest.approx(3.0)


def test_the_slo_is_counted_exactly() -> None:
    """A latency equal to the SLO is in time, the next one is late."""
    k = kernel(slo_s=1.0)
    k.advance(np.array([0.0, 0.5]), 5.0)
    assert outcome(k) == {"completed": 2, "late": 1}


@pytest.mark.parametrize(("holds", "dropped"), [(0, 6), (1, 5)])
def test_a_request_that_finds_more_waiting_is_dropped(holds: int, dropped: int) -> None:
    """One in service, then as many as wait while at most two were waiting; one more with a dispatcher that holds one."""
    k = kernel(max_ongoing_requests=1, max_queued_requests=2, dispatcher_holds=holds)
    k.advance(np.zeros(10), 0.5)
    assert k.snapshot().dropped == dropped
    k.advance(NOTHING, 30.0)
    assert outcome(k) == {"completed": 10 - dropped, "dropped": dropped}


def reference(  # noqa: C901, PLR0917 - a reference is one plain loop
    arrivals: np.ndarray, work: np.ndarray, replicas: int, held: int, limit: int, hop_s: float
) -> list[float]:
    """Faro's mechanics with a constant router, written plainly: the latency of each request, inf where it was dropped."""
    events: list[tuple[float, int, str, int]] = []
    order = iter(range(10**9))
    done: list[float] = [math.nan] * len(arrivals)
    router: list[int] = []
    waiting: list[int] = []
    queues: list[list[int]] = [[] for _ in range(replicas)]
    back: dict[int, float] = {}
    turn, free_s = 0, 0.0

    def put(t: float, what: str, which: int) -> None:
        heapq.heappush(events, (t, next(order), what, which))

    def route(t: float, which: int) -> None:
        nonlocal free_s
        free_s = max(t, free_s) + hop_s
        put(free_s, "routed", which)

    def hand_out(t: float) -> None:
        nonlocal turn
        while waiting:
            places = [(turn + i) % replicas for i in range(replicas) if len(queues[(turn + i) % replicas]) < held]
            if not places:
                return
            turn = (places[0] + 1) % replicas
            queues[places[0]].append(waiting.pop(0))
            if len(queues[places[0]]) == 1:
                put(t + work[queues[places[0]][0]], "served", places[0])

    for which, t in enumerate(arrivals):
        put(float(t), "arrived", which)
    while events:
        t, _, what, which = heapq.heappop(events)
        if what == "arrived":
            route(t, which)
        elif what == "served":
            answered = queues[which].pop(0)
            back[answered] = 0.0
            route(t, answered)
            if queues[which]:
                put(t + work[queues[which][0]], "served", which)
            hand_out(t)
        elif which in back:
            done[which] = t - arrivals[which] + back[which]
        elif len(waiting) > limit:
            back[which] = math.inf
            route(t, which)
        else:
            waiting.append(which)
            hand_out(t)
    assert router == []
    return done


@pytest.mark.parametrize(("replicas", "rate"), [(1, 5.0), (3, 20.0), (3, 40.0), (20, 150.0)])
def test_faros_mechanics_agree_with_a_plain_simulation(replicas: int, rate: float) -> None:
    """Router in and out, round robin under four held, a queue of 50 and one more: the same latencies and drops."""
    random = np.random.default_rng(replicas)
    arrivals = np.cumsum(random.exponential(1 / rate, 3000))
    work = 0.0793 + 0.0686 * np.exp(0.4225 * random.standard_normal(3000))
    expected = np.array(reference(arrivals, work, replicas, 4, 51, 0.0046))
    k = kernel(
        replicas,
        service=Tokens(0, 0),
        max_ongoing_requests=4,
        max_queued_requests=50,
        dispatcher_holds=1,
        router=Constant(0.0046),
        slo_s=0.72,
    )
    k.advance(arrivals, float(arrivals[-1]) + 1e-9, work)
    k.advance(NOTHING, float(arrivals[-1]) + 100.0)
    now, served = k.snapshot(), expected[np.isfinite(expected)]
    assert (now.completed, now.dropped, now.late) == (
        len(served),
        int(np.isinf(expected).sum()),
        int((served > 0.72).sum()),
    )
    assert now.latency_sum_s == pytest.approx(float(served.sum()), rel=1e-9)


def test_round_robin_goes_round() -> None:
    """Twelve requests far apart: three to each of four replicas."""
    k = kernel(4)
    k.advance(np.arange(12) * 2.0, 100.0)
    assert k.snapshot().replicas.completed.tolist() == [3, 3, 3, 3]


def test_least_loaded_looks_at_all() -> None:
    """Eight at once fall evenly on four replicas."""
    k = kernel(4, routing="least_loaded")
    k.advance(np.zeros(8), 0.1)
    assert k.snapshot().replicas.ongoing.tolist() == [2, 2, 2, 2]


def test_two_choices_are_better_than_one_and_worse_than_all() -> None:
    """Mean latency of ten replicas at 90 % load, by routing."""
    arrivals = np.cumsum(np.random.default_rng(3).exponential(1 / 9, 60_000))
    seen = {}
    for routing in ("shared_queue", "power_of_two", "round_robin"):
        k = kernel(10, service=Exponential(1.0), routing=routing, max_ongoing_requests=1000, bin_s=1e9)
        k.advance(arrivals, 1e5)
        seen[routing] = k.snapshot().latency_sum_s / k.snapshot().completed
    assert seen["shared_queue"] < seen["power_of_two"] < seen["round_robin"]


def test_power_of_two_backs_off_as_serve_does() -> None:
    """A full replica, one request waiting: tried at once three times, then 25, 75, 175, 375, 775 and 1,275 ms later.

    The place is free after a second, and stays empty until the next attempt.
    """
    k = kernel(1, routing="power_of_two", max_ongoing_requests=1)
    k.advance(np.array([0.0, 0.0]), 10.0)
    assert k.snapshot().latency_sum_s == pytest.approx(1.0 + 1.275 + 1.0)


def test_asking_full_replicas_takes_its_time() -> None:
    """Each attempt waits 100 ms for an answer: tried at 0, 0.1, 0.2, 0.325, 0.475, 0.675, 0.975 and 1.475 s."""
    k = kernel(1, routing="power_of_two", max_ongoing_requests=1, probe_s=0.1)
    k.advance(np.array([0.0, 0.0]), 10.0)
    assert k.snapshot().latency_sum_s == pytest.approx(1.0 + 1.475 + 1.0)


def test_a_task_gives_one_place_to_a_whole_queue_and_the_refused_wait_anew() -> None:
    """One replica, one place, three requests waiting, two tasks; a question takes 10 ms.

    At 1.355 s a task finds the place, and hands out all three by what it saw. Two are refused, one after the other, and are back at
    1.365 and 1.375 s, each with a new task; the next is taken at 2.72 s and the last at 3.75 s.
    """
    k = kernel(1, routing="power_of_two", max_ongoing_requests=1, probe_s=0.01)
    k.advance(np.zeros(4), 1.36)
    assert (k.snapshot().queued, k.snapshot().ongoing) == (2, 1)
    k.advance(NOTHING, 10.0)
    assert k.snapshot().latency_sum_s == pytest.approx(1.0 + 2.355 + 3.72 + 4.75)


def test_overload_costs_a_router_throughput() -> None:
    """Half as much again as two replicas can do: Serve's router answers far less than a shared queue, which leaves no place empty."""
    answered = {}
    for routing in ("power_of_two", "shared_queue"):
        k = kernel(2, routing=routing, max_ongoing_requests=2, concurrency=2, service=Constant(0.15), probe_s=0.005)
        k.advance(np.arange(0.0, 60.0, 1 / 40), 60.0)
        answered[routing] = k.snapshot().completed
    assert answered["shared_queue"] > 1570
    assert answered["power_of_two"] < 0.7 * answered["shared_queue"]


def test_a_new_request_lets_the_first_waiting_one_go() -> None:
    """Serve's tasks serve the head of the queue: one that comes at 1.1 s gives the free place to the one that waits since 0."""
    k = kernel(1, routing="power_of_two", max_ongoing_requests=1)
    k.advance(np.array([0.0, 0.0, 1.1]), 2.05)
    now = k.snapshot()
    assert (now.completed, now.queued, now.ongoing) == (1, 1, 1)
    k.advance(NOTHING, 2.1)
    assert (k.snapshot().completed, k.snapshot().latency_sum_s) == (2, pytest.approx(1.0 + 2.1))


def test_waiting_requests_hear_of_the_first_replica() -> None:
    """Without any replica all wait; as soon as there is one, it is used."""
    for routing in ("power_of_two", "round_robin"):
        k = kernel(0, routing=routing, max_ongoing_requests=5)
        k.advance(np.zeros(3), 4.0)
        assert k.snapshot().queued == 3
        k.add_replica(7)
        assert (k.snapshot().queued, k.snapshot().ongoing) == (0, 3)
        k.advance(NOTHING, 60.0)
        assert outcome(k) == {"completed": 3}


def test_a_draining_replica_finishes_what_it_holds() -> None:
    """It takes nothing new, loses nothing, and is gone when it is empty."""
    k = kernel(2, max_ongoing_requests=3)
    k.advance(np.zeros(6), 0.5)
    k.drain_replica(0)
    assert k.drained() == []
    k.advance(np.full(4, 0.6), 2.5)
    assert k.drained() == []
    k.advance(NOTHING, 20.0)
    assert (k.drained(), k.replicas(), k.drained()) == ([0], [1], [])
    assert outcome(k) == {"completed": 10}


@pytest.mark.parametrize(
    ("lose", "retries", "expected"),
    [(True, 0, {"completed": 1, "failed": 3}), (True, 1, {"completed": 4}), (False, 0, {"completed": 4})],
)
def test_a_crash_loses_what_was_held_unless_it_is_sent_again(
    lose: bool, retries: int, expected: dict[str, int]
) -> None:
    """Three held by the crashed one, one by the other."""
    k = kernel(1, max_ongoing_requests=3, retries=retries, retry_backoff_s=0.1)
    k.advance(np.zeros(4), 0.5)
    k.remove_replica(0, lose=lose)
    k.add_replica(1)
    k.advance(NOTHING, 30.0)
    assert outcome(k) == expected


def test_requests_handed_back_keep_their_order() -> None:
    """After a crash without loss the first come is the first served: latencies 2, 3 and 4 s when it happens after one."""
    k = kernel(1, service=Constant(1.5), max_ongoing_requests=3, bin_s=0.25)
    k.advance(np.array([0.0, 0.25, 0.5]), 1.0)
    k.remove_replica(0, lose=False)
    k.add_replica(1)
    k.advance(NOTHING, 30.0)
    assert [b.p50_s for b in k.closed_bins() if b.arrived] == pytest.approx([2.5, 3.75, 5.0], rel=0.004)


def test_speed_changes_work_under_way() -> None:
    """Half done, then three times as slow: 0.5 + 1.5 s. A hung one stands still for as long as it hangs."""
    k = kernel(1)
    k.advance(np.zeros(1), 0.5)
    k.set_speed(0, 3.0)
    k.advance(NOTHING, 10.0)
    assert k.snapshot().latency_sum_s == pytest.approx(2.0)
    k.advance(np.array([10.0]), 10.5)
    k.set_speed(0, math.inf)
    k.advance(np.array([11.0]), 100.0)
    assert (k.snapshot().completed, k.snapshot().ongoing) == (1, 2)
    k.set_speed(0, 1.0)
    k.advance(NOTHING, 200.0)
    assert k.snapshot().completed == 3


def test_a_hung_replica_goes_on_where_it_stood() -> None:
    """Half a second of work was left when it hung at 0.5; it hangs until 100, so the latency is 100.5."""
    k = kernel(1)
    k.advance(np.zeros(1), 0.5)
    k.set_speed(0, math.inf)
    k.advance(NOTHING, 100.0)
    k.set_speed(0, 1.0)
    k.advance(NOTHING, 200.0)
    assert k.snapshot().latency_sum_s == pytest.approx(100.5)


def test_errors_fail_requests() -> None:
    """A share of the answers, as it was set."""
    k = kernel(1, service=Constant(0.001), bin_s=1e6)
    k.set_error_rate(0, 0.3)
    k.advance(np.arange(20_000) * 0.01, 1000.0)
    now = k.snapshot()
    assert now.failed == now.replicas.errors[0]
    assert now.failed / now.arrived == pytest.approx(0.3, abs=0.02)


def test_patience_ends() -> None:
    """The first is served, the second would have begun in time but not ended, the third is taken back unserved."""
    k = kernel(1, timeout_s=1.5, max_ongoing_requests=1)
    k.advance(np.array([0.0, 0.0, 0.0]), 1.9)
    now = k.snapshot()
    assert (now.completed, now.timed_out, now.queued, now.ongoing) == (1, 2, 0, 1)
    k.advance(np.array([1.9]), 10.0)
    assert outcome(k) == {"completed": 2, "timed_out": 2}


def test_a_request_sent_again_counts_from_its_first_arrival() -> None:
    """Timed out at 1.5 s while waiting, sent again at 1.6, done one second later: 2.6 s, and two attempts."""
    k = kernel(1, service=Constant(1.0), max_ongoing_requests=1, timeout_s=1.5, retries=1, retry_backoff_s=0.1)
    k.advance(np.array([0.0, 0.0, 0.0]), 20.0)
    now = k.snapshot()
    assert now.arrived == 3
    assert now.sent == 5
    assert now.completed + now.timed_out == 3


def test_overhead_and_network_delay_add_to_each_answer() -> None:
    """In parallel, without a queue."""
    k = kernel(1, concurrency=5, max_ongoing_requests=5, overhead=Constant(0.25))
    k.network_delay_s = 0.5
    k.advance(np.zeros(4), 10.0)
    assert k.snapshot().latency_sum_s == pytest.approx(4 * 1.75)
    assert k.snapshot().replicas.latency_sum_s.tolist() == pytest.approx([4.0])


def test_a_model_that_waits_serves_many_at_once() -> None:
    """Concurrency 3: three in one second, the fourth in the next."""
    k = kernel(1, concurrency=3, max_ongoing_requests=10)
    k.advance(np.zeros(4), 10.0)
    assert k.snapshot().latency_sum_s == pytest.approx(3 * 1.0 + 2.0)


def test_batches_fill_or_wait() -> None:
    """Three of four come at once: they wait 0.2 s for a fourth; a full batch does not wait. Each more costs a tenth."""
    k = kernel(1, max_ongoing_requests=8, batch_max=4, batch_wait_s=0.2, batch_growth=0.1)
    k.advance(np.zeros(3), 10.0)
    assert k.snapshot().latency_sum_s == pytest.approx(3 * (0.2 + 1.2))
    k.advance(np.full(4, 10.0), 20.0)
    assert k.snapshot().latency_sum_s == pytest.approx(3 * 1.4 + 4 * 1.3)


def test_bins_are_given_once_and_when_they_are_closed() -> None:
    """By first arrival; a bin waits for its last request, and what was dropped is infinitely late."""
    k = kernel(1, max_ongoing_requests=1, max_queued_requests=0, slo_s=1.0, bin_s=60.0)
    k.advance(np.array([1.0, 1.0, 1.0, 59.5]), 60.0)
    assert k.closed_bins() == []
    k.advance(np.array([61.0]), 120.0)
    first, second = k.closed_bins()
    assert (first.begin_s, first.arrived, first.completed, first.dropped, first.late) == (0.0, 4, 3, 1, 1)
    assert (first.violations, first.p99_s, second.arrived) == (2, math.inf, 1)
    assert k.closed_bins() == []
    k.advance(np.array([120.0]), 120.5)
    (last,) = k.closed_bins(final=True)
    assert (last.arrived, last.unfinished, last.p50_s) == (1, 1, math.inf)


def test_a_long_queue_and_many_replicas_and_an_old_bin_find_room() -> None:
    """Ten thousand wait, thirty replicas come, and a bin of an hour ago stays open."""
    k = kernel(1, max_ongoing_requests=1, bin_s=60.0)
    k.set_speed(0, math.inf)
    k.advance(np.sort(np.random.default_rng(1).uniform(0, 3600, 10_000)), 3600.0)
    assert (k.snapshot().queued, k.closed_bins()) == (9_999, [])
    for replica in range(1, 31):
        k.add_replica(replica)
    k.advance(NOTHING, 3600.0 + 400)
    assert k.snapshot().completed == 9_999
    k.remove_replica(0, lose=True)
    assert (outcome(k)["failed"], len(k.closed_bins()), len(k.replicas())) == (1, 66, 30)


def test_a_long_call_needs_no_more_room_than_many_short_ones() -> None:
    """A week of minutes in one call: all bins come, in order, and the ring stays as small as it was."""
    k = kernel(1)
    k.advance(np.arange(0, 604_800.0, 100.0), 604_800.0)
    bins = k.closed_bins()
    assert [b.begin_s for b in bins] == [60.0 * n for n in range(10_080)]
    assert sum(b.completed for b in bins) == 6_048
    assert len(k._k.bins) == 8  # white box: memory is what this is about


def test_blocks_do_not_change_what_happens() -> None:
    """One call or a hundred."""
    arrivals = np.cumsum(np.random.default_rng(2).exponential(0.05, 4000))
    options: dict[str, Any] = {
        "service": Lognormal(0.1, 0.5), "routing": "power_of_two", "max_ongoing_requests": 3, "max_queued_requests": 20,
        "router": Lognormal(0.003, 0.5), "timeout_s": 2.0, "retries": 2, "retry_backoff_s": 0.3, "overhead": Constant(0.002),
    }  # fmt: skip
    whole, parts = kernel(2, **options), kernel(2, **options)
    whole.advance(arrivals, 300.0)
    given_s = 0.0
    for until_s in np.linspace(0.5, 300.0, 173):
        parts.advance(arrivals[(arrivals >= given_s) & (arrivals < until_s)], float(until_s))
        given_s = float(until_s)
    assert same(whole.snapshot(), parts.snapshot())


def test_one_seed_gives_one_course_and_another_another() -> None:
    """And the routing's chance does not shift the service's."""
    arrivals = np.cumsum(np.random.default_rng(2).exponential(0.05, 2000))

    def run(seed: int) -> Counters:
        k = kernel(4, seed=seed, service=Exponential(0.1))
        k.advance(arrivals, 500.0)
        return k.snapshot()

    assert same(run(1), run(1))
    assert run(1).latency_sum_s != run(2).latency_sum_s


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"max_ongoing_requests": 0}, "max_ongoing_requests must be a whole number >= 1, not 0"),
        (
            {"routing": "random"},
            "routing must be one of power_of_two, round_robin, shared_queue, least_loaded, not 'random'",
        ),
        ({"timeout_s": 0.0}, "timeout_s must be a number > 0, not 0.0"),
        ({"retry_backoff_s": -1.0}, "backoff_s must be a number >= 0, not -1.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], text: str) -> None:
    """The error names the setting and what was expected."""
    with pytest.raises(ValueError, match=text):
        kernel(**options)


def test_time_does_not_go_back() -> None:
    """Nor do arrivals lie outside their block, nor marks lack."""
    k = kernel(1)
    k.advance(NOTHING, 10.0)
    with pytest.raises(ValueError, match=r"until_s must be a time from 10.0 on"):
        k.advance(NOTHING, 9.0)
    with pytest.raises(ValueError, match="arrivals must ascend within"):
        k.advance(np.array([11.0, 12.0]), 12.0)
    with pytest.raises(ValueError, match="there are none"):
        kernel(1, service=Tokens(0.1, 0.1)).advance(np.array([1.0]), 2.0)
    with pytest.raises(ValueError, match="there is a replica 0 already"):
        k.add_replica(0)
    with pytest.raises(KeyError):
        k.drain_replica(5)


EVENTS = st.sampled_from(["add", "drain", "crash", "hand back", "slow", "hang", "heal", "err", "nothing"])


@settings(max_examples=120, deadline=None)
@given(
    st.lists(st.tuples(EVENTS, st.integers(0, 9)), min_size=3, max_size=14),
    st.sampled_from(["power_of_two", "round_robin", "shared_queue", "least_loaded"]),
    st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(-1, 6), st.integers(1, 3)),
    st.tuples(st.sampled_from([None, 0.5, 3.0]), st.integers(0, 2), st.booleans(), st.booleans()),
    st.integers(0, 2**32),
)
def test_nothing_is_lost_and_no_limit_is_passed(
    events: list[tuple[str, int]],
    routing: str,
    sizes: tuple[int, int, int, int],
    client: tuple[float | None, int, bool, bool],
    seed: int,
) -> None:
    """Whatever happens: arrived = ended + in the system, no replica holds more than it may, and when all heals nobody is left."""
    held, concurrency, queue, batch = sizes
    timeout_s, retries, routed, overhead = client
    k = kernel(
        2, seed, service=Exponential(0.2), routing=routing, max_ongoing_requests=held, concurrency=concurrency, max_queued_requests=queue,
        batch_max=batch, batch_wait_s=0.05, timeout_s=timeout_s, retries=retries, retry_backoff_s=0.1,
        router=Constant(0.01) if routed else None, overhead=Exponential(0.02) if overhead else None, bin_s=1.0,
    )  # fmt: skip
    random = np.random.default_rng(seed)
    arrived, bins, next_id = 0, [], 2
    for turn, (event, pick) in enumerate(events):
        arrivals = np.sort(random.uniform(turn, turn + 1, random.integers(0, 60)))
        arrived += len(arrivals)
        k.advance(arrivals, turn + 1.0)
        next_id = happen(k, event, pick, next_id)
        now = k.snapshot()
        bins += k.closed_bins()
        assert balanced(now)
        assert now.arrived == arrived
        assert now.replicas.ongoing.max(initial=0) <= held
        assert now.replicas.ongoing.sum() == now.ongoing
        assert now.queued >= 0
    for replica in k.replicas():
        k.remove_replica(replica)
    k.add_replica(1000)
    k.advance(NOTHING, 1000.0)
    bins += k.closed_bins()
    end = k.snapshot()
    assert (end.in_system, end.queued, end.ongoing) == (0, 0, 0)
    assert sum(b.arrived for b in bins) == arrived == end.ended
    assert sum(b.completed for b in bins) == end.completed


def happen(k: RequestKernel, event: str, pick: int, next_id: int) -> int:
    """One rare event; returns the next free id of a replica."""
    there = k.replicas()
    if event == "add":
        k.add_replica(next_id)
        return next_id + 1
    if there and event != "nothing":
        replica = there[pick % len(there)]
        {
            "drain": lambda: k.drain_replica(replica),
            "crash": lambda: k.remove_replica(replica, lose=True),
            "hand back": lambda: k.remove_replica(replica, lose=False),
            "slow": lambda: k.set_speed(replica, 4.0),
            "hang": lambda: k.set_speed(replica, math.inf),
            "heal": lambda: k.set_speed(replica, 1.0),
            "err": lambda: k.set_error_rate(replica, 0.5),
        }[event]()
    return next_id
