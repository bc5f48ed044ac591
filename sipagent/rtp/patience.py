"""How long a gap in a stream is worth waiting for, learnt from the stream itself.

At first the worst is assumed, so that a network which reorders from the start loses nothing; each gap that was waited
for in vain halves what is assumed. From then on the wait is a little more than the latest packet of the last minute
took, and, in a stream that only loses, ``MIN_WAIT_S``. What comes later than ``MAX_WAIT_S`` teaches nothing: waiting
for it would cost every gap more than a frame is worth.
"""

MIN_WAIT_S = 0.020
"""The time of a packet: two that only changed places are put right, and a loss costs no more."""

MAX_WAIT_S = 0.100
"""Five packets of 20 ms, as much as networks reorder."""

MEMORY_S = 30.0
"""For how long a late packet is remembered, at least; at most twice as long."""

MARGIN = 1.25
MARGIN_S = 0.005
"""The next one may be later than the latest so far."""


class Patience:
    """One stream's."""

    __slots__ = ("_assumed_s", "_latest_before_s", "_latest_s", "_turns_at", "wait_s")  # fmt: skip

    def __init__(self) -> None:
        self.wait_s = MAX_WAIT_S
        """How long to wait for a gap now, in seconds."""
        self._assumed_s = MAX_WAIT_S
        self._latest_s = self._latest_before_s = 0.0
        self._turns_at = 0.0

    def filled(self, late_s: float, *, now: float) -> None:
        """Take note that a packet came so long after its first follower, in time or not."""
        self._turn(now)
        if late_s <= MAX_WAIT_S:
            self._latest_s = max(self._latest_s, late_s)
        self._settle()

    def waited_in_vain(self, *, now: float) -> None:
        """Take note that a gap was given up; if its packet comes yet, :meth:`filled` says so."""
        self._turn(now)
        self._assumed_s /= 2
        self._settle()

    def _turn(self, now: float) -> None:
        """Forget what was learnt in the memory's length before the last."""
        if now < self._turns_at:
            return
        self._latest_before_s = self._latest_s if now < self._turns_at + MEMORY_S else 0.0
        self._latest_s = 0.0
        self._turns_at = now + MEMORY_S

    def _settle(self) -> None:
        latest_s = max(self._latest_s, self._latest_before_s)
        learnt_s = latest_s * MARGIN + MARGIN_S if latest_s else 0.0
        self.wait_s = min(max(MIN_WAIT_S, self._assumed_s, learnt_s), MAX_WAIT_S)
