"""A timer that goes off again and again: for what happens hundreds of times a second.

The loop makes a timer for each time, closes it, and turns once more to see it closed. One of the kernel's is made once,
keeps to its clock and not to the loop's milliseconds, and is read like a socket. Where there is none, the loop's does.
"""

import asyncio
import os
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol, TypeAlias

from sipagent.aio import timerfd

Callback: TypeAlias = Callable[[], None]

GRID_S: Final = 0.00125
"""The looks at the sockets and the slots of the beat lie on multiples of it, so that one awakening is for both. To be
woken costs as much as to read a packet."""

COUNT_SIZE: Final = 8
"""Bytes that say how often a timer went off since it was read."""


_read: Final = os.read


class Pulse(Protocol):
    """One timer; it belongs to the running loop."""

    def set(self, at: float, *, every_s: float = 0.0) -> None:
        """Go off at ``at``, by ``time.monotonic``, and then every so often; once, where that is 0."""

    def stop(self) -> None:
        """Go off no more until it is set again."""

    def close(self) -> None:
        """Go off no more at all."""


class LoopPulse:
    """A timer of the loop's."""

    def __init__(self, callback: Callback) -> None:
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._at = self._every_s = 0.0

    def set(self, at: float, *, every_s: float = 0.0) -> None:
        """Go off at ``at``, and then every so often."""
        self.stop()
        self._at, self._every_s = at, every_s
        self._timer = self._loop.call_at(at, self._on_timer)

    def stop(self) -> None:
        """Go off no more until it is set again."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Go off no more at all."""
        self.stop()

    def _on_timer(self) -> None:
        self._timer = None
        if self._every_s:
            missed = int(max(0.0, monotonic() - self._at) / self._every_s)
            self._at += (missed + 1) * self._every_s
            self._timer = self._loop.call_at(self._at, self._on_timer)
        self._callback()


class KernelPulse:
    """A timer of the kernel's; to set it costs as much as one of the loop's, to be woken by it does not.

    :raises OSError: when there is none to be had.
    """

    def __init__(self, callback: Callback) -> None:
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._descriptor = timerfd.create()
        self._loop.add_reader(self._descriptor, self._on_readable)

    def set(self, at: float, *, every_s: float = 0.0) -> None:
        """Go off at ``at``, and then every so often."""
        if self._descriptor >= 0:
            timerfd.set_time(self._descriptor, max(1, round(at * 1e9)), round(every_s * 1e9))

    def stop(self) -> None:
        """Go off no more until it is set again."""
        if self._descriptor >= 0:
            timerfd.set_time(self._descriptor, 0, 0)

    def close(self) -> None:
        """Go off no more at all."""
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1

    def _on_readable(self) -> None:
        try:
            _read(self._descriptor, COUNT_SIZE)
        except BlockingIOError:  # it was set anew in this turn of the loop
            return
        self._callback()


def make_pulse(callback: Callback) -> Pulse:
    """Make a pulse as good as can be had here, for the running loop."""
    try:
        return KernelPulse(callback)
    except OSError:
        return LoopPulse(callback)


def on_grid(at: float, every_s: float) -> float:
    """Return the next moment that is a multiple of ``every_s``."""
    return -(-at // every_s) * every_s
