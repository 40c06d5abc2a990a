"""A crew whose workers are reached over sockets: the part that processes and sub-interpreters have in common.

Each worker has one stream socket. Batches go out as frames (see ``_wire``), what comes back becomes events. The crew
has no thread: ``wait`` looks at all sockets at once, and nothing here ever blocks on a worker.

A worker's end is complete when its socket was read to the end *and* its launcher knows how it died. Then what stands
in its ledger and was not reported yet is reported, and last its death.
"""

from __future__ import annotations

import os

from lightwork import _carried, _descriptors, _pickling, _platform, _wire
from lightwork._backends import _output, _rows, _surroundings
from lightwork._backends._copies import Copies
from lightwork._backends._copying import Copying
from lightwork._backends._launcher import End, Launcher
from lightwork._backends._ledger import SIZE, WITH_ARENA, Ledger
from lightwork._backends._link import Link
from lightwork._backends._messages import Hello
from lightwork._backends._reporting import Sent
from lightwork._backends._shipping import Functions, dump_items, row_parts
from lightwork._backends._sockets import Sockets
from lightwork._backends.base import CLOSING, HEEDS, Crew
from lightwork._calls import Batch, Event, Finished, Outcomes, Terms, WorkerFailed, WorkerReady
from lightwork._class_names import Sending
from lightwork._clock import SystemClock
from lightwork._gate import opened
from lightwork._handles import Handle
from lightwork._lean import partial, pickle, socket, struct, suppress
from lightwork._lock import new_lock
from lightwork._machine import usable_cores
from lightwork._polling import MOMENT, Polling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from lightwork._pieces import Buffer


GLIMPSE = 0.05
"""Seconds of silence after which the crew looks for finished results in the ledgers of busy workers; of a worker's
silence where others speak."""
VISIBLE = 0.002
"""Seconds after which what is stored in shared memory is seen by every core, a thousand times over."""
GRACE = 0.25
"""Seconds that ``close`` gives calls that cannot be killed to end, and after Ctrl-C idle workers to do so."""
EASE = 2.0
"""Seconds that it gives idle workers else, to say that they close what they hold, or to run their exit handlers."""
PATIENCE = 2.0
"""Seconds that ``close`` waits for workers that were killed; only one stuck in the kernel takes longer."""

READS = 0.001
"""Seconds within which a worker that is sent more than its socket takes at once takes some of it."""
DELIVERED = 0.1
"""Seconds in which it is to have all of it, or else whoever computes goes on."""

_OUTCOMES = frozenset({_wire.RESULTS, _wire.RESULT_ROW})


