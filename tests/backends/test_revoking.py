"""Calls that are taken back: a puppet plays the worker, so that every step comes when the test says so."""

from __future__ import annotations

import os
import pickle
import socket
import struct
import threading
import time
from queue import SimpleQueue

import pytest

import lightwork as lw
from lightwork import _wire
from lightwork._backends import _ledger
from lightwork._backends._launcher import Launcher
from lightwork._backends._ledger import VALUE
from lightwork._backends._messages import BATCH, ENDED, RESULTS
from lightwork._backends._outbox import Outbox, Post
from lightwork._backends._remote import RemoteCrew
from lightwork._backends.threads import ThreadCrew
from lightwork._calls import Batch, Death, Finished, Revoked, Terms, WorkerLost
from lightwork._machine import usable_cores
from tests.leftovers import linux


class Puppet(Launcher):
    """Starts nothing: keeps the worker's ends of the socket and of the ledger."""

    can_kill = True

    def attach(self, watch, unwatch, ended):
        self._ended = ended

    def launch(self, worker, sock, ledger):
        self.sock = socket.socket(fileno=os.dup(sock.fileno()))
        self.ledger = _ledger.shared(os.dup(ledger))
        self.frames = _wire.receive(self.sock)

    def ready(self, worker, pid):
        assert pid == 1

    def hung_up(self, worker):
        return Death(1, 9, None, "was killed by SIGKILL")

    def kill(self, worker, group):
        self.sock.close()

    def close(self):
        self.sock.close()

    # what the worker does

    def tell(self, kind, body):
        _wire.send_all(self.sock, _wire.frame(kind, [body]))

    def next_batch(self):
        """The number of the next batch that arrives."""
        for frame in self.frames:
            if frame.kind in (_wire.BATCH, _wire.ROWS):
                return BATCH.unpack_from(frame.body)[1]
        raise AssertionError("the stream has ended")

    def begin(self, number, position):
        """Stores the slot; whether the call may begin."""
        words, slot = self.ledger.words, number << 32 | position
        words[0] = slot
        return not (words[6] and words[7] <= slot < words[8])

    def end_batch(self, number):
        self.tell(_wire.RESULTS, RESULTS.pack(number, ENDED, False, 0.0, 0.0, 0.0))
        self.ledger.words[2] += 1


@pytest.fixture
def puppet():
    launcher = Puppet()
    crew = RemoteCrew(Terms(), "processes", launcher)
    worker = crew.start_worker()
    launcher.tell(_wire.READY, struct.pack("<Q", 1))
    crew.wait(5)
    yield launcher, crew, worker
    launcher.sock.close()  # nobody answers
    crew.close()


def until(crew, kind):
    """Waits for an event of this kind; returns all that came."""
    events = []
    while not any(isinstance(event, kind) for event in events):
        events += crew.wait(5)
    return events


def two_batches(launcher, crew, worker):
    """Two batches of three calls; the worker runs the first call."""
    for id_ in (1, 2):
        crew.send(worker, Batch(id_, abs, "one", 3 * id_, [1, 2, 3]))
    first, second = launcher.next_batch(), launcher.next_batch()
    assert launcher.begin(first, 0)
    crew.revoke(worker)
    [event] = [event for event in until(crew, Revoked) if isinstance(event, Revoked)]
    assert event.positions == {1: 1, 2: 0}
    return first, second


@linux
def test_what_was_taken_back_is_refused_however_late_the_worker_comes_to_it(puppet):
    launcher, crew, worker = puppet
    first, second = two_batches(launcher, crew, worker)
    assert not launcher.begin(first, 1)
    launcher.end_batch(first)
    until(crew, Finished)  # the crew knows that its only batch has ended, the worker has the other still before it
    assert not launcher.begin(second, 0)
    launcher.end_batch(second)
    crew.send(worker, Batch(3, abs, "one", 9, [4]))
    assert launcher.begin(launcher.next_batch(), 0)


