"""Deadlines by key: set one again and it moves, cancel it and it never fires."""

from collections.abc import Hashable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Final, Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

COMPACT_AT: Final = 64
"""Stale entries are swept when the heap is this long and mostly stale, so that cancelling costs no memory."""


def earliest(first: float, second: float, third: float = inf, fourth: float = inf) -> float:
    """Return the least of up to four moments; compiled, ``min`` of more than two makes objects of them all."""
    early, late = min(first, second), min(third, fourth)
    return min(early, late)


class Timers(Generic[Key]):
    """A heap of ``(at, key)``; the earliest first, among equals the one set first."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Key]] = []
        self._live: dict[Key, tuple[float, int]] = {}
        self._serial = 0
        self.due_at = inf
        """When the earliest is due; infinity when none is set. It is read far more often than it changes."""

    def __len__(self) -> int:
        return len(self._live)

    def __contains__(self, key: Key) -> bool:
        return key in self._live

    def set(self, key: Key, at: float) -> None:
        """Fire ``key`` at ``at``, instead of whenever it was to fire before."""
        self._serial += 1
        self._live[key] = (at, self._serial)
        heappush(self._heap, (at, self._serial, key))
        if len(self._heap) > COMPACT_AT and len(self._heap) > 2 * len(self._live):
            self._heap = [entry for entry in self._heap if self._is_live(entry)]
            heapify(self._heap)
        self._look()

    def cancel(self, key: Key) -> None:
        """Forget ``key``; to forget one that is not set is no error."""
        if self._live.pop(key, None) is not None:
            self._look()

    def clear(self) -> None:
        """Forget all."""
        self._live.clear()
        self._heap.clear()
        self.due_at = inf

    def next_at(self) -> float | None:
        """When the earliest is due."""
        return None if self.due_at == inf else self.due_at

    def pop_due(self, now: float) -> Key | None:
        """Take the earliest key that is due at ``now``, or ``None``."""
        if self.due_at > now:
            return None
        key = heappop(self._heap)[2]
        del self._live[key]
        self._look()
        return key

    def _look(self) -> None:
        """Find the earliest that is still live."""
        while self._heap and not self._is_live(self._heap[0]):
            heappop(self._heap)
        self.due_at = self._heap[0][0] if self._heap else inf

    def _is_live(self, entry: tuple[float, int, Key]) -> bool:
        return self._live.get(entry[2]) == entry[:2]
