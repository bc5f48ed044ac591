"""Names of hosts, looked up once for all who wait for one, who are told in the order in which they asked."""

import asyncio
import socket
from collections.abc import Callable
from time import monotonic
from typing import TypeAlias

Found: TypeAlias = Callable[[str | None], None]
"""Is given the numeric address, or ``None`` when there is none."""

KNOWN_S = 30.0
"""How long an answer is kept; the ACK and the BYE of a call mostly need no second look-up."""

MAX_KNOWN = 1024
"""Names that are kept; strangers may name what they like in a Contact."""

MAX_LOOK_UPS = 16
"""At a time: they share a few threads, and slow ones are not to hold up the rest. What is beyond it finds nothing."""


class Names:
    """A cache with one look-up a name under way."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, int], tuple[str | None, float]] = {}
        self._waiting: dict[tuple[str, int], list[Found]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def find(self, host: str, *, ipv6: bool, found: Found) -> None:
        """Look a name up; ``found`` may be called at once."""
        key = (host, socket.AF_INET6 if ipv6 else socket.AF_INET)
        address, until = self._known.get(key, (None, 0.0))
        if monotonic() < until:
            found(address)
        elif key in self._waiting:
            self._waiting[key].append(found)
        elif len(self._waiting) >= MAX_LOOK_UPS:
            found(None)
        else:
            self._waiting[key] = [found]
            task = asyncio.get_running_loop().create_task(self._look_up(key))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def close(self) -> None:
        """Look nothing up any more."""
        for task in list(self._tasks):
            task.cancel()

    async def _look_up(self, key: tuple[str, int]) -> None:
        address = await look_up(*key)
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[key] = (address, monotonic() + KNOWN_S)
        for found in self._waiting.pop(key):
            found(address)


async def look_up(host: str, family: int = 0) -> str | None:
    """The first address of a host; ``None`` when it has none, or is no name."""
    try:
        answers = await asyncio.get_running_loop().getaddrinfo(host, None, family=family)
    except (OSError, UnicodeError):  # the latter for what can't be a name
        return None
    return str(answers[0][4][0])