@linux
def test_a_worker_whose_results_are_all_known_is_not_killed_for_the_word_that_its_batch_is_over(puppet):
    """It has lost its core behind its last call, whose result was found in its ledger."""
    launcher, crew, worker = puppet
    crew.send(worker, Batch(1, abs, "one", 0, [1, 2]))
    number = launcher.next_batch()
    assert launcher.begin(number, 1)
    outbox = Outbox(launcher.ledger, Post(launcher.sock, launcher.ledger))
    outbox.begin(number)
    for position in (0, 1):
        outbox.add(position, VALUE, pickle.dumps(position, 5))
    values = []
    while len(values) < 2:
        values += [value for event in crew.wait(5) for value in event.outcomes.values]
    assert values == [0, 1]
    heard = SimpleQueue()

    def hear():
        for frame in launcher.frames:
            heard.put(frame.kind)
            launcher.sock.close()
            return

    threading.Thread(target=hear, daemon=True).start()
    crew.close()
    assert heard.get(timeout=5) == _wire.RETIRE


@linux
def test_that_a_worker_has_come_to_what_was_taken_back_is_told(puppet):
    """It may have been long in importing, and imports no more."""
    launcher, crew, worker = puppet
    crew.send(worker, Batch(1, abs, "one", 0, [1]))
    number = launcher.next_batch()
    crew.revoke(worker)
    assert [event.positions for event in until(crew, Revoked)] == [{1: 0}]
    assert not launcher.begin(number, 0)
    launcher.end_batch(number)
    assert [event.positions for event in until(crew, Revoked)] == [{}]


@linux
def test_what_was_taken_back_stays_so_when_more_is(puppet):
    """The worker is long in importing what the first call needs; the same calls are sent, and taken back, again."""
    launcher, crew, worker = puppet
    words = launcher.ledger.words
    for id_ in (1, 2):
        crew.send(worker, Batch(id_, abs, "one", id_, [1]))
    first, second = launcher.next_batch(), launcher.next_batch()
    words[0], words[9] = first << 32, 1
    crew.revoke(worker)
    assert [event.positions for event in until(crew, Revoked)] == [{1: 0, 2: 0}]
    for id_ in (3, 4):
        crew.send(worker, Batch(id_, abs, "one", id_ - 2, [1]))
    third, fourth = launcher.next_batch(), launcher.next_batch()
    words[9] = 0  # it has imported that, and is about to look whether it may begin
    crew.revoke(worker)
    assert not launcher.begin(first, 0)
    assert [event.positions for event in until(crew, Revoked)] == [{3: 0, 4: 0}]
    crew.send(worker, Batch(5, abs, "one", 1, [1, 2]))
    fifth = launcher.next_batch()
    assert not any(launcher.begin(number, 0) for number in (second, third, fourth))
    assert launcher.begin(fifth, 0)
    crew.revoke(worker)
    assert [event.positions for event in until(crew, Revoked)] == [{5: 1}]
    assert not launcher.begin(fifth, 1)


@linux
def test_a_call_that_hangs_in_an_import_behind_what_was_taken_back_is_taken_back_too(puppet):
    launcher, crew, worker = puppet
    words = launcher.ledger.words
    crew.send(worker, Batch(1, abs, "one", 1, [1]))
    words[0], words[9] = launcher.next_batch() << 32, 1
    crew.revoke(worker)
    until(crew, Revoked)
    crew.send(worker, Batch(2, abs, "one", 1, [1]))
    second = launcher.next_batch()
    crew.revoke(worker)
    words[9] = 0
    words[0], words[9] = second << 32, 1
    assert [event.positions for event in until(crew, Revoked)] == [{2: 0}]
    assert not launcher.begin(second, 0)


@linux
def test_what_is_sent_after_the_question_is_not_taken_back_with_the_answer(puppet):
    """A worker that has ended what it had meanwhile is given more, which it will not refuse."""
    launcher, crew, worker = puppet
    crew.send(worker, Batch(1, abs, "one", 0, [1]))
    first = launcher.next_batch()
    assert launcher.begin(first, 0)
    crew.revoke(worker)
    launcher.end_batch(first)
    crew.send(worker, Batch(2, abs, "one", 1, [2, 3]))
    assert [event.positions for event in until(crew, Revoked) if isinstance(event, Revoked)] == [{}]
    assert launcher.begin(launcher.next_batch(), 0)


