"""Watches the sockets of all calls, so that the loop has one to watch.

A loop is woken by every packet, and takes as long to find out whose it is as to read it. Here the first packet wakes
it, and those of the millisecond and a quarter that follow are read together: with many calls the loop turns 800 times a
second, however many packets come, and with one call a packet is read at once.

To have the loop wake us costs as much as several looks in vain, so a few of those come first.
"""

import asyncio
import select
from time import monotonic
from typing import Final, Protocol

from sipagent.aio.pulse import GRID_S, Pulse, make_pulse, on_grid

PAUSE_S: Final = GRID_S
"""Between two looks while packets come."""

LOOKS_IN_VAIN: Final = 3
"""One after the other, and nothing comes for the time being."""


class Readable:
    """A socket; a base class and no protocol, so that compiled code calls it directly."""

    def on_readable(self) -> None:
        """Read one datagram, if there is one."""
        raise NotImplementedError


class Watching(Protocol):
    """Tells sockets when there is something to read."""

    @property
    def outlives_errors(self) -> bool:
        """Whether it goes on with a connected socket after word of an ICMP error; uvloop's own does not."""

    def add(self, descriptor: int, readable: Readable) -> None:
        """Tell this one from now on."""

    def remove(self, descriptor: int) -> None:
        """Tell it no more; before the descriptor is closed."""


class LoopWatch:
    """The loop itself."""

    outlives_errors = False

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def add(self, descriptor: int, readable: Readable) -> None:
        """Tell this one from now on."""
        self._loop.add_reader(descriptor, readable.on_readable)

    def remove(self, descriptor: int) -> None:
        """Tell it no more."""
        self._loop.remove_reader(descriptor)


class SharedWatch:
    """An epoll of our own within the loop's."""

    outlives_errors = True

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._readables: dict[int, Readable] = {}
        self._epoll: select.epoll | None = None
        self._pulse: Pulse | None = None
        self._is_pulsing = False
        self._in_vain = 0

    def add(self, descriptor: int, readable: Readable) -> None:
        """Tell this one from now on."""
        if self._epoll is None:
            self._epoll = select.epoll()
            self._pulse = make_pulse(self._look)
            self._arm(self._epoll)
        self._epoll.register(descriptor, select.EPOLLIN)
        self._readables[descriptor] = readable

    def remove(self, descriptor: int) -> None:
        """Tell it no more; with the last one we leave the loop alone."""
        epoll = self._epoll
        if epoll is None or self._readables.pop(descriptor, None) is None:
            return
        epoll.unregister(descriptor)
        if not self._readables:
            self._disarm(epoll)
            if self._pulse is not None:
                self._pulse.close()
            epoll.close()
            self._epoll = self._pulse = None
            self._is_pulsing = False

    def _arm(self, epoll: select.epoll) -> None:
        self._loop.add_reader(epoll.fileno(), self._on_readable)

    def _disarm(self, epoll: select.epoll) -> None:
        self._loop.remove_reader(epoll.fileno())

    def _on_readable(self) -> None:
        """The first packet after a while without any."""
        if self._epoll is not None:
            self._disarm(self._epoll)
            self._look()

    def _look(self) -> None:
        """Read what there is; while there is something, look again soon, else let the loop wake us."""
        epoll, pulse = self._epoll, self._pulse
        if epoll is None or pulse is None:
            return
        readable = epoll.poll(0)
        self._in_vain = 0 if readable else self._in_vain + 1
        if self._in_vain >= LOOKS_IN_VAIN:
            self._is_pulsing = False
            pulse.stop()
            self._arm(epoll)
        elif not self._is_pulsing:
            self._is_pulsing = True
            pulse.set(on_grid(monotonic() + PAUSE_S / 2), every_s=PAUSE_S)
        for descriptor, _ in readable:
            socket = self._readables.get(descriptor)  # one of those before may have closed it
            if socket is not None:
                socket.on_readable()


def make_watch() -> Watching:
    """Make the watch that this system allows, for the running loop."""
    return SharedWatch() if hasattr(select, "epoll") else LoopWatch()
