"""The garbage collector of a process in which every stop is heard.

While Python's collector looks for cycles nothing else runs. A young collection takes microseconds, but a full one looks
at every object there is, and transactions are remembered for half a minute: at 100 calls a second it stopped all calls
for 31 to 121 ms, every second or two. What a call is made of is freed without it (``tests/aio/test_freed.py``), so it
has next to nothing to find. Therefore:

- what lives as long as the process is made before the first call and never looked at again;
- full collections are not made of themselves, but while nobody is in a call, or once an hour where somebody always is,
  so that a cycle that we don't know of, in a tool or a library, costs memory for a while and not for ever;
- young and middle ones are made every few calls. Python's own come when enough was made, less what was freed. Where as
  many calls end as begin that is next to nothing: one was put off for a second, and then looked at all that a hundred
  calls had made, for 10 to 35 ms.
"""

import asyncio
import gc
from collections.abc import Callable
from time import monotonic

YOUNG, MIDDLE = 10_000, 0
"""Objects made and not freed before a collection of Python's own accord, which is a middle one every other time.

So many are what five calls are made of, and to look at them takes a millisecond or two: well below a beat of 5 ms.
"""

NEVER = 1_000_000_000
"""Middle collections before a full one."""

CALLS = 5
"""Begun between two collections of ours; what they made is looked at once."""

SOONEST_S, LONGEST_S = 0.02, 1.0
"""Between two looks at how many have begun: as far apart as so many calls, but within these bounds."""

QUIET_S = 10.0
"""How long nobody called, at least, before a full collection; who calls in that very moment waits 50 ms for his 200."""

LATEST_S = 3_600.0
"""A full collection is put off for so long, and then made in the midst of calls."""


class Collector:
    """Sets the collector of this process, from :meth:`start` to :meth:`stop`.

    :param calls: how many calls there are.
    :param begun: how many calls there ever were.
    """

    def __init__(self, *, calls: Callable[[], int], begun: Callable[[], int]) -> None:
        self._calls = calls
        self._begun = begun
        self._seen = 0
        self._looked_at = self._begun_at = self._collected_at = 0.0
        self._usual = gc.get_threshold()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Everything that lasts has been made."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(YOUNG, MIDDLE, NEVER)
        self._looked_at = self._collected_at = monotonic()
        self._wait(LONGEST_S)

    def stop(self) -> None:
        """Let the process have its collector back, for those that live on in it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            gc.set_threshold(*self._usual)
            gc.unfreeze()

    def look(self, *, now: float) -> float:
        """Collect what is due; return in how many seconds to look again."""
        begun, passed = self._begun(), now - self._looked_at
        new = begun - self._seen
        self._seen, self._looked_at = begun, now
        if new:
            self._begun_at = now
            gc.collect(1)
        if self._is_full_due(now):
            self._collected_at = now
            gc.collect()
        return min(max(SOONEST_S, CALLS * passed / new), LONGEST_S) if new else LONGEST_S

    def _is_full_due(self, now: float) -> bool:
        if gc.get_count()[2] == 0:
            return False
        is_quiet = self._calls() == 0 and now >= max(self._begun_at, self._collected_at) + QUIET_S
        return is_quiet or now >= self._collected_at + LATEST_S

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._on_timer)

    def _on_timer(self) -> None:
        self._wait(self.look(now=monotonic()))
