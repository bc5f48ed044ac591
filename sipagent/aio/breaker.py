"""Keeps calls away from an engine that a person has to mend, and looks now and then whether somebody did.

A wrong key or an empty account refuses every call alike: to knock with each of them would make a storm, and get the
account blocked. So the first refusal opens the breaker for all calls, and a probe closes it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

PROBE_S: Final = 30.0
"""Between two probes: soon enough for whoever has just paid, seldom enough for whoever counts them."""

Probe: TypeAlias = Callable[[], Awaitable[str | None]]
"""Tries the engine; gives why it can't be used, ``None`` when it can."""


class Breaker:
    """One engine's."""

    def __init__(self) -> None:
        self._probing: asyncio.Task[None] | None = None
        self.code = 0
        """What a connection is refused with while it is open: as if the server had done so again."""
        self.reason: str | None = None
        """Why it is open; ``None`` when it is closed."""
        self.changed: Callable[[str | None], None] = _nobody
        """Is told the reason whenever that changes."""

    def trip(self, code: int, reason: str, probe: Probe) -> None:
        """Open it; once it is open, nothing."""
        if self.reason is None:
            self.code, self.reason = code, reason
            self.changed(reason)
            self._probing = asyncio.get_running_loop().create_task(self._watch(probe))

    def stop(self) -> None:
        """Probe no more."""
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None

    async def _watch(self, probe: Probe) -> None:
        while self.reason is not None:
            await asyncio.sleep(PROBE_S)
            reason = await probe()
            if reason is None:
                self.reason = self._probing = None
                self.changed(None)


def _nobody(_reason: str | None) -> None:
    """Nobody wants to know."""
