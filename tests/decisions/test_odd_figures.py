"""Whatever the clocks show, decisions and their texts come out: of no time at all, of next to none, of a year.

The clocks of processor time tick seldom in some kernels, threads may get no core at all for a while, and machines are
suspended: so a figure that is never 0 on one machine is so on another.
"""

from __future__ import annotations

import sys

from hypothesis import example, given, settings
from hypothesis import strategies as st

import lightwork as lw
from lightwork._batching import Batching
from lightwork._change import Change
from lightwork._demand import Demand, Meter
from lightwork._growth import Growth
from lightwork._past import Past, differs, seen_since
from lightwork._policy import Candidate, Policy, Seen
from lightwork._report import Report
from lightwork._timeline import timeline
from lightwork._trace import Decision, Lane, Span
from lightwork._way_back import Lengths, WayBack

TIMES = st.sampled_from([0.0, 0.0, 1e-12, 1e-6, 0.01, 1.0, 3e7]) | st.floats(0, 1e4)
COUNTS = st.sampled_from([0, 1, 2, 100, 10**6]) | st.integers(0, 1000)
BACKENDS = st.sampled_from(["serial", "threads", "processes", "interpreters", "asyncio"])
CANDIDATES = tuple(Candidate(name, lw.backends()[name].capabilities) for name in ("threads", "processes"))

many = settings(max_examples=300, deadline=None)


@st.composite
def demands(draw):
    cpu = draw(TIMES)
    return Demand(
        wait=draw(TIMES),
        cpu=cpu,
        gil=draw(st.sampled_from([0.0, cpu / 3, cpu])),
        wire_caller=draw(TIMES),
        wire_worker=draw(TIMES),
        bytes_out=draw(COUNTS),
        bytes_back=draw(COUNTS),
        hidden=draw(st.sampled_from([0.0, cpu / 2, cpu])),
    )


@st.composite
def reports(draw):
    lanes = draw(
        st.lists(
            st.builds(Lane, BACKENDS, st.integers(0, 200), COUNTS, TIMES, TIMES, TIMES, TIMES, TIMES),
            min_size=1,
            max_size=3,
        )
    )
    spans = st.builds(Span, BACKENDS, st.just(1), COUNTS, st.integers(1, 5), TIMES, TIMES, TIMES)
    return Report(
        lanes[-1].backend,
        lanes[-1].workers,
        draw(st.sampled_from([0, sum(lane.calls for lane in lanes)])),
        draw(TIMES),
        tuple(lanes),
        (Decision(draw(TIMES), "went on", "it was so"),),
        tuple(draw(st.lists(spans, max_size=3))),
        draw(st.none() | demands()),
        sent=draw(COUNTS),
        gil_known=draw(st.booleans()),
        wire_known=draw(st.booleans()),
        counted=draw(st.booleans()),
    )


@many
@given(reports())
def test_a_report_has_its_text_its_advice_and_its_timeline(report):
    assert str(report) and timeline(report)
    assert all(one.what for one in report.advice)


@many
@given(
    st.lists(st.tuples(TIMES, COUNTS, TIMES, TIMES, st.none() | TIMES), max_size=8),
    st.sampled_from([1.0, 2.0, 64.0]),
    st.integers(1, 128),
    st.integers(0, 8),
    st.booleans(),
)
@example([(1e-12, 1, 0.0, 0.0, None), (4.0, 1, 2.0, sys.float_info.min, 1.0)], 1.0, 2, 0, False)
def test_threads_become_more_or_fewer_and_never_none(steps, ceiling, limit, cores, both):
    growth = Growth(ceiling, limit, 1, cores, 32)
    growth.both = both
    now = busy = cpu = waited = 0.0
    calls = 0
    for lasted, done, worked, used, delay in steps:
        now, calls, busy, cpu, waited = now + lasted, calls + done, busy + worked, cpu + used, waited + (delay or 0.0)
        until = None if delay is None else waited
        assert growth.observe(now, calls, busy, cpu, lambda until=until: until) >= 1
        growth.look(now, True, cpu, until)
        assert growth.workers >= 1


