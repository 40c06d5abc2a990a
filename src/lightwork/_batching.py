"""How many calls go into the next batch. Pure arithmetic on what was measured so far.

A batch must be long enough to hide its hand-off and short enough to balance the load: while much is left it is
sized by time, toward the end by what is left (guided self-scheduling, Polychronopoulos & Kuck 1987).
"""

from __future__ import annotations

from lightwork._record import Slotted

HANDOFF_SHARE = 0.05
"""The part of a worker's time that hand-offs may take."""

LAST_SHARE = 0.25
"""The same of the last batches, which are small so as to end at one time: to hand out less costs more than it evens
out."""

GROWTH = 8
"""A batch is at most so many times longer than the longest one that was measured: one estimate may mislead."""

LONGEST = 0.05
"""Seconds: no batch is meant to last longer, so that a result waits no longer than that for its siblings."""

AHEAD = 0.02
"""Seconds: a further batch is queued behind one that is expected to end sooner than this."""

FAR_AHEAD = 0.06
"""The same for threads that have no GIL to wait for, which compute beside who hands out: that one may be long in coming
to a core, and behind each batch there is another. What stands behind calls that become longer is taken back."""

SHARED = 0.001
"""Seconds: chunks of the caller's own size that are shorter travel together, so many as last so long, where each can be
taken back. So hand-offs take a tenth of a worker's time at most, and nobody waits longer than that for his siblings."""

BULK = 4 << 20
"""Bytes: a batch's items are not meant to be more. To copy so many takes ten times what a hand-off does, and meanwhile
the next worker waits for its own."""

COPIED = 1e10
"""Bytes that are certainly sent in a second, with what goes with that (a copy alone is three times as fast): where
calls take less time than to send their items does, nothing is queued behind them. Whoever sends is what they wait for,
and what is under way at one time is to find room in the caches: with twice as many arrays of 8 MB each copy took longer
(``benchmarks/copying.py --places``)."""

KNOWN = 16
"""Calls that must have been seen before a batch is queued, or more is handed out than would be even: behind a call that
is longer than thought it would wait."""


class Batching(Slotted):
    """The batch sizes of one lane.

    ``per_message``: seconds that one hand-off costs; ``fixed``: the caller's own ``chunksize``, or None; ``shared``:
    seconds up to which several such chunks make one batch; ``ahead``: seconds that one may last for a further batch to
    be queued behind it;
    ``cap``: the most calls in one batch (inputs must not be drawn far ahead); ``longest``: seconds that a batch
    is meant to last at most; ``alone``: one worker does it all, nothing needs balancing.
    """

    __slots__ = (
        "ahead",
        "alone",
        "bulk",
        "cap",
        "fixed",
        "largest",
        "longest",
        "mean",
        "per_message",
        "seen",
        "shared",
        "told",
    )

    def __init__(
        self,
        per_message: float,
        fixed: int | None = None,
        cap: int = 1 << 16,
        longest: float = LONGEST,
        alone: bool = False,
        mean: float | None = None,
        largest: int = 0,
        seen: int = 0,
        shared: float = 0.0,
        ahead: float = AHEAD,
    ) -> None:
        self.per_message = per_message
        self.ahead = ahead
        self.fixed = fixed
        self.cap = cap
        self.longest = longest
        self.alone = alone
        self.mean = mean
        self.largest = largest
        self.seen = seen
        self.shared = shared
        self.bulk = 0.0
        self.told = 1
        """Calls that a worker tells of at a time, by the latest of these: of fewer where they have become longer."""

    def observe(self, calls: int, seconds: float) -> None:
        """Takes in that ``calls`` calls took ``seconds`` in the worker."""
        if calls <= 0:
            return
        each = seconds / calls
        self.seen += calls
        # A quick rise and a slow fall: an underestimate makes a straggler, an overestimate a few more messages.
        if self.mean is None or self.alone:
            # Where nothing can become a straggler the last batch tells best: the first call often pays for others.
            self.mean = each
        else:
            # But more calls than were seen before say more than those did: the first one often pays for what all need.
            weight, share = 0.5 if each > self.mean else 0.25, calls / self.seen
            self.mean += (share if share > weight else weight) * (each - self.mean)
        if calls > self.largest:
            self.largest = calls

    def tell(self, calls: int) -> None:
        """Takes in that a worker has told of so many calls at once."""
        self.told = max(calls, self.told // 2, 1)

    def weigh(self, calls: int, bulk: int) -> None:
        """Takes in that the items of ``calls`` calls were so many bytes."""
        self.bulk += 0.5 * (bulk / calls - self.bulk)

    def size(self, pending: int, workers: int, more: bool) -> int:
        """Calls for the next batch, at least 1.

        ``pending`` calls wait and ``workers`` share them; ``more``: input may follow that is not counted in them.
        """
        if self.mean is None:
            return self.fixed or 1
        each = max(self.mean, 1e-9)
        share = float(pending) if self.alone else pending / (2 * max(workers, 1))
        cost = HANDOFF_SHARE if more else LAST_SHARE if self.seen >= KNOWN else 1.0
        share = max(share, self.per_message / each / cost)
        longest = self.longest if self.fixed is None else self.shared
        calls = min(share, longest / each, float(self.largest * GROWTH), float(self.cap))
        calls = min(calls, BULK / max(self.bulk, 1.0))
        return max(1, int(calls)) if self.fixed is None else self.fixed * max(1, int(calls / self.fixed))

    def queue_ahead(self, calls: int, away: float = 0.0) -> bool:
        """Whether a batch may be queued behind one of ``calls`` calls that a worker has already. ``away``: seconds for
        which nobody will hand out another one, where it can be taken back from behind a call that is longer."""
        if self.mean is None:
            return False
        lasts = calls * self.mean
        soon = self.seen >= KNOWN and calls * self.bulk / COPIED <= lasts < self.ahead
        return soon or away > HANDOFF_SHARE * lasts
