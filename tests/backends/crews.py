"""Drives a crew by hand: what the tests of crews share."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from lightwork._backends.base import Backend
from lightwork._calls import Batch, Event, Finished, Terms, WorkerFailed, WorkerLost, WorkerReady

PATIENCE = 20.0


class Driver:
    """A crew, with everything that it reported sorted by kind."""

    def __init__(self, backend: Backend, **terms: Any) -> None:
        self.crew = backend.open(Terms(**terms))
        self.events: list[Event] = []
        self.values: dict[int, dict[int, Any]] = {}
        self.failures: dict[int, dict[int, BaseException]] = {}
        self.ended: set[int] = set()
        self.batches = 0

    def __enter__(self) -> Driver:
        return self

    def __exit__(self, *_: object) -> None:
        self.crew.close()

    def start(self) -> int:
        return self.crew.start_worker()

    def send(
        self, worker: int, fn: Callable[..., Any], items: Sequence[Any], style: str = "one", first: int = 0
    ) -> int:
        self.batches += 1
        self.crew.send(worker, Batch(self.batches, fn, style, first, items))
        return self.batches

    def until(self, enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not enough():
            left = deadline - time.monotonic()
            assert left > 0, f"nothing came for {PATIENCE} s after {self.events}"
            for event in self.crew.wait(left):
                self._note(event)

    def _note(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, Finished):
            outcomes = event.outcomes
            values = self.values.setdefault(outcomes.batch, {})
            failures = self.failures.setdefault(outcomes.batch, {})
            assert outcomes.start == len(values) + len(failures), "each call once, in order"
            for position, value in enumerate(outcomes.values, outcomes.start):
                if position in outcomes.failures:
                    failures[position] = outcomes.failures[position]
                else:
                    values[position] = value
            if event.last:
                self.ended.add(outcomes.batch)

    def run(
        self, fn: Callable[..., Any], items: Sequence[Any], style: str = "one", worker: int | None = None
    ) -> list[Any]:
        """All results of one batch; an exception stands in a failed call's place."""
        batch = self.send(worker or self.start(), fn, items, style)
        self.until(lambda: batch in self.ended)
        both = {**self.values[batch], **self.failures[batch]}
        return [both[position] for position in range(len(items))]

    def lost(self) -> WorkerLost:
        self.until(lambda: any(isinstance(event, WorkerLost) for event in self.events))
        return next(event for event in self.events if isinstance(event, WorkerLost))

    def failed(self) -> WorkerFailed:
        self.until(lambda: any(isinstance(event, WorkerFailed) for event in self.events))
        return next(event for event in self.events if isinstance(event, WorkerFailed))

    def ready(self, count: int = 1) -> None:
        self.until(lambda: sum(isinstance(event, WorkerReady) for event in self.events) >= count)