@linux
def test_a_slot_that_goes_back_to_the_call_that_ended_last_has_nothing_done_twice(puppet):
    """Where cells tell, the next call is named as soon as one has ended; where a stretch ends, the one that ended."""
    launcher, crew, worker = puppet
    words = launcher.ledger.words
    batch = Batch(1, abs, "one", 0, [1, 2, 3])
    crew.send(worker, batch)
    first = launcher.next_batch()
    assert launcher.begin(first, 0)
    crew.revoke(worker)
    assert [event.positions for event in until(crew, Revoked)] == [{1: 1}]
    batch.end = 1  # what the dispatch does with the event
    crew.send(worker, Batch(2, abs, "one", 1, [2, 3]))
    second = launcher.next_batch()
    assert not launcher.begin(first, 1)
    crew.revoke(worker)
    words[0] = first << 32
    assert [event.positions for event in until(crew, Revoked)] == [{2: 0}]
    assert not launcher.begin(first, 1) and not launcher.begin(second, 0)


@linux
def test_a_worker_that_dies_as_it_refuses_a_call_has_not_lost_it(puppet):
    launcher, crew, worker = puppet
    batch = Batch(1, abs, "one", 0, [1, 2, 3])
    crew.send(worker, batch)
    number = launcher.next_batch()
    assert launcher.begin(number, 0)
    crew.revoke(worker)
    until(crew, Revoked)
    batch.end = 1  # what the dispatch does with the event
    data = _ledger.ENTRY.pack(0, _ledger.VALUE, len(b"I7\n.")) + b"I7\n."
    launcher.ledger.memory[_ledger.OUTBOX : _ledger.OUTBOX + len(data)] = data
    launcher.ledger.words[1] = len(data)
    assert not launcher.begin(number, 1)
    launcher.sock.shutdown(socket.SHUT_RDWR)
    events = until(crew, WorkerLost)
    [finished] = [event for event in events if isinstance(event, Finished)]
    assert (finished.outcomes.values, finished.last) == ([7], True)
    [lost] = [event for event in events if isinstance(event, WorkerLost)]
    assert lost.running is None


@linux
def test_an_outbox_is_not_looked_into_before_the_frame_that_came_before_it(puppet):
    """The frame with the first result is on its way while the second stands in the outbox already."""
    launcher, crew, worker = puppet
    crew.send(worker, Batch(1, abs, "one", 0, [1, 2, 3]))
    number = launcher.next_batch()
    launcher.begin(number, 2)
    data = _ledger.ENTRY.pack(1, _ledger.VALUE, len(b"I7\n.")) + b"I7\n."
    launcher.ledger.memory[_ledger.OUTBOX : _ledger.OUTBOX + len(data)] = data
    launcher.ledger.words[2] += 1
    launcher.ledger.words[1] = len(data)
    assert crew.wait(0.2) == []
    before = _ledger.ENTRY.pack(0, _ledger.VALUE, len(b"I6\n.")) + b"I6\n."
    launcher.tell(_wire.RESULTS, RESULTS.pack(number, 0, False, 0.0, 0.0, 0.0) + before)
    values = []
    while len(values) < 2:
        for event in crew.wait(5):
            values += event.outcomes.values
    assert values == [6, 7]


class Slow(SimpleQueue):
    """An inbox whose owner has taken a batch out and does not come to begin it."""

    def __init__(self):
        super().__init__()
        self.taken, self.release = threading.Event(), threading.Event()

    def get(self):
        batch = super().get()
        self.taken.set()
        self.release.wait(20)
        return batch


