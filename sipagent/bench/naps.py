"""Naps for a process on whose socket thousands of small messages come in: it reads them once a millisecond, together.

To be woken for each would cost it more than the message, and the sender as well, when both are on one machine. But who
naps cannot say when a message came: so it stays awake now and then, for as long as it takes to time some of them.
"""

import asyncio
from select import select
from time import monotonic

NAP_S = 0.001
CYCLE_S = 0.97
"""Naps and a watch make one; it shares no multiple with the callers' script."""
TIMED_PER_S = 1000.0
"""So many messages are enough to time; who has fewer does not nap at all."""
AWAKE_S = 0.1
"""It does not nap for so long after somebody new has come: a call that is being set up waits for us."""
SETTLE_S = 0.003
"""From the last nap to the watch: until what had come meanwhile is read."""


class Naps:
    """Use :meth:`begin` on a running loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._messages_per_s = 0.0
        self._next_at = self._awake_until = 0.0
        self.is_watching = False
        """Whether a message that is read now has just come."""

    def begin(self) -> None:
        """From now on."""
        self._cycle()

    def expect(self, messages_per_s: float) -> None:
        """Say how many are to come."""
        self._messages_per_s = messages_per_s

    def stay_awake(self) -> None:
        """Somebody new has come."""
        self._awake_until = monotonic() + AWAKE_S

    def _cycle(self) -> None:
        """A watch first, then naps."""
        self._next_at = monotonic() + CYCLE_S
        share = watch_share(self._messages_per_s)
        if share == 1:
            self.is_watching = True
            self._loop.call_later(CYCLE_S, self._cycle)
        else:
            self._loop.call_later(SETTLE_S, self._watch, share * CYCLE_S)

    def _watch(self, seconds: float) -> None:
        self.is_watching = True
        self._loop.call_later(seconds, self._nap)

    def _nap(self) -> None:
        now = monotonic()
        self.is_watching = False
        if now >= self._next_at:
            self._cycle()
            return
        if now < self._awake_until:
            self._loop.call_later(self._awake_until - now, self._nap)
            return
        select((), (), (), NAP_S - now % NAP_S)
        self._loop.call_soon(self._nap)


def watch_share(messages_per_s: float) -> float:
    """How much of the time is watched."""
    return 1.0 if messages_per_s <= TIMED_PER_S else TIMED_PER_S / messages_per_s