class RemoteCrew(Crew):
    """Workers at the other ends of sockets, started by a launcher."""

    opens_gate = True

    def __init__(self, terms: Terms, backend: str, launcher: Launcher) -> None:
        self._terms, self._backend, self._launcher = terms, backend, launcher
        self._sockets = Sockets()
        self._events: list[Event] = []
        self._links: dict[int, Link] = {}
        self._names = Sending()
        self._functions = Functions(self._names, modules=terms.initializer is not None)
        self._cores = usable_cores()
        self._copying = Copying(self._cores > 1)
        self._copies = Copies(self._copying, by_caller=True)
        self._workers = self.shipped = 0
        self._revoking: dict[int, float] = {}
        """Workers that were told to begin nothing more, and when they must have seen it."""
        self._hello: tuple[_surroundings.Surroundings, bytes, list[memoryview], dict[Handle, int]] | None = None
        self._decimals = _surroundings.unusual_decimals()
        self._now = SystemClock.now
        self._looked = self._now()
        """When it last looked into ledgers."""
        self._process = os.getpid()
        self.polling = Polling(self._cores > 1)
        self._closed = False
        self._touching = self._torn = self._unshown = self._rang = False
        self._apart = False
        """Whether items go one by one: once a worker could not read them together."""
        self._closing = new_lock()
        self._hurried = new_lock()
        """Held from when nobody wants to wait for workers that close what they hold."""
        self._woken, self._waker = _descriptors.connected()
        self._sockets.watch(self._woken, self._take_wakes)
        launcher.attach(self._sockets.watch, self._sockets.unwatch, self._on_death)

    # the contract: from the engine

    def start_worker(self) -> int:
        if self._closed:
            raise RuntimeError("this crew is closed")
        self._workers += 1
        number, started = self._workers, self._now()
        try:
            if self._hello is None:
                handles: dict[Handle, int] = {}
                self._names.held, self._names.fresh = {}, {}  # it is for all workers
                terms = _pickling.dump(self._terms, to_worker=True, handles=handles, names=self._names)
                self._hello = (_surroundings.capture(self._terms.library_threads, self._decimals), *terms, handles)
        except Exception as problem:  # noqa: BLE001 - whatever an initializer's pickling raises
            self._events.append(WorkerFailed(number, _carried.unpicklable(problem, self._terms, "initializer")))
            return number
        try:
            ours, theirs = _descriptors.connected()
        except OSError as problem:
            self._events.append(WorkerFailed(number, problem, scarce=True))
            return number
        descriptor = ledger = None
        try:
            if self._launcher.can_kill:
                descriptor = _platform.anonymous_memory(SIZE, WITH_ARENA)
                ledger = Ledger(descriptor, copy=self._copying)
            self._launcher.launch(number, theirs, descriptor)
        except OSError as problem:
            ours.close()
            self._events.append(WorkerFailed(number, problem, scarce=True))
            return number
        finally:
            theirs.close()
            if descriptor is not None:
                os.close(descriptor)
        link = Link(number, ours, ledger, started, self._copies, self._sockets.mind_room)
        self._links[number] = link
        self._sockets.watch(ours, partial(self._on_socket, link))
        surroundings, pickled, buffers, handles = self._hello
        body = pickle.dumps(Hello(surroundings, self._backend, pickled, self.polling.allowed))
        self._touching = True
        self._post(link, _wire.frame(_wire.HELLO, [body], buffers, handles=handles))
        self._touching = False
        return number

    def send(self, worker: int, batch: Batch) -> None:
        self._send(worker, batch)
        self._touching = False

    def _send(self, worker: int, batch: Batch) -> None:
        link = self._links.get(worker)
        if link is None or link.death is not None:
            return  # its WorkerLost is on its way, or was given: the batch never begins
        with opened():  # nothing is under way yet, and pickling may take long, or for ever
            function, dropped = self._functions.get(batch.fn)
            row = items = None
            if function.problem is None and (self._apart or (row := _rows.dump(batch.items)) is None):
                items = dump_items(batch, self._names, link.record.classes)
        self._touching = True
        for each in self._links.values() if dropped else ():
            held = each.functions.intersection(dropped)
            if held:
                each.functions -= held
                self._post(each, _wire.frame(_wire.DROP, [struct.pack(f"<{len(held)}I", *held)]))
        if function.problem is not None:
            self._refuse(worker, batch, dict.fromkeys(range(len(batch.items)), function.problem))
            return
        if items is not None and len(items.holes) == len(batch.items):
            self._refuse(worker, batch, items.holes)
            return
        sent = Sent(batch) if items is None else Sent(batch, items.holes, items.classes)
        if function.number not in link.functions:
            link.functions.add(function.number)
            self._post(link, function.parts)
            sent.classes = {**function.classes, **sent.classes}
        number = link.record.add(sent)
        if row is not None:
            places = self._place(link, number, [row]) if len(row) >= _pickling.OUT_OF_BAND else None
            self._post(link, row_parts(batch, row, number, function.number, places))
        elif items is not None:
            places = self._place(link, number, items.flat)
            self._post(link, items.parts(batch, number, function.number, places))

    def _place(self, link: Link, number: int, buffers: Sequence[Buffer]) -> list[tuple[int, int]] | None:
        places = link.place(number, buffers)
        self.shipped += 0 if places is None else sum(size for _, size in places)
        return places

    def _refuse(self, worker: int, batch: Batch, failures: dict[int, BaseException]) -> None:
        """Nothing of the batch can be sent."""
        outcomes = Outcomes(batch.id, 0, [None] * len(batch.items), failures)
        self._events.append(Finished(worker, outcomes, last=True))

    def deliver(self) -> None:
        # A socket takes 200 kB, and the rest is sent in ``wait``: a function with more than that around it would reach
        # its worker piece by piece, one after each call that the caller's thread makes meanwhile.
        until = self._now() + DELIVERED
        while any(link.writing and link.has_only_that() for link in self._links.values()) and self._now() < until:
            arrived = self._sockets.wait(READS)
            if not arrived:
                break  # it has no core, or does not read
            self._touching = True
            for ready in arrived:
                ready()
            self._touching = False

    def wait(self, timeout: float | None) -> list[Event]:
        if self._touching:
            self._mind_a_tear()
        deadline = None if timeout is None else self._now() + timeout
        while not self._closed:
            left = 0.0 if self._events else None if deadline is None else max(0.0, deadline - self._now())
            if self._revoking:
                due = max(0.0, min(self._revoking.values()) - self._now())
                left = due if left is None else min(left, due)
            polled = self._poll() if left is None or left > MOMENT else []
            glimpse = not polled and self._glimpse_due(left)
            ready = polled or self._sleep(GLIMPSE if glimpse else left)
            self._touching = True
            for arrived in ready:
                arrived()
            now = self._now()
            if not ready and glimpse:
                self._glimpse(now)
            elif now >= self._looked + GLIMPSE:
                # Others may have something to say for ever, and who waits may never do so for long.
                self._glimpse(now, of_silent=True)
            if self._revoking:
                self._confirm()
            self._touching = False
            if not ready and glimpse:
                continue
            if self._events or self._rang:
                break
            if deadline is not None and now >= deadline:
                break
        events, self._events = self._events, []
        self._rang = False
        return events

    def wake(self) -> None:
        with self._closing, suppress(OSError):  # full: a wake-up is on its way already
            if not self._closed:
                self._waker.send(b"\0", socket.MSG_DONTWAIT)

    def hurry(self) -> None:
        self._hurried.acquire(blocking=False)
        self.wake()

    def retire(self, worker: int) -> None:
        link = self._links.get(worker)
        if link is not None and not link.retiring:
            link.retiring = True
            self._post(link, _wire.frame(_wire.RETIRE, []))

    def revoke(self, worker: int) -> None:
        link = self._links.get(worker)
        if link is not None and link.revoke():
            self._revoking[worker] = self._now() + VISIBLE

    def _confirm(self) -> None:
        """Reports what workers cannot have begun since they were told not to."""
        now = self._now()
        for worker in [worker for worker, due in self._revoking.items() if due <= now]:
            del self._revoking[worker]
            link = self._links.get(worker)
            if link is not None and (revoked := link.revoked()) is not None:
                self._events.append(revoked)

    def kill(self, worker: int) -> None:
        if not self._launcher.can_kill:
            raise TypeError(f"a worker of the {self._backend!r} backend cannot be killed")
        if worker in self._links:
            self._launcher.kill(worker, group=True)

    def close(self, patience: float = CLOSING) -> int:
        if self._closed:
            return 0
        if os.getpid() != self._process:
            self._let_go()
            return 0
        self._mind_a_tear()
        running = self._end_workers(patience)
        for link in list(self._links.values()):
            self._forget(link)
        self._launcher.close()
        with self._closing:
            self._closed = True
            self._sockets.close()
            self._woken.close()
            self._waker.close()
        self._names = Sending()
        self._functions = Functions(self._names)
        return running

    def _let_go(self) -> None:
        """In a fork, whose parent has the workers: a word to one of them would be a word in the parent's name."""
        for link in self._links.values():
            link.close()
        self._links.clear()
        self._launcher.close()
        self._closed = True
        self._sockets.close()
        self._woken.close()
        self._waker.close()

    def memory(self) -> list[int]:
        return self._launcher.memory()

    def stacks(self, workers: Sequence[int]) -> dict[int, str]:
        return self._launcher.stacks(workers)

    def _mind_a_tear(self) -> None:
        """After Ctrl-C struck between two steps of taking in or handing out: what is where is not known any more.

        What was reported stands, what was not is given up, and ``close`` speaks to no worker, whose stream may end
        in the middle of a frame.
        """
        if self._touching:
            self._touching, self._torn = False, True
            for link in self._links.values():
                link.record.batches.clear()

    # to the workers

    def _post(self, link: Link, parts: list[_wire.Part]) -> None:
        self.shipped += link.post(parts)

    # from the workers

    def _on_socket(self, link: Link) -> None:
        if link.number not in self._links:
            return  # it was forgotten in the same round
        if link.writing:
            link.write_on()
        if self._read(link):
            return
        self._hang_up(link)
        link.death = link.death or self._launcher.hung_up(link.number)
        if link.death is not None:
            self._bury(link)

    def _read(self, link: Link, to_the_end: bool = False) -> bool:
        """Takes what has arrived; False where the stream has ended. ``to_the_end``: all of it, however unlikely."""
        for frame in link.frames:
            if frame is None:
                return True
            if isinstance(frame, _wire.Frame):
                self._take(link, frame)
                if frame.last and not to_the_end:
                    return True
            elif not to_the_end:
                return True
        return False

    def _take(self, link: Link, frame: _wire.Frame) -> None:
        if frame.kind in _OUTCOMES:
            if (event := link.collect(frame)) is not None:
                self._events.append(event)
        elif frame.kind == _wire.UNREAD:
            self._apart = True  # items go one by one from now on, to find out which of them it is
            self._events.append(link.unread(*struct.unpack("<I", frame.body)))
        elif frame.kind == _wire.FREE:
            for number in frame.body.cast("I").tolist():
                link.free(number)
        elif frame.kind in (_wire.OUTPUT, _wire.LOG):
            try:
                (_output.show if frame.kind == _wire.OUTPUT else _output.log)(frame.body)
            except Exception as problem:  # noqa: BLE001 - the caller's own stream, or handler of logging
                self._tell_unshown(problem)
        elif frame.kind == _wire.READY:
            link.ready = True
            self._launcher.ready(link.number, *struct.unpack("<Q", frame.body))
            self._events.append(WorkerReady(link.number, self._now() - link.started))
        elif frame.kind == _wire.CLOSING:
            link.closing = True
        elif frame.kind == _wire.FAILED:
            link.retiring = True  # it ends by itself, and that is no news
            self._events.append(WorkerFailed(link.number, _carried.unpack(frame.body)))

    def _tell_unshown(self, problem: Exception) -> None:
        """The caller's stream is closed, or its reader has gone: that is no reason to lose results. Told once."""
        if not self._unshown:
            self._unshown = True
            _output.tell_unshown(problem)

    def _glimpse_due(self, left: float | None) -> bool:
        """Whether a long wait should be broken by a look into the ledgers."""
        if left is not None and left <= GLIMPSE:
            return False
        return any(link.tells_more() for link in self._links.values())

    def _glimpse(self, now: float, of_silent: bool = False) -> None:
        """``of_silent``: into the ledgers of those alone from which nothing came since the last time."""
        self._looked = now
        for link in self._links.values():
            if not (of_silent and link.told) and (finished := link.glimpse()) is not None:
                self._events.append(finished)
            link.told = False

    # ends

    def _hang_up(self, link: Link) -> None:
        if not link.hung_up:
            link.hung_up = True
            self._sockets.unwatch(link.sock)

    def _on_death(self, worker: int, death: End) -> None:
        link = self._links.get(worker)
        if link is None:
            return
        link.death = death
        # All that it ever sent has arrived. If there is no end, something that it forked holds its socket.
        self._read(link, to_the_end=True)
        self._hang_up(link)
        self._bury(link)

    def _bury(self, link: Link) -> None:
        """Reports what a dead worker did, and last its death."""
        assert link.death is not None
        self._events += link.last_words(link.death)
        self._forget(link)

    def _forget(self, link: Link) -> None:
        self._hang_up(link)
        self._links.pop(link.number, None)
        link.close()

    def _end_workers(self, patience: float) -> int:
        """Kills busy workers, and those that import, at once where that can be; lets the others end in peace.

        Returns in how many of them a call goes on.
        """
        can_kill = self._launcher.can_kill
        for link in list(self._links.values()):
            if can_kill and (self._torn or link.fetching() or link.busy()):
                self._launcher.kill(link.number, group=True)
            else:
                self.retire(link.number)
        self._await_peace(patience)
        if can_kill:
            for number in list(self._links):
                self._launcher.kill(number, group=True)
            # Those that are still to begin find nobody: no call of theirs goes on.
            awaited = {number for number, link in self._links.items() if link.there()}
            self._await_ends(awaited)
            return len(awaited & self._links.keys())
        # One that is still starting will find its socket closed before it begins a call.
        return sum(link.ready and bool(link.record.batches) for link in self._links.values())

    def _await_peace(self, patience: float) -> None:
        """Waits for workers that may end by themselves, ``patience`` seconds for those that close what they hold."""
        began = self._now()
        while self._links:
            if self._hurried.locked():
                patience = min(patience, GRACE)
            ease = min(EASE, patience)
            last = max(
                patience if link.closing else ease if link.ready and link.record.reported else GRACE
                for link in self._links.values()
            )
            if (left := began + last - self._now()) <= 0:
                break
            # What is in hand is known by now: a Ctrl-C may end this wait, and what calls it does it again in a hurry.
            with opened() if patience > GRACE else suppress():
                arrived = self._sockets.wait(min(left, HEEDS))
            for ready in arrived:
                ready()

    def _await_ends(self, workers: set[int]) -> None:
        deadline = self._now() + PATIENCE
        while workers & self._links.keys() and (left := deadline - self._now()) > 0:
            for ready in self._sockets.wait(left):
                ready()

    # the wait

    def _poll(self) -> list[Callable[[], None]]:
        """What has arrived within a moment, where there is a core to look for it."""
        if self._crowded():
            return []
        self.asleep = True
        with opened():
            ready = self.polling.until(self._sockets.look)
        self.asleep = False
        return ready or []

    def _sleep(self, timeout: float | None) -> list[Callable[[], None]]:
        self.asleep = True
        with opened():
            ready = self._sockets.wait(timeout)
        self.asleep = False
        return ready

    def _crowded(self) -> bool:
        """Whether workers with calls have all the cores: polling would keep one of them from its call."""
        busy = 0
        for link in self._links.values():
            busy += bool(link.record.batches)
            if busy >= self._cores:
                return True
        return False

    def _take_wakes(self) -> None:
        self._rang = True
        with suppress(BlockingIOError):
            while len(self._woken.recv(4096, socket.MSG_DONTWAIT)) == 4096:
                continue
