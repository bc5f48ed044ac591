"""The beat of all calls: every 20 ms each is asked for its packet, by absolute deadlines that don't drift.

Calls are spread over slots of 5 ms so that they don't fire together. A beat that comes late is made up for, three beats
at the most; beyond that time is let go, because a burst hurts the caller's jitter buffer more than a gap.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import TypeAlias

BEAT_S = 0.020
SLOTS = 4
MAX_CATCH_UP = 3

EARLY_S = 0.0005
"""uvloop rounds timers to milliseconds; half of one early is in time."""

Beat: TypeAlias = Callable[[float], None]
"""Is called with the time at which the beat is due."""


class Ticker:
    """One timer for everybody; it runs while anybody is there."""

    def __init__(self, *, slots: int = SLOTS) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots: list[dict[Beat, None]] = [{} for _ in range(slots)]
        self._turn = 0
        self._due_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self.skipped_beats = 0
        """Beats let go because the process was stalled."""

    def add(self, beat: Beat) -> None:
        """Call ``beat`` every 20 ms, in the emptiest slot."""
        min(self._slots, key=len)[beat] = None
        if self._timer is None:
            self._due_at = monotonic()
            self._timer = self._loop.call_at(self._due_at, self._on_slot)

    def remove(self, beat: Beat) -> None:
        """Call it no more; the timer sees for itself that nobody is left."""
        for slot in self._slots:
            slot.pop(beat, None)

    def _on_slot(self) -> None:
        step = BEAT_S / len(self._slots)
        now = monotonic() + EARLY_S
        late_beats = int((now - self._due_at) / BEAT_S)
        if late_beats > MAX_CATCH_UP:
            self.skipped_beats += late_beats - MAX_CATCH_UP
            self._due_at += (late_beats - MAX_CATCH_UP) * BEAT_S
        while self._due_at <= now:
            self._beat(self._slots[self._turn])
            self._turn = (self._turn + 1) % len(self._slots)
            self._due_at += step
        if any(self._slots):
            self._timer = self._loop.call_at(self._due_at, self._on_slot)
        else:
            self._timer = None

    def _beat(self, slot: dict[Beat, None]) -> None:
        for beat in list(slot):
            if beat not in slot:
                continue  # it was removed by one before it
            try:
                beat(self._due_at)
            except Exception as error:  # noqa: BLE001 - one that raises would raise again; the others go on
                self.remove(beat)
                self._loop.call_exception_handler({"message": "a beat is called no more", "exception": error})
