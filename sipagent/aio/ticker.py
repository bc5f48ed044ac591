"""The beat of all calls: each is asked for its packet every 20 ms, or as often as its peer wants packets.

One timer and absolute deadlines serve them all, so nothing drifts. Calls are spread over slots of 5 ms so that they
don't fire together. A beat that comes late is made up for, at twice the pace and three beats at the most; beyond that
time is let go, because a burst hurts the caller's jitter buffer more than a gap.
"""

import asyncio
from collections.abc import Callable
from time import monotonic
from typing import Final, TypeAlias

from sipagent.aio.pulse import Pulse, make_pulse, on_grid

BEAT_S: Final = 0.020
SLOTS: Final = 4
MAX_CATCH_UP: Final = 3

LATE_S: Final = 0.010
"""Later than this, a beat takes half of what the far end's jitter buffer holds, and the network wants some of that."""

EARLY_S: Final = 0.0005
"""Loops round their timers to milliseconds; half of one early is in time."""

Beat: TypeAlias = Callable[[float], None]
"""Is called with the time at which the beat is due."""

Wheel: TypeAlias = list[dict[Beat, None]]
"""Who beats in each slot of a period, in the order of coming."""


class Ticker:
    """One timer for everybody; it runs while anybody is there.

    :param slots: of 20 ms.
    """

    def __init__(self, *, slots: int = SLOTS) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots = slots
        self._step = BEAT_S / slots
        self._wheels: dict[int, Wheel] = {}
        self._turn = 0
        self._due_at = self._ready_at = 0.0
        self._pulse: Pulse | None = None
        self.skipped_beats = 0
        """Beats of 20 ms let go because the process was stalled."""
        self.turns = 0
        """Slots that came, and those of them that came more than ``LATE_S`` late."""
        self.late_turns = 0

    def add(self, beat: Beat, *, every_ms: int = 20) -> None:
        """Call ``beat`` every so many milliseconds, a multiple of a slot, in the emptiest slot."""
        period = max(1, every_ms * self._slots // 20)
        wheel = self._wheels.setdefault(period, [{} for _ in range(period)])
        slots = (wheel[(self._turn + ahead) % period] for ahead in range(period))
        min(slots, key=len)[beat] = None
        if self._pulse is None:
            self._pulse = make_pulse(self._on_slot)
            self._due_at = self._ready_at = on_grid(monotonic(), self._step)
            self._pulse.set(self._due_at, every_s=self._step)

    def remove(self, beat: Beat) -> None:
        """Call it no more; the timer sees for itself that nobody is left."""
        for period, wheel in list(self._wheels.items()):
            for slot in wheel:
                slot.pop(beat, None)
            if not any(wheel):
                del self._wheels[period]

    def _on_slot(self) -> None:
        began_at = monotonic()
        now = began_at + EARLY_S
        if now < self._due_at or now < self._ready_at:
            return
        self.turns += 1
        self.late_turns += began_at > self._due_at + LATE_S
        late_beats = int((now - self._due_at) / BEAT_S)
        if late_beats > MAX_CATCH_UP:
            self.skipped_beats += late_beats - MAX_CATCH_UP
            self._due_at += (late_beats - MAX_CATCH_UP) * BEAT_S
        slots_left = self._slots
        while self._due_at <= now and slots_left:
            self._beat()
            slots_left -= 1
        if self._due_at <= now:
            self._ready_at = began_at + BEAT_S / 2
        if not self._wheels and self._pulse is not None:
            self._pulse.close()
            self._pulse = None

    def _beat(self) -> None:
        for period, wheel in list(self._wheels.items()):
            self._beat_slot(wheel[self._turn % period])
        self._turn += 1
        self._due_at += self._step

    def _beat_slot(self, slot: dict[Beat, None]) -> None:
        for beat in list(slot):
            if beat not in slot:
                continue  # it was removed by one before it
            try:
                beat(self._due_at)
            except Exception as error:  # noqa: BLE001 - one that raises would raise again; the others go on
                self.remove(beat)
                self._loop.call_exception_handler({"message": "a beat is called no more", "exception": error})
