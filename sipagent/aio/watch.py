"""Watches the sockets of all calls, so that the loop has one to watch.

A loop is woken by every packet, and takes as long to find out whose it is as to read it; and whoever slept finds the
processor's caches full of other people's things, and pays for that once, however many packets wait. Here the first
packet wakes the loop, and those that follow are read together: with one call a packet is read at once, with many the
loop turns as often as brings it a dozen packets or two, but every 5 ms at the least.

To have the loop wake us costs as much as several looks in vain, so a few of those come first. A look after a longer
pause reads as many datagrams of a socket as several looks would, so that what strangers send to it holds up nobody.
"""

import asyncio
import select
from time import monotonic
from typing import Final, Protocol

from sipagent.aio.outbox import Outbox
from sipagent.aio.pulse import GRID_S, Pulse, make_pulse, on_grid

FEW, MANY = 192, 384
"""Sockets, of which a call has three and one that brings 50 packets a second."""

LOOKS_IN_VAIN: Final = 3
"""One after the other, and nothing comes for the time being."""


class Readable:
    """A socket; a base class and no protocol, so that compiled code calls it directly."""

    def read(self) -> bool:
        """Read one datagram, if there is one; say whether."""
        raise NotImplementedError

    def take(self) -> None:
        """Hand on what was read."""
        raise NotImplementedError

    def on_readable(self) -> None:
        """Do both."""
        if self.read():
            self.take()


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
    """An epoll of our own within the loop's.

    :param outbox: keeps, during a look, what models are to get.
    """

    outlives_errors = True

    def __init__(self, outbox: Outbox | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._outbox = outbox or Outbox()
        self._readables: dict[int, Readable] = {}
        self._epoll: select.epoll | None = None
        self._pulse: Pulse | None = None
        self._pause_s = 0.0
        """Between two looks; 0 while the loop is to wake us."""
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
            self._pause_s = 0.0

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
            self._pause_s = 0.0
            pulse.stop()
            self._arm(epoll)
        elif (pause_s := pause_for(len(self._readables))) != self._pause_s:
            self._pause_s = pause_s
            pulse.set(on_grid(monotonic() + pause_s / 2, pause_s), every_s=pause_s)
        self._outbox.open()
        rounds = round(self._pause_s / GRID_S)
        while readable:
            self._read(readable)
            rounds -= 1
            if rounds <= 0 or epoll.closed:
                break
            readable = epoll.poll(0)
        self._outbox.close()

    def _read(self, readable: list[tuple[int, int]]) -> None:
        """Read a datagram of each socket, then take each: the kernel's part and ours stay apart, in the caches, too."""
        sockets: list[Readable] = []
        for descriptor, _ in readable:
            socket = self._readables[descriptor]
            if socket.read():
                sockets.append(socket)
        for socket in sockets:
            try:
                socket.take()
            except Exception as error:  # noqa: BLE001 - a bug there; the others' datagrams are read already
                self._loop.call_exception_handler({"message": "a datagram was not taken", "exception": error})


def pause_for(sockets: int) -> float:
    """How long to wait between two looks, while packets come, in seconds."""
    return 4 * GRID_S if sockets < FEW else 2 * GRID_S if sockets < MANY else GRID_S


def make_watch(outbox: Outbox | None = None) -> Watching:
    """Make the watch that this system allows, for the running loop; only one that shares its looks has use for it."""
    return SharedWatch(outbox) if hasattr(select, "epoll") else LoopWatch()
