"""The facts of one call for whoever follows it, in order: bounded, and honest about what it had to drop."""

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

from sipagent.call.events import Fact

MAX_WAITING = 1_000
"""A call has a handful of facts a second: whoever is so far behind has not looked for minutes."""

CORRELATED_BY = ("item_id", "function_call_id", "session_id")
"""Fields by which facts that belong together know each other."""


@dataclass(frozen=True, slots=True)
class EventsDropped:
    """Whoever follows the call was too slow; this many of its oldest facts are lost."""

    count: int


@dataclass(frozen=True, slots=True)
class CallEvent:
    """One thing that happened in a call."""

    call_id: str
    at: float
    """On the monotonic clock, in seconds."""
    fact: Fact | EventsDropped
    correlation_id: str = ""
    """The model's id of the item, the function call or the session it is about; empty where it is about none."""


Waiting: TypeAlias = deque[CallEvent]


class Feed:
    """What waits to be read. The newest is never dropped, so the end of the call is always told."""

    def __init__(self, call_id: str) -> None:
        self._call_id = call_id
        self._waiting: Waiting = deque()
        self._dropped = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, fact: Fact, *, now: float) -> None:
        """Take a fact."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.popleft()
            self._dropped += 1
        name = next((getattr(fact, name) for name in CORRELATED_BY if hasattr(fact, name)), "")
        self._waiting.append(CallEvent(self._call_id, now, fact, name))

    def take(self) -> CallEvent | None:
        """Take the oldest that is left, behind word of those that are not; ``None`` when nothing waits."""
        if not self._waiting:
            return None
        if self._dropped:
            dropped, self._dropped = EventsDropped(self._dropped), 0
            return CallEvent(self._call_id, self._waiting[0].at, dropped)
        return self._waiting.popleft()