@many
@given(st.lists(st.tuples(TIMES, COUNTS, TIMES, TIMES, TIMES), max_size=8), st.booleans(), st.integers(1, 8))
def test_whether_the_work_has_changed(steps, shared, workers):
    change = Change(shared)
    now = busy = cpu = waited = 0.0
    calls = 0
    for lasted, done, worked, used, delay in steps:
        now, calls, busy, cpu, waited = now + lasted, calls + done, busy + worked, cpu + used, waited + delay
        found = change.observe(now, calls, busy, cpu, workers, waited)
        assert found is None or min(found) >= 0


@many
@given(demands(), st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=5), TIMES)
def test_what_was_remembered(demand, figures, wall):
    walls, cpus = zip(*figures, strict=True)
    assert str(demand) and 0 <= demand.cpu_share <= 1 and 0 <= demand.gil_share <= 1
    assert str(demand.lasting(wall)) and str(seen_since(demand, walls, cpus))
    past = Past(demand, True, True, (), "threads", 2, throughput=wall, calls=10)
    why = differs(past, walls, cpus)
    assert str(past) and (why is None or why.strip())


@many
@given(
    demands(),
    TIMES,
    COUNTS,
    st.none() | COUNTS,
    st.integers(1, 64),
    st.booleans(),
    st.booleans(),
    st.none() | st.integers(1, 200),
    TIMES,
)
def test_the_choice(demand, elapsed, done, total, cores, gil, known, most, input):
    policy = Policy(CANDIDATES, cores, gil, most)
    seen = Seen(elapsed, done, total, demand, known, known, None, True, input=input)
    verdict = policy.advise(seen)
    assert verdict.switch is None or verdict.workers >= 1


@many
@given(st.lists(st.tuples(COUNTS, TIMES, COUNTS), max_size=6), TIMES, COUNTS, st.integers(0, 64), st.booleans())
def test_the_size_of_a_batch(steps, per_message, pending, workers, more):
    batching = Batching(per_message)
    for calls, seconds, bulk in steps:
        batching.observe(calls, seconds)
        batching.weigh(max(1, calls), bulk)
    assert batching.size(pending, workers, more) >= 1


@many
@given(st.lists(st.tuples(COUNTS, TIMES, TIMES, TIMES), min_size=1, max_size=6))
def test_what_one_call_asks_for(groups):
    wall, own, others = [0.0], [0.0], [0.0]
    meter = Meter(lambda: wall[0], lambda: own[0], lambda: own[0] + others[0], lambda: 0.0, lambda: None)
    for calls, lasted, computed, beside in groups:
        meter.begin()
        wall[0], own[0], others[0] = wall[0] + lasted, own[0] + computed, others[0] + beside
        meter.end(max(1, calls))
    demand = meter.demand()
    assert demand.wall >= 0 and demand.cpu >= 0 and str(demand)


def test_lengths_that_are_next_to_nothing_differ_by_a_finite_part():
    lengths = Lengths()
    lengths.add(100, 1e-213)
    lengths.add(12, 5e-324)
    assert 0 <= lengths.variation < 10


@many
@given(
    st.lists(st.tuples(COUNTS, TIMES, TIMES, COUNTS), max_size=12),
    st.integers(1, 10**6),
    st.sampled_from([1e-9, 1e-6, 0.01, 1.0, 3e7]),
    st.booleans(),
    st.integers(1, 64),
)
def test_whether_the_callers_thread_was_faster(steps, known, each, computes, workers):
    """Giants alone in their batches among a million short calls, too."""
    back = WayBack(known, each, computes)
    back.workers = workers
    now, theirs, ours = 0.0, 0, 0
    for calls, seconds, cpu, left in steps:
        now += seconds
        back.note(calls, seconds, cpu)
        if back.home:
            ours += calls
            assert back.regrets(now, ours) in (True, False)
        elif back.trying:
            ours += calls
            back.note_own(calls, seconds, cpu)
            judgement = back.judge(now, ours)
            assert judgement in (None, "faster", "not faster")
            if judgement == "faster":
                back.come_home(now, ours)
            elif judgement:
                back.stay_away(now)
        else:
            theirs += calls
            if back.doubtful(now, theirs, workers, left):
                back.begin_trial(now, ours)
