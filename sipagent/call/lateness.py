"""How late packets come: the least delay of a stream, and how far above it nearly all of its packets stay.

What is measured is a packet's transit, its arrival minus its timestamp, whose absolute value means nothing. The window
forgets after a few seconds, so that a network that calms down is soon believed, and a sender whose clock is off by some
hundred millionths is followed.
"""

from bisect import bisect_left, insort
from collections import deque

WINDOW_S = 6.0
"""What is older is forgotten."""

FEWEST = 50
"""So many are kept, however old: after a long silence they are all that is known."""

MOST = 1000
"""Packets remembered; 6 s of packets of 10 ms are 600."""

NEARLY_ALL = 0.995
"""The share of packets to be in time: of 300 all but the worst one, so that fewer than one of a hundred are late."""


class Lateness:
    """The transits of the last seconds, in order of arrival and of size."""

    __slots__ = ("_arrived", "_sorted")

    def __init__(self) -> None:
        self._arrived: deque[tuple[float, float]] = deque()
        self._sorted: list[float] = []

    def observe(self, transit: float, *, now: float) -> None:
        """Take the transit of a packet, in seconds."""
        arrived, ordered = self._arrived, self._sorted
        arrived.append((now, transit))
        insort(ordered, transit)
        while (arrived[0][0] < now - WINDOW_S and len(arrived) > FEWEST) or len(arrived) > MOST:
            del ordered[bisect_left(ordered, arrived.popleft()[1])]

    def rebase(self, transit: float) -> None:
        """Go on with a stream whose timestamps mean another time: what is known of the network still holds."""
        by = transit - self.base if self._sorted else 0.0
        self._arrived = deque((at, old + by) for at, old in self._arrived)
        self._sorted = sorted(old for _, old in self._arrived)  # rounding may have swapped neighbours

    @property
    def base(self) -> float:
        """The least transit, in seconds; 0 before the first."""
        return self._sorted[0] if self._sorted else 0.0

    @property
    def spread(self) -> float:
        """How long after the fastest nearly all came, in seconds."""
        ordered = self._sorted
        return ordered[round((len(ordered) - 1) * NEARLY_ALL)] - ordered[0] if ordered else 0.0
