"""Virtual time, and the driver of a machine in it: what ``aio/driver.py`` is in the real one."""

from collections import deque
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Generic, TypeVar

from sipagent.aio.media import LOOK_EVERY
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
        self._beats = 0

    def feed(self, receive: Callable[..., object], *args: object) -> None:
        """Give the machine an input, now or as soon as the present one is done."""
        if self._is_busy:
            self._inbox.append((receive, args))
            return
        self._is_busy = True
        self._step(receive, args)
        self._settle()
        self._is_busy = False

    def feed_data(self, receive: Callable[..., object], *args: object) -> None:
        """The same for a packet or a message: the timer is looked at only if the machine says so."""
        if self._is_busy:
            self.feed(receive, *args)
            return
        self._feed_frame(receive, args, outputs_count=False)

    def feed_beat(self, beat: Callable[..., object]) -> None:
        """The same for a tick: the timer is looked at when something came of it, and now and then."""
        self._beats += 1
        self._feed_frame(beat, (), outputs_count=True, looks=self._beats % LOOK_EVERY == 0)

    def _feed_frame(
        self, receive: Callable[..., object], args: tuple[object, ...], *, outputs_count: bool, looks: bool = False
    ) -> None:
        assert not self._is_busy
        self._is_busy = True
        said, has_outputs = self._step(receive, args)
        if said or looks or self._inbox or (has_outputs and outputs_count):
            self._settle()
        self._is_busy = False

    def _step(self, receive: Callable[..., object], args: tuple[object, ...]) -> tuple[object, bool]:
        """Give it the input and carry what comes of it; return what it said, and whether there was anything."""
        poll, carry, has_outputs = self._machine.poll, self._carry, False
        said = receive(*args, now=self._clock.now)
        while (output := poll()) is not None:
            has_outputs = True
            carry(output)
        return said, has_outputs

    def _settle(self) -> None:
        while self._inbox:
            self._step(*self._inbox.popleft())
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
