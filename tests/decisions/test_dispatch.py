"""The dispatch over a simulated crew: no process, no thread, no clock of the machine's."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lightwork import _plan, _submitted
from lightwork._attempts import MOST_LOST, Rules
from lightwork._backends.threads import ThreadBackend
from lightwork._batching import Batching
from lightwork._calls import Batch, Death, Finished, Outcomes, Revoked, Terms, WorkerFailed, WorkerLost, WorkerReady
from lightwork._clock import ManualClock
from lightwork._collecting import Reorder
from lightwork._dispatch import LATE, STILLBORN_LIMIT, Dispatch, Retire, Revoke, Send, Start
from lightwork._plan import Plan
from lightwork._submitted import DEEP, PROMPTLY, STANDSTILL, Submitted
from lightwork.errors import CallTimeout, Failure, LightworkError, WorkerCrashed


class SimulatedCrew:
    """Runs batches when told to; counts how often each call began."""

    def __init__(self, dispatch: Dispatch, clock: ManualClock, chaos: random.Random, deadly: float = 0.0) -> None:
        self.dispatch, self.clock, self.chaos, self.deadly = dispatch, clock, chaos, deadly
        self.queues: dict[int, list[Batch]] = {}
        self.begun: dict[int, int] = {}
        self.ready: set[int] = set()
        self.workers = 0
        self.largest = 0

    def obey(self) -> None:
        for instruction in self.dispatch.plan(self.clock.now()):
            if isinstance(instruction, Start):
                for _ in range(instruction.count):
                    self.workers += 1
                    self.queues[self.workers] = []
                    self.dispatch.started((0, self.workers))
            elif isinstance(instruction, Send):
                self.queues[instruction.worker[1]].append(instruction.batch)
                self.largest = max(self.largest, len(instruction.batch.items))
            elif isinstance(instruction, Retire):
                assert not self.queues.pop(instruction.worker[1])

    def turn(self) -> bool:
        """One worker does its next batch, or dies in it; False where nobody has work."""
        busy = [w for w, batches in self.queues.items() if batches]
        if not busy:
            return False
        worker = self.chaos.choice(busy)
        batch = self.queues[worker].pop(0)
        if worker not in self.ready:
            self.ready.add(worker)
            self.dispatch.handle(0, WorkerReady(worker, 0.01), self.clock.now())
        dies_at = self.chaos.randrange(len(batch.items)) if self.chaos.random() < self.deadly else None
        values: list[Any] = []
        failures: dict[int, BaseException] = {}
        for offset, item in enumerate(batch.items):
            index = batch.first + offset
            self.begun[index] = self.begun.get(index, 0) + 1
            if offset == dies_at:
                break
            if item < 0:
                failures[offset] = ValueError(item)
            values.append(None if item < 0 else item * 2)
        self.clock.advance(0.001 * len(batch.items))
        outcomes = Outcomes(batch.id, 0, values, failures, seconds=0.001 * len(values))
        if dies_at is None:
            split = self.chaos.randrange(len(values)) if len(values) > 1 else 0
            if split:
                # Results may come in several messages.
                early = {p: e for p, e in failures.items() if p < split}
                self.dispatch.handle(
                    0, Finished(worker, Outcomes(batch.id, 0, values[:split], early), last=False), self.clock.now()
                )
                late = {p: e for p, e in failures.items() if p >= split}
                outcomes = Outcomes(batch.id, split, values[split:], late, seconds=0.001)
            self.dispatch.handle(0, Finished(worker, outcomes, last=True), self.clock.now())
        else:
            if values:
                self.dispatch.handle(0, Finished(worker, outcomes, last=False), self.clock.now())
            del self.queues[worker]
            self.dispatch.handle(
                0, WorkerLost(worker, (batch.id, dies_at), Death(1, 9, None, "was killed")), self.clock.now()
            )
        return True


def run(
    items: list[int], rules: Rules, workers: int = 3, chunksize: int | None = None, chaos: int = 0, deadly: float = 0.0
) -> tuple[list[Any], SimulatedCrew]:
    clock = ManualClock()
    dispatch = Dispatch(rules)
    dispatch.add_lane(0, Batching(1e-4, chunksize), 2)
    dispatch.set_lane(0, workers)
    dispatch.feed(abs, "one", items)
    dispatch.end_of_input()
    crew = SimulatedCrew(dispatch, clock, random.Random(chaos), deadly)
    order, out = Reorder(), []
    while not dispatch.finished:
        crew.obey()
        if not crew.turn():
            deadline = dispatch.next_deadline()
            if deadline is not None:
                clock.advance(deadline - clock.now())
        for chunk in dispatch.take():
            order.put(chunk)
        order.move(out)
    return out, crew


@given(
    items=st.lists(st.integers(-3, 50), max_size=200),
    workers=st.integers(1, 9),
    chunksize=st.none() | st.integers(1, 40),
    chaos=st.integers(0, 2**32),
    deadly=st.sampled_from([0.0, 0.2, 0.6]),
)
def test_every_call_begins_once_and_ends_in_its_place(items, workers, chunksize, chaos, deadly):
    out, crew = run(items, Rules(stop_on_failure=False), workers, chunksize, chaos, deadly)
    assert crew.begun == dict.fromkeys(range(len(items)), 1)
    assert len(out) == len(items)
    for index, (item, value) in enumerate(zip(items, out, strict=True)):
        if isinstance(value, Failure):
            assert value.index == index
            assert isinstance(value.exception, WorkerCrashed) or item < 0
        else:
            assert value == item * 2
    if chunksize is not None:
        assert crew.largest <= chunksize
    assert crew.dispatch.pending == 0


@given(items=st.lists(st.integers(-3, 50), max_size=60), retries=st.integers(1, 3), chaos=st.integers(0, 2**32))
def test_retries_repeat_failed_calls_and_only_those(items, retries, chaos):
    out, crew = run(items, Rules(retries=retries, stop_on_failure=False, retry_delay=0.5), chaos=chaos)
    for index, item in enumerate(items):
        assert crew.begun[index] == (1 + retries if item < 0 else 1)
        if item < 0:
            assert out[index].attempts == 1 + retries


def test_retry_on_selects():
    _, crew = run([-1, 1], Rules(retries=2, retry_on=(KeyError,), stop_on_failure=False))
    assert crew.begun == {0: 1, 1: 1}


def test_a_retry_waits_for_its_delay():
    clock, dispatch = ManualClock(), Dispatch(Rules(retries=1, retry_delay=2.0))
    dispatch.add_lane(0, Batching(1e-4), 1)
    dispatch.set_lane(0, 1)
    dispatch.feed(abs, "one", [1])
    dispatch.end_of_input()
    assert dispatch.plan(0.0) == [Start(0, 1)]
    dispatch.started((0, 1))
    (send,) = dispatch.plan(0.0)
    dispatch.handle(0, Finished(1, Outcomes(send.batch.id, 0, [None], {0: OSError()}), last=True), clock.now())
    assert dispatch.plan(1.9) == []
    assert dispatch.next_deadline() == 2.0
    (again,) = dispatch.plan(2.0)
    assert again.batch.first == 0


def test_the_first_failure_in_time_is_kept():
    dispatch = Dispatch(Rules())
    dispatch.add_lane(0, Batching(1e-4, 1), 1)
    dispatch.set_lane(0, 2)
    dispatch.feed(abs, "one", [1, 2])
    dispatch.plan(0.0)
    dispatch.started((0, 1))
    dispatch.started((0, 2))
    first, second = dispatch.plan(0.0)
    for send, error in ((second, KeyError()), (first, ValueError())):
        dispatch.handle(0, Finished(send.worker[1], Outcomes(send.batch.id, 0, [None], {0: error}), last=True), 0.0)
    assert dispatch.failure is not None and dispatch.failure.index == 1


def test_a_timeout_is_told_from_a_crash():
    dispatch = Dispatch(Rules(call_timeout=3.0, stop_on_failure=False))
    dispatch.add_lane(0, Batching(1e-4, 1), 1)
    dispatch.set_lane(0, 1)
    dispatch.feed(abs, "one", [1])
    dispatch.plan(0.0)
    dispatch.started((0, 1))
    (send,) = dispatch.plan(0.0)
    dispatch.handle(0, WorkerLost(1, (send.batch.id, 0), Death(7, 14, None, "late", timed_out=True)), 3.0)
    (chunk,) = dispatch.take()
    assert isinstance(chunk.values[0].exception, CallTimeout)
    assert chunk.values[0].exception.seconds == 3.0


def test_workers_that_die_before_they_are_ready_end_the_run():
    dispatch = Dispatch(Rules())
    dispatch.add_lane(0, Batching(1e-4), 2)
    dispatch.set_lane(0, 1)
    dispatch.feed(abs, "one", [1])
    for number in range(1, STILLBORN_LIMIT + 1):
        assert dispatch.broken is None
        assert Start(0, 1) in dispatch.plan(0.0)
        dispatch.started((0, number))
        dispatch.plan(0.0)
        dispatch.handle(0, WorkerLost(number, None, Death(1, 9, None, "was killed")), 0.0)
    assert isinstance(dispatch.broken, LightworkError)


def test_a_call_that_was_lost_before_it_began_begins_elsewhere_but_not_for_ever():
    dispatch = Dispatch(Rules(stop_on_failure=False))
    dispatch.add_lane(0, Batching(1e-4), 2)
    dispatch.set_lane(0, 1)
    dispatch.feed(abs, "one", [1])
    for number in range(1, MOST_LOST + 1):
        assert not dispatch.take() and Start(0, 1) in dispatch.plan(0.0)
        dispatch.started((0, number))
        dispatch.handle(0, WorkerReady(number, 0.01), 0.0)
        (send,) = dispatch.plan(0.0)
        assert isinstance(send, Send)
        dispatch.handle(0, WorkerLost(number, (send.batch.id, 0), Death(1, apart=True), begun=False), 0.0)
    (chunk,) = dispatch.take()
    assert isinstance(chunk.values[0].exception, WorkerCrashed)


def test_workers_that_die_before_they_are_ready_do_no_harm_while_others_finish_calls():
    dispatch, batches = busy_lane(1, Rules(), calls=50)
    dispatch.set_lane(0, 2)
    for number in range(2, 20):
        assert dispatch.plan(0.0) == [Start(0, 1)]
        dispatch.started((0, number))
        dispatch.handle(0, WorkerLost(number, None, Death(1, 9, None, "was killed")), 0.0)
        finish(dispatch, 1, batches[1])
        steps = dispatch.plan(0.0)
        batches[1] = next(step.batch for step in steps if isinstance(step, Send))
        dispatch.lanes[0].starting = 0
    assert dispatch.broken is None


def test_calls_that_were_to_be_ended_while_their_workers_start_are_no_sign_of_trouble():
    dispatch = Submitted(Rules(stop_on_failure=False))
    dispatch.add_lane(0, Batching(1e-4, 1), 1)
    dispatch.set_lane(0, 1)
    dispatch.feed(abs, "one", list(range(9)))
    for number in range(1, 9):
        dispatch.plan(0.0)
        dispatch.started((0, number))
        (send,) = dispatch.plan(0.0)
        assert dispatch.condemn(send.batch.first) == (0, number)
        dispatch.handle(0, WorkerLost(number, None, Death(1, 9, None, "was killed")), 0.0)
    assert dispatch.broken is None and dispatch.failed == 8


def test_where_no_more_workers_can_be_started_those_that_there_are_go_on():
    dispatch, batches = busy_lane(4, Rules())
    for number in (3, 4):
        dispatch.handle(0, WorkerFailed(number, OSError(24, "Too many open files"), scarce=True), 0.0)
    assert dispatch.broken is None and dispatch.lanes[0].target == 2 and dispatch.pending == 18
    finish(dispatch, 1, batches[1])
    assert not [step for step in dispatch.plan(0.0) if isinstance(step, Start)]
    dispatch.handle(0, WorkerFailed(1, OSError(24, ""), scarce=True), 0.0)
    error = OSError(24, "")
    dispatch.handle(0, WorkerFailed(2, error, scarce=True), 0.0)
    assert dispatch.broken is error


def test_a_failing_initializer_ends_the_run():
    dispatch = Dispatch(Rules())
    dispatch.add_lane(0, Batching(1e-4), 2)
    dispatch.set_lane(0, 1)
    dispatch.feed(abs, "one", [1])
    dispatch.plan(0.0)
    dispatch.started((0, 1))
    error = ValueError("no")
    dispatch.handle(0, WorkerFailed(1, error), 0.0)
    assert dispatch.broken is error


def test_worn_workers_are_replaced():
    _, crew = run(list(range(10)), Rules(max_tasks_per_child=2), workers=2)
    assert crew.workers >= 5
    assert crew.largest <= 2


def test_no_more_workers_than_calls():
    _, crew = run([1, 2], Rules(), workers=9)
    assert crew.workers == 2


@pytest.mark.parametrize("workers", [1, 2, 8])
def test_the_last_batches_shrink(workers):
    batching = Batching(1e-4)
    for calls in (1, 8, 64, 512, 4096):
        batching.observe(calls, calls * 1e-6)
    sizes, left = [], 100_000
    while left:
        size = min(batching.size(left, workers, False), left)
        sizes.append(size)
        left -= size
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] <= 400  # four times as long as its hand-off takes
    assert len(sizes) < 120


@pytest.mark.parametrize(("each", "expected"), [(1e-5, 96), (1e-4, 8), (4e-4, 4), (1e-3, 4)])
def test_short_chunks_share_a_message_where_they_can_be_taken_back(each, expected):
    alone, together = Batching(1e-4, fixed=4), Batching(1e-4, fixed=4, shared=0.001)
    assert alone.size(100_000, 2, False) == together.size(100_000, 2, False) == 4
    for batching in (alone, together):
        batching.observe(12, 12 * each)
    assert alone.size(100_000, 2, False) == 4
    assert together.size(100_000, 2, False) == expected  # whole chunks, of no more than a millisecond
    # Toward the end each has a part of what is left, of four hand-offs' length at least.
    assert together.size(8, 2, False) <= max(8, 4e-4 / each)


def test_many_calls_weigh_more_than_the_first():
    batching, seconds = Batching(1e-4), [1e-4, 8e-6, 64e-6, 512e-6]
    for calls, took in zip((1, 8, 64, 512), seconds, strict=True):
        batching.observe(calls, took)
    assert batching.mean == pytest.approx(sum(seconds) / 585)
    batching.observe(1, 1e-6)
    assert batching.mean > 0.7 * sum(seconds) / 585, "a single one that was quicker says little"
    batching.observe(10, 1e-2)
    assert batching.mean > 0.4e-3, "but slower ones make a straggler"


@pytest.mark.parametrize("gil", [True, False])
def test_threads_that_have_no_gil_to_wait_for_have_a_further_batch_behind_each(monkeypatch, gil):
    monkeypatch.setattr(_plan, "gil_enabled", lambda: gil)
    batching = Plan(ThreadBackend(), 2, Terms(), Rules()).batching(ThreadBackend.capabilities, 2)
    batching.observe(100, 0.5)
    size = batching.size(1000, 2, False)
    assert size == 10 and batching.queue_ahead(size) is not gil


def test_of_calls_that_became_longer_fewer_are_told_at_a_time():
    batching = Batching(1e-4)
    batching.tell(4096)
    for _ in range(12):
        batching.tell(1)
    assert batching.told == 1


def test_batches_of_large_items_are_short():
    batching = Batching(1e-4)
    batching.observe(64, 64e-5)
    assert batching.size(10_000, 2, False) == 512
    for _ in range(8):
        batching.weigh(4, 1 << 20)
    assert batching.size(10_000, 2, False) == 16
    batching.weigh(1, 100 << 20)
    assert batching.size(10_000, 2, False) == 1


def test_nothing_is_queued_behind_calls_that_take_less_time_than_to_send_their_items_does():
    batching = Batching(1e-4)
    for _ in range(32):
        batching.observe(1, 2e-4)
    assert batching.queue_ahead(1)
    for _ in range(8):
        batching.weigh(1, 8 << 20)
    assert not batching.queue_ahead(1) and not batching.queue_ahead(4)
    assert batching.queue_ahead(1, away=1.0), "but where nobody will hand out another one it waits there"
    for _ in range(32):
        batching.observe(1, 5e-3)
    assert batching.queue_ahead(1), "longer ones would leave their worker idle while the next is sent"


@given(
    calls=st.integers(1, 1000), seconds=st.floats(0, 100), pending=st.integers(0, 10**6), workers=st.integers(1, 999)
)
def test_a_batch_is_never_empty_nor_meant_to_be_long(calls, seconds, pending, workers):
    batching = Batching(1e-4)
    batching.observe(calls, seconds)
    size = batching.size(pending, workers, False)
    assert size >= 1
    assert size == 1 or size * batching.mean <= 0.0500001


def test_a_condemned_call_does_not_begin_elsewhere_when_its_worker_died_before_it_began():
    dispatch = Submitted(Rules(stop_on_failure=False, retries=3))
    dispatch.add_lane(0, Batching(1e-4, 1), 1)
    dispatch.set_lane(0, 1)
    dispatch.feed(abs, "one", [1, 2])
    dispatch.plan(0.0)
    dispatch.started((0, 1))
    dispatch.plan(0.0)
    assert dispatch.condemn(1) is None
    assert dispatch.condemn(0) == (0, 1)
    dispatch.handle(0, WorkerLost(1, None, Death(7, 9, None, "was killed by SIGKILL")), 0.0)
    (chunk,) = dispatch.take()
    assert isinstance(chunk.values[0].exception, WorkerCrashed)
    assert dispatch.pending == 1


def test_a_condemned_call_does_not_begin_elsewhere_when_it_was_taken_back_before_it_began():
    """An executor that cancels: a worker hangs before it is ready, and another one idles."""
    dispatch = Submitted(Rules(stop_on_failure=False))
    dispatch.add_lane(0, Batching(1e-4, 1), 2, revocable=True)
    dispatch.set_lane(0, 2)
    dispatch.feed(abs, "one", [1, 2])
    dispatch.plan(0.0)
    dispatch.started((0, 1))
    dispatch.started((0, 2))
    first, second = dispatch.plan(0.0)
    assert not dispatch.drop(first.worker, first.batch, 0)
    assert dispatch.take()[0].values == [None] and dispatch.running() == {(0, 2): (1, False)}
    assert dispatch.plan(LATE) == [Revoke((0, 2))]
    assert dispatch.condemn(1) == (0, 2)
    dispatch.handle(0, Revoked(2, {second.batch.id: 0}), LATE)
    assert dispatch.pending == 0 and dispatch.plan(LATE) == []
    dispatch.handle(0, WorkerLost(2, None, Death(7, 9, None, "was killed by SIGKILL")), LATE)
    (chunk,) = dispatch.take()
    assert isinstance(chunk.values[0].exception, WorkerCrashed) and dispatch.done == 2


def test_what_a_lane_has_not_begun_is_taken_back_before_another_one_starts_its_workers():
    """Which takes its time, and these are to have that, too."""
    dispatch = Dispatch(Rules())
    dispatch.add_lane(0, Batching(1e-4, 3), 1, revocable=True)
    dispatch.set_lane(0, 1)
    dispatch.feed(abs, "one", [1, 2, 3, 4, 5])
    dispatch.plan(0.0)
    dispatch.started((0, 1))
    dispatch.plan(0.0)
    dispatch.add_lane(1, Batching(1e-4, 1), 1)
    dispatch.set_lane(1, 2)
    dispatch.set_lane(0, 0)
    dispatch.recall(0)
    revoke, start = dispatch.plan(0.0)
    assert revoke == Revoke((0, 1)) and start == Start(1, 2)


def test_a_worker_that_was_asked_what_it_has_not_begun_is_not_asked_again_before_its_answer():
    """What it was at when it was asked twice would be taken for what it refuses."""
    dispatch = Dispatch(Rules())
    dispatch.add_lane(0, Batching(1e-4, 3), 1, revocable=True)
    dispatch.set_lane(0, 2)
    dispatch.add_lane(1, Batching(1e-4, 1), 1)
    dispatch.set_lane(1, 1)
    dispatch.feed(abs, "one", [1, 2, 3, 4])
    dispatch.end_of_input()
    dispatch.plan(0.0)
    dispatch.started((1, 1))
    dispatch.started((0, 1))
    alone, _ = dispatch.plan(0.0)
    assert alone.worker == (1, 1) and dispatch.pending == 0
    assert dispatch.plan(LATE) == [Revoke((0, 1))]  # there would be one worker more
    dispatch.handle(1, Finished(1, Outcomes(alone.batch.id, 0, [1], seconds=LATE), last=True), LATE)
    assert dispatch.plan(LATE) == []  # and now another crew idles, too
    dispatch.handle(0, Revoked(1, {}), LATE)  # it has begun the next one meanwhile
    assert dispatch.plan(LATE) == []


@pytest.mark.parametrize("refuses_first", [True, False], ids=["it refuses before its answer", "it refuses later"])
def test_a_worker_that_was_asked_for_its_first_call_has_others_once_it_has_come_to_that(refuses_first):
    """Until then it may be importing for long. When all had been asked, none had a call ever again."""
    dispatch = Dispatch(Rules())
    for lane, revocable in ((0, True), (1, False)):
        dispatch.add_lane(lane, Batching(1e-4, 1), 1, revocable=revocable)
        dispatch.set_lane(lane, 1)
    dispatch.feed(abs, "one", [1, 2])
    dispatch.plan(0.0)
    dispatch.started((0, 1))
    dispatch.started((1, 1))
    ours, theirs = dispatch.plan(0.0)
    dispatch.handle(1, Finished(1, Outcomes(ours.batch.id, 0, [2], seconds=1e-3), last=True), 0.0)
    assert dispatch.plan(0.0) == [Revoke((0, 1))]
    if refuses_first:
        dispatch.handle(0, Finished(1, Outcomes(theirs.batch.id, 0, []), last=True), 0.0)
    else:
        dispatch.handle(0, Revoked(1, {theirs.batch.id: 0}), 0.0)
        dispatch.feed(abs, "one", [3])
        (ours,) = dispatch.plan(0.0)
        assert ours.worker == (1, 1)
        dispatch.handle(1, Finished(1, Outcomes(ours.batch.id, 0, [1], seconds=1e-3), last=True), 0.0)
        dispatch.handle(0, Revoked(1, {}), 0.0)
    dispatch.feed(abs, "one", [4, 5, 6])
    assert {send.worker for send in dispatch.plan(0.0)} == {(0, 1), (1, 1)}


def three_calls_with_one_worker(monkeypatch):
    monkeypatch.setattr(_submitted, "DEEP", 1)
    dispatch = Submitted(Rules(stop_on_failure=False))
    dispatch.add_lane(0, Batching(1e-4, 3), 1, revocable=True)
    dispatch.set_lane(0, 1)
    dispatch.feed(abs, "one", [1, 2, 3])
    dispatch.plan(0.0)
    dispatch.started((0, 1))
    (sent,) = dispatch.plan(0.0)
    return dispatch, sent


def test_a_call_is_ended_only_when_its_worker_has_no_other(monkeypatch):
    """Else the worker might be at another one by the time that it is killed."""
    dispatch, sent = three_calls_with_one_worker(monkeypatch)
    dispatch.handle(0, WorkerReady(1, 0.01), 0.0)
    assert dispatch.condemn(0) == Revoke((0, 1))
    assert dispatch.condemn(0) is None
    dispatch.handle(0, Revoked(1, {sent.batch.id: 1}), 0.0)
    assert dispatch.condemn(0) == (0, 1) and dispatch.pending == 2
    dispatch.handle(0, Finished(1, Outcomes(sent.batch.id, 0, [1]), last=True), 0.0)
    assert dispatch.plan(0.0) == []  # it is about to be killed
    assert dispatch.send_alone(abs, "one", 4, 0.0) is None
    dispatch.handle(0, WorkerLost(1, None, Death(7, 9, None, "was killed by SIGKILL")), 0.0)
    assert dispatch.plan(0.0) == [Start(0, 1)] and dispatch.failed == 0


def test_a_worker_whose_call_has_ended_before_it_could_be_killed_goes_on(monkeypatch):
    dispatch, sent = three_calls_with_one_worker(monkeypatch)
    assert dispatch.condemn(0) == Revoke((0, 1))
    dispatch.handle(0, Revoked(1, {}), 0.0)  # it is at the next one
    dispatch.handle(0, Finished(1, Outcomes(sent.batch.id, 0, [1, 2]), last=True), 0.0)
    assert dispatch.condemn(0) is None
    (rest,) = dispatch.plan(0.0)
    assert rest.worker == (0, 1) and rest.batch.items == [3]


def test_a_call_that_was_dropped_or_could_not_be_sent_says_nothing_of_its_worker():
    dispatch = Dispatch(Rules(stop_on_failure=False))
    dispatch.add_lane(0, Batching(1e-4, 1), 1)
    dispatch.set_lane(0, 1)
    dispatch.feed(abs, "one", [1, 2, 3])
    dispatch.plan(0.0)
    dispatch.started((0, 1))
    (send,) = dispatch.plan(0.0)
    assert not dispatch.drop(send.worker, send.batch, 0)
    (send,) = dispatch.plan(0.0)
    refused = Outcomes(send.batch.id, 0, [None], {0: TypeError("it does not pickle")})
    dispatch.handle(0, Finished(1, refused, last=True), 0.0)
    dispatch.plan(0.0)
    assert dispatch.running() == {(0, 1): (2, False)}


def one_by_one(calls, workers=1):
    """A dispatch of one worker that was given calls one after another, and has done one in no time."""
    dispatch = Submitted(Rules(stop_on_failure=False))
    dispatch.add_lane(0, Batching(1e-4, 1, shared=1e-3), 1, revocable=True)
    dispatch.set_lane(0, workers)
    for number, fn in enumerate([abs, *calls]):
        assert dispatch.feed_call(fn, "one", number) == number
    dispatch.plan(0.0)
    dispatch.started((0, 1))
    (send,) = dispatch.plan(0.0)
    done = Outcomes(send.batch.id, 0, [0], seconds=1e-5)
    dispatch.handle(0, Finished(1, done, last=True), 0.0)
    dispatch.take()
    return dispatch


def test_calls_that_came_one_by_one_go_together_with_those_of_their_function():
    dispatch = one_by_one([abs] * 5 + [len] + [abs] * DEEP)
    (send,) = dispatch.plan(0.0)
    assert send.batch.items == [1, 2, 3, 4, 5] and send.batch.fn is abs
    last = DEEP + 7
    assert dispatch.feed_call(abs, "one", last) == last
    dispatch.handle(0, Finished(1, Outcomes(send.batch.id, 0, [1] * 5, seconds=1e-5), last=True), 0.0)
    (send,) = dispatch.plan(0.0)
    assert send.batch.items == [6] and send.batch.fn is len
    dispatch.handle(0, Finished(1, Outcomes(send.batch.id, 0, [1], seconds=1e-5), last=True), 0.0)
    (send,) = dispatch.plan(0.0)
    together = len(send.batch.items)
    assert send.batch.items == list(range(7, 7 + together)) and together > 5
    assert dispatch.pending == DEEP + 1 - together


def test_while_few_wait_calls_that_came_one_by_one_go_one_by_one():
    dispatch = one_by_one([abs] * (DEEP - 1))
    (send,) = dispatch.plan(0.0)
    assert send.batch.items == [1]


def test_where_calls_may_wait_for_some_that_came_before_them_another_worker_helps_out():
    dispatch = one_by_one([abs] * 200, workers=2)
    ahead = next(each.batch for each in dispatch.plan(0.0) if isinstance(each, Send))
    dispatch.started((0, 2))  # it was wanted from the beginning
    (send,) = dispatch.plan(0.0)
    assert ahead.first == 1 and send.batch.first == ahead.first + ahead.stop
    dispatch.lanes[0].workers[2].warm = True
    assert dispatch.plan(PROMPTLY) == [Revoke((0, 1)), Revoke((0, 2))]
    dispatch.handle(0, Revoked(1, {ahead.id: 1}), PROMPTLY)
    dispatch.handle(0, Revoked(2, {send.batch.id: 1}), PROMPTLY)
    assert dispatch.plan(PROMPTLY) == [] and dispatch.next_deadline() == STANDSTILL
    (start,) = dispatch.plan(STANDSTILL)
    assert isinstance(start, Start)
    dispatch.started((0, 3))
    (helping,) = dispatch.plan(STANDSTILL)
    assert helping.worker == (0, 3) and helping.batch.first == ahead.first + 1
    # It helps as long as the other is stuck.
    dispatch.handle(0, Finished(1, Outcomes(ahead.id, 0, [1], seconds=1.0), last=True), STANDSTILL)
    (send_,) = dispatch.plan(STANDSTILL)
    assert send_.worker == (0, 1)
    dispatch.handle(0, Finished(2, Outcomes(send.batch.id, 0, [1], seconds=1.0), last=True), STANDSTILL)
    assert dispatch.plan(STANDSTILL) == [Retire((0, 2))] and len(dispatch.lanes[0].workers) == 2


def test_another_attempt_at_a_call_is_no_reason_for_more_workers_than_are_wanted():
    """The others are at long calls that came after it, as they should be."""
    dispatch = Submitted(Rules(retries=1, stop_on_failure=False))
    dispatch.add_lane(0, Batching(1e-4, 1, shared=1e-3), 1, revocable=True)
    dispatch.set_lane(0, 2)
    for number in range(4):
        dispatch.feed_call(abs, "one", number)
    dispatch.plan(0.0)
    dispatch.started((0, 1))
    dispatch.started((0, 2))
    first, _ = dispatch.plan(0.0)
    failed = Outcomes(first.batch.id, 0, [None], {0: ValueError()}, seconds=0.1)
    dispatch.lanes[0].open = False  # so that nobody takes it before the clock has moved on
    dispatch.handle(0, Finished(1, failed, last=True), 0.1)
    assert dispatch.pending == 3 and dispatch.plan(5 * STANDSTILL) == []
    assert dispatch.lanes[0].helpers == 0 and dispatch.lanes[0].target == 2


@pytest.mark.parametrize("position", range(8))
def test_what_nobody_wants_is_left_out_of_a_batch(position):
    dispatch = one_by_one([abs] * DEEP)
    (send,) = dispatch.plan(0.0)
    assert send.batch.items == list(range(1, 9))
    assert dispatch.drop(send.worker, send.batch, position) == (position > 0)
    assert [chunk.first for chunk in dispatch.take()] == [1 + position]
    done = list(range(1, position + 1))
    assert send.batch.items == done and dispatch.pending == DEEP - 1 - position
    if done:
        dispatch.handle(0, Finished(1, Outcomes(send.batch.id, 0, done, seconds=1e-5), last=True), 0.0)
    if position < 7:
        (send,) = dispatch.plan(0.0)
        assert send.batch.items[0] == position + 2
    assert dispatch.done == 2 + position and dispatch.fed == DEEP + 1


STARVED = Death(1, 9, None, "was killed by the kernel for lack of memory", starved=True)


def busy_lane(workers: int, rules: Rules, calls: int = 20) -> tuple[Dispatch, dict[int, Batch]]:
    """A dispatch whose workers have one call each."""
    dispatch = Dispatch(rules)
    dispatch.add_lane(0, Batching(1e-4, 1), 1)
    dispatch.set_lane(0, workers)
    dispatch.feed(abs, "one", list(range(calls)))
    dispatch.end_of_input()
    (start,) = dispatch.plan(0.0)
    assert start == Start(0, workers)
    for number in range(1, workers + 1):
        dispatch.started((0, number))
        dispatch.handle(0, WorkerReady(number, 0.01), 0.0)
    return dispatch, {step.worker[1]: step.batch for step in dispatch.plan(0.0) if isinstance(step, Send)}


def lose(dispatch: Dispatch, worker: int, batch: Batch, death: Death) -> None:
    dispatch.handle(0, WorkerLost(worker, (batch.id, 0), death), 0.0)


def finish(dispatch: Dispatch, worker: int, batch: Batch, worn: bool = False) -> None:
    dispatch.handle(0, Finished(worker, Outcomes(batch.id, 0, [0], seconds=0.1), last=True, worn=worn), 0.0)


def test_after_a_kill_for_lack_of_memory_there_is_one_worker_fewer():
    dispatch, batches = busy_lane(4, Rules(stop_on_failure=False))
    lose(dispatch, 2, batches[2], STARVED)
    assert dispatch.lanes[0].target == 3
    assert not [step for step in dispatch.plan(0.0) if isinstance(step, Start)]
    (failed,) = dispatch.take()
    assert isinstance(failed.values[0].exception, WorkerCrashed)
    assert "for lack of memory" in str(failed.values[0].exception)
    # An ordinary death is made up for, up to the three.
    lose(dispatch, 3, batches[3], Death(1, 11, None, "crashed"))
    finish(dispatch, 1, batches[1])
    steps = dispatch.plan(0.0)
    assert len([step for step in steps if isinstance(step, Send)]) == 1
    assert [step for step in steps if isinstance(step, Start)] == [Start(0, 1)]


def test_several_such_kills_leave_the_last_worker():
    dispatch, batches = busy_lane(3, Rules(stop_on_failure=False, retries=5))
    for worker in (1, 2, 3):
        lose(dispatch, worker, batches[worker], STARVED)
    assert dispatch.lanes[0].target == 1 and dispatch.retried == 3
    assert dispatch.plan(0.0) == [Start(0, 1)]


def test_a_call_that_memory_was_short_for_is_tried_again_beside_fewer():
    dispatch, batches = busy_lane(3, Rules(retries=1))
    lose(dispatch, 1, batches[1], STARVED)
    assert dispatch.failure is None and not dispatch.take()
    finish(dispatch, 2, batches[2])
    (again,) = dispatch.plan(0.0)
    assert isinstance(again, Send) and again.batch.first == batches[1].first
    assert len(dispatch.lanes[0].workers) == 2 == dispatch.lanes[0].target


def test_a_worn_worker_gets_nothing_more_and_is_replaced():
    dispatch, batches = busy_lane(1, Rules())
    finish(dispatch, 1, batches[1], worn=True)
    assert dispatch.plan(0.0) == [Retire((0, 1)), Start(0, 1)]


def test_a_worn_worker_gives_back_what_was_queued_with_it():
    dispatch, batches = busy_lane(1, Rules())
    batch = batches[1]
    dispatch.lanes[0].workers[1].sent[batch.id].batch.items = [1, 2, 3]
    finish(dispatch, 1, batch, worn=True)
    assert dispatch.pending == 19 + 2
    assert dispatch.plan(0.0) == [Retire((0, 1)), Start(0, 1)]


def test_a_cap_holds_whatever_is_wanted_until_it_is_lifted():
    dispatch, batches = busy_lane(3, Rules())
    dispatch.cap_lane(0, 2)
    assert dispatch.lanes[0].target == 2
    dispatch.set_lane(0, 8)
    assert dispatch.lanes[0].target == 2
    finish(dispatch, 1, batches[1])
    assert dispatch.plan(0.0) == [Retire((0, 1))]
    dispatch.cap_lane(0, 100)
    assert dispatch.lanes[0].target == 8
    dispatch.cap_lane(0, 0)
    assert dispatch.lanes[0].target == 1


def test_where_all_idle_when_there_are_too_many_those_that_stay_get_calls():
    dispatch, batches = busy_lane(3, Rules())
    for number in (1, 2, 3):
        finish(dispatch, number, batches[number])
    dispatch.cap_lane(0, 2)
    retired, *sent = dispatch.plan(0.0)
    assert retired == Retire((0, 1))
    assert [step.worker for step in sent if isinstance(step, Send)] == [(0, 2), (0, 3)]


def test_as_long_as_the_caller_computes_there_is_one_worker_less_and_then_all_of_them():
    dispatch = Dispatch(Rules())
    dispatch.add_lane(0, Batching(1e-4, 1), 1)
    dispatch.set_lane(0, 2)
    dispatch.hold_back(0, 1)
    dispatch.feed(abs, "one", list(range(8)))
    assert dispatch.plan(0.0) == [Start(0, 1)]
    dispatch.started((0, 1))
    assert [type(step) for step in dispatch.plan(0.0)] == [Send]
    dispatch.hold_back(0, 0)
    assert dispatch.plan(0.0) == [Start(0, 1)]
    dispatch.hold_back(0, 5)
    assert dispatch.lanes[0].target == 1
    dispatch.set_lane(0, 0)
    assert dispatch.lanes[0].target == 0


def test_a_call_alone_goes_the_way_of_all_others():
    ways = []
    for alone in (True, False):
        dispatch = one_by_one([])
        dispatch.handle(0, WorkerReady(1, 0.1), 0.0)
        if alone:
            send = dispatch.send_alone(len, "full", "item", 1.0)
        else:
            dispatch.feed_call(len, "full", "item")
            (send,) = dispatch.plan(1.0)
        batch, worker = send.batch, dispatch.lanes[0].workers[1]
        shown = [send.worker, *(getattr(batch, name) for name in ("id", "fn", "style", "first", "items", "stop"))]
        ways.append([*shown, worker.since, worker.given, *worker.sent, *dispatch.lanes[0].idle, dispatch.fed])
        assert dispatch.send_alone(len, "full", "item", 1.0) is None  # nobody is free
        done = Outcomes(batch.id, 0, [7], seconds=1e-5)
        dispatch.handle(0, Finished(1, done, last=True), 1.0)
        assert [(chunk.first, chunk.values) for chunk in dispatch.take()] == [(1, [7])]
        assert dispatch.done == dispatch.fed == 2 and dispatch.pending == 0
    assert ways[0] == ways[1]


def test_no_call_goes_past_those_that_wait():
    dispatch = one_by_one([abs])
    dispatch.handle(0, WorkerReady(1, 0.1), 0.0)
    assert dispatch.send_alone(len, "full", "item", 1.0) is None and dispatch.fed == 2


def test_no_more_calls_go_out_than_there_is_room_for_until_the_next_look():
    dispatch = Dispatch(Rules())
    dispatch.add_lane(0, Batching(1e-4, fixed=1), max_queued=2)
    dispatch.set_lane(0, 8)
    dispatch.feed(abs, "one", range(20))
    dispatch.plan(0.0)
    for worker in range(8):
        dispatch.started((0, worker))
    for room, more in ((3, 3), (2, 2), (0, 0), (100, 3)):
        dispatch.lanes[0].room = room
        sent = [one for one in dispatch.plan(0.0) if isinstance(one, Send)]
        assert len(sent) == more
