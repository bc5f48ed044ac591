"""Packets as they come, each once: what stands in the place of the reorder window where a jitter buffer follows.

A jitter buffer puts packets in order by their timestamps, and knows better how long a gap can be waited for. So nothing
is held here; a gap is reported at once, and what fills it later is let through.
"""

from math import inf

from sipagent.rtp.jitter import GIVEN_UP_MEMORY, Released
from sipagent.rtp.losses import Losses, LossLog
from sipagent.rtp.packet import Packet
from sipagent.rtp.source import MAX_DROPOUT


class Passage:
    """Packets by extended sequence number, with the methods of :class:`~sipagent.rtp.jitter.ReorderWindow`."""

    __slots__ = ("_missing", "_next", "due_at", "duplicate", "late", "losses")

    def __init__(self) -> None:
        self.losses = LossLog()
        """Packets that are too old to come yet; those that a sender's new start skips never were."""
        self.late = 0
        """Packets from before the first, or from so long ago that they are forgotten; whether others are in time is
        for the jitter buffer to say."""
        self.duplicate = 0
        """Packets that had come already."""
        self._missing: list[int] = []
        """Those that may come yet, in order."""
        self._next = 0
        self.reset(0)

    def reset(self, number: int) -> None:
        """Begin anew at ``number``. The counters stay."""
        self.due_at = inf
        self._settle(self._next)
        self.losses.restart(self._next, number)
        self._next = number

    @property
    def lost(self) -> int:
        """Packets that have not come yet."""
        return self.losses.lost + len(self._missing)

    @property
    def wait_s(self) -> float:
        """Nothing waits."""
        return 0.0

    def summarize(self) -> Losses:
        """Return how the losses lie, up to the first that may come yet."""
        self._settle(self._next - 1 - GIVEN_UP_MEMORY)
        return self.losses.summarize(self._missing[0] if self._missing else self._next)

    def pass_through(self, number: int) -> bool:
        """Whether this packet is the next, which is the common case."""
        if number != self._next:
            return False
        self._next = number + 1
        return True

    def insert(self, number: int, packet: Packet, *, now: float) -> list[Released]:
        """Return the packet, unless it has come already, and how many are missing before it: -1 for one that was."""
        missing = number - self._next
        if missing >= 0:
            self._settle(number - GIVEN_UP_MEMORY)
            if missing >= MAX_DROPOUT:
                self.reset(number)
            hopeless = max(0, number - GIVEN_UP_MEMORY - self._next)
            if hopeless:
                self.losses.lose(self._next, hopeless)
            self._missing.extend(range(self._next + hopeless, number))
            self._next = number + 1
            return [Released(packet, missing)]
        if number in self._missing:
            self._missing.remove(number)
            return [Released(packet, -1)]
        if number < self._next - GIVEN_UP_MEMORY:
            self.late += 1
        else:
            self.duplicate += 1
        return []

    def release_due(self, *, now: float) -> list[Released]:
        """Nothing waits."""
        return []

    def release_all(self) -> list[Released]:
        """Nothing waits."""
        return []

    def _settle(self, before: int) -> None:
        """Take those up to there for lost."""
        while self._missing and self._missing[0] < before:
            self.losses.lose(self._missing.pop(0), 1)
