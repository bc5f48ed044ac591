"""How much of something each of many keys may have in a time, in tables that never grow beyond their size.

Where a table is full, the key that was admitted the longest ago is forgotten, and so begins anew: an attacker with many
addresses can make us forget, but not make us remember more.
"""

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)


class Rates(Generic[Key]):
    """A token bucket a key: ``burst`` at once, ``per_s`` from then on.

    Of each bucket only the time is kept at which it will be full again (the generic cell rate algorithm, ITU-T I.371
    annex A): that is all there is to know, and a key that asks for nothing needs no care.
    """

    def __init__(self, per_s: float, burst: int, *, size: int) -> None:
        self._interval = 1 / per_s
        self._slack = (burst - 1) * self._interval
        self._size = size
        self._full_at: OrderedDict[Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._full_at)

    def __contains__(self, key: Key) -> bool:
        return key in self._full_at

    def take(self, key: Key, now: float) -> bool:
        """Take a token; ``False`` when there is none, which costs the key nothing."""
        full_at = self._full_at.get(key)
        if full_at is None or full_at < now:
            full_at = now
        elif full_at > now + self._slack:
            return False
        self._set(key, full_at + self._interval)
        return True

    def add(self, key: Key, now: float) -> None:
        """Know the key from now on, its bucket full unless it is known already."""
        self._set(key, self._full_at.get(key, now))

    def discard(self, key: Key) -> None:
        """Forget the key."""
        self._full_at.pop(key, None)

    def _set(self, key: Key, full_at: float) -> None:
        self._full_at[key] = full_at
        self._full_at.move_to_end(key)
        if len(self._full_at) > self._size:
            self._full_at.popitem(last=False)


class Bans(Generic[Key]):
    """Who failed too often within a while, and is shut out for a longer one.

    :param strikes: that are too many.
    :param window_s: within which they count.
    :param ban_s: how long it lasts.
    """

    def __init__(self, strikes: int, window_s: float, ban_s: float, *, size: int) -> None:
        self._strikes = strikes
        self._window_s = window_s
        self.ban_s = ban_s
        self._size = size
        self._struck: OrderedDict[Key, dict[str, float]] = OrderedDict()
        self._until: OrderedDict[Key, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._struck) + len(self._until)

    def strike(self, key: Key, what: str, now: float) -> bool:
        """Count a failure; return whether it was the one too many, from which the ban begins.

        :param what: was tried: to try the same again is no further failure.
        """
        recent = {tried: at for tried, at in self._struck.pop(key, {}).items() if at > now - self._window_s}
        recent.setdefault(what, now)
        if len(recent) < self._strikes:
            self._struck[key] = recent
            self._bound(self._struck)
            return False
        self._until[key] = now + self.ban_s
        self._until.move_to_end(key)
        self._bound(self._until)
        return True

    def forgive(self, key: Key) -> None:
        """Forget the failures of somebody who got it right in the end."""
        self._struck.pop(key, None)

    def holds(self, key: Key, now: float) -> bool:
        """Whether it is banned."""
        until = self._until.get(key)
        if until is None:
            return False
        if now < until:
            return True
        del self._until[key]
        return False

    def _bound(self, table: OrderedDict[Key, dict[str, float]] | OrderedDict[Key, float]) -> None:
        if len(table) > self._size:
            table.popitem(last=False)