def test_what_a_thread_has_in_hand_and_has_not_begun_is_taken_back_when_it_begins():
    """Busy threads keep it from the GIL. Its first call may last, and others of the batch be waited for."""
    crew = ThreadCrew(Terms())
    try:
        number, comes, go_on, inbox = crew.start_worker(), threading.Event(), threading.Event(), Slow()
        crew.send(number, Batch(1, lambda seconds: (comes.set(), go_on.wait(seconds)), "one", 0, [20]))
        assert comes.wait(20)  # else it might look for its first batch in the other inbox
        crew._workers[number].inbox = inbox
        go_on.set()
        until(crew, Finished)
        crew.send(number, Batch(2, abs, "one", 1, [1, 2, 3]))
        assert inbox.taken.wait(20)
        crew.revoke(number)
        inbox.release.set()
        events = until(crew, Finished)
        assert [event.positions for event in events if isinstance(event, Revoked)] == [{}, {2: 1}]
        [finished] = [event for event in events if isinstance(event, Finished)]
        assert (finished.outcomes.values, finished.last) == ([1], True)
        crew.send(number, Batch(3, abs, "one", 2, [2, 3]))
        [finished] = until(crew, Finished)
        assert finished.outcomes.values == [2, 3]
    finally:
        crew.close()


@pytest.mark.skipif(
    not hasattr(time, "pthread_getcpuclockid"), reason="here a thread's CPU seconds are known to it alone"
)
@pytest.mark.timeout(30)
def test_what_threads_tell_of_a_batch_that_goes_on_says_what_it_took():
    """Calls that wait would else pass for short ones until the last of the batch has ended."""
    crew, waits, ends = ThreadCrew(Terms()), threading.Event(), threading.Event()

    def call(number):
        if number == 3:
            end = time.thread_time() + 0.02
            while time.thread_time() < end:
                pass
            assert not ends.wait(0.05)
        if number == 4:
            waits.set()
            ends.wait(20)
        return number

    try:
        began = time.perf_counter()
        crew.send(crew.start_worker(), Batch(1, call, "one", 0, range(6)))
        assert waits.wait(20)
        told = []
        while not any(isinstance(event, Finished) for event in told):
            told += crew.wait(20)
        ends.set()
        while not (isinstance(told[-1], Finished) and told[-1].last):
            told += crew.wait(20)
        lasted = time.perf_counter() - began
    finally:
        ends.set()
        crew.close()
    first, *_, last = reports = [event.outcomes for event in told if isinstance(event, Finished)]
    assert first.values == [0, 1, 2, 3] and last.position == 6
    assert first.seconds >= 0.07 and sum(each.seconds for each in reports) <= lasted
    assert last.began == pytest.approx(first.began + sum(each.seconds for each in reports[:-1]))
    assert first.cpu >= 0.02 and last.cpu < 0.02, "each part has its own"


def test_a_closed_crew_s_threads_begin_no_further_call_and_what_they_have_ended_is_told():
    crew, made, waits, go_on = ThreadCrew(Terms()), [], threading.Event(), threading.Event()

    def call(number):
        made.append(number)
        if number == 3:
            waits.set()
            assert go_on.wait(20)
        return -number

    crew.send(number := crew.start_worker(), Batch(1, call, "one", 0, [1, 2, 3, 4, 5]))
    thread = crew._workers[number].thread
    assert waits.wait(20)
    assert crew.close(0.0) == 1
    assert [event.outcomes.values for event in crew.wait(0.0) if isinstance(event, Finished)] == [[-1, -2]]
    go_on.set()
    thread.join(20)
    assert made == [1, 2, 3]


@pytest.mark.skipif(usable_cores() > 48, reason="there are as many threads at first as waiting calls get")
def test_what_was_handed_out_for_fewer_threads_is_taken_back_where_calls_wait_and_more_are_started(monkeypatch):
    asked, more = [], usable_cores() + 6
    crowd, revoke = threading.Barrier(more), ThreadCrew.revoke
    monkeypatch.setattr(ThreadCrew, "revoke", lambda crew, worker: (asked.append(worker), revoke(crew, worker)))

    def call(item):
        if item % 3 != 2:
            crowd.wait(20)
        return item

    items = range(15 * more)  # two thirds of which meet each other, ten times
    assert lw.map(call, items, backend="threads", chunksize=3) == list(items)
    assert set(asked) >= set(range(1, usable_cores() + 1)), "those that were there first"
