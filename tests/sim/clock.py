"""Virtual time, and the driver of a machine in it: what ``aio/driver.py`` is in the real one."""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Generic, TypeVar

from sipagent.machine import Machine

Output = TypeVar("Output")

BEAT_S = 0.020


class Clock:
    """What happens next happens at once; nothing is waited for."""

    def __init__(self, start: float = 0.0) -> None:
        self.now = start
        self._events: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._serial = 0

    def at(self, at: float, act: Callable[..., object], *args: Any) -> None:
        """Do something at a moment; of two things at the same moment the one that was said first."""
        self._serial += 1
        heappush(self._events, (at, self._serial, act, args))

    def after(self, seconds: float, act: Callable[..., object], *args: Any) -> None:
        """Do something in a while."""
        self.at(self.now + seconds, act, *args)

    def run(self, until: float) -> None:
        """Do all there is to do by then; then it is then."""
        events = self._events
        while events and events[0][0] <= until:
            at, _, act, args = heappop(events)
            if at > self.now:
                self.now = at
            act(*args)
        self.now = until


class Beat:
    """Every 20 ms, by absolute deadlines, until ``act`` says that it was enough."""

    def __init__(self, clock: Clock, act: Callable[[], bool]) -> None:
        self._clock = clock
        self._act = act
        self._start = clock.now
        self._count = 0
        self._on_beat()

    def _on_beat(self) -> None:
        if self._act():
            self._count += 1
            self._clock.at(self._start + self._count * BEAT_S, self._on_beat)


class Node(Generic[Output]):
    """Drives one machine: one input at a time, its outputs carried, one timer armed."""

    def __init__(self, clock: Clock, machine: Machine[Output], carry: Callable[[Output], None]) -> None:
        self._clock = clock
        self._machine = machine
        self._carry = carry
        self._inbox: deque[tuple[Callable[..., object], tuple[object, ...]]] = deque()
        self._is_busy = False
        self._due_at: float | None = None

    def feed(self, receive: Callable[..., object], *args: object) -> None:
        """Give the machine an input, now or as soon as the present one is done."""
        if self._is_busy:
            self._inbox.append((receive, args))
            return
        self._is_busy = True
        poll, carry, now = self._machine.poll, self._carry, self._clock.now
        receive(*args, now=now)
        while (output := poll()) is not None:
            carry(output)
        while self._inbox:
            receive, args = self._inbox.popleft()
            receive(*args, now=now)
            while (output := poll()) is not None:
                carry(output)
        self._is_busy = False
        self._arm()

    def _arm(self) -> None:
        due_at = self._machine.get_timer()
        if due_at is not None and (self._due_at is None or due_at < self._due_at):
            self._due_at = due_at
            self._clock.at(due_at, self._on_timer, due_at)

    def _on_timer(self, armed_at: float) -> None:
        if armed_at != self._due_at:
            return
        self._due_at = None
        due_at = self._machine.get_timer()
        if due_at is not None and due_at <= self._clock.now:
            self.feed(self._machine.handle_timer)
            again_at = self._machine.get_timer()
            assert again_at is None or again_at > due_at, f"{self._machine} wants its timer of {due_at} again"
        else:
            self._arm()
