"""A telephone that sends what it is given over a bad network, and keeps what comes with the time it came.

Packets that arrive are stamped by the kernel and read when the next one is sent, as in ``sipagent.bench``. Nothing is
judged while calls are up: who listens, does so afterwards.
"""

import asyncio
from collections.abc import Callable, Iterator
from random import Random

from quality.network import Fate
from quality.plan import FRAME_S

from sipagent.bench.wire import Wire

FRAME_SAMPLES = 160
"""20 ms of G.711."""
MOST_S = 60.0
"""By so much a busy machine may be slower than time."""
SILENCE = b"\xff" * FRAME_SAMPLES


class Telephone:
    """One call's media.

    :param next_payload: makes the next 20 ms to send.
    :param way: what becomes of each packet that it sends.
    """

    def __init__(self, next_payload: Callable[[], bytes], way: Iterator[Fate], *, random: Random) -> None:
        self._next_payload = next_payload
        self._way = way
        self._loop = asyncio.get_running_loop()
        self.wire = Wire(random=random)
        self.arrivals: list[tuple[float, bytes]] = []
        """Every packet that came, with its time by the monotonic clock."""
        self._sent = self._wanted = 0
        self._has_talked = asyncio.Event()

    async def talk(self, packets: int) -> None:
        """Wait until so many packets were sent, and as many have come, however long that takes.

        :raises TimeoutError: when it takes far longer than it should
        """
        self._wanted = packets
        async with asyncio.timeout(MOST_S + packets * FRAME_S):
            await self._has_talked.wait()

    def on_beat(self, due_at: float) -> None:
        """Take what has arrived, and send the packet of this tick."""
        self.receive_all()
        packet = self.wire.next_packet(self._next_payload())
        for delay in next(self._way):
            if delay:
                self._loop.call_later(delay, self.wire.send, packet)
            else:
                self.wire.send(packet)
        self._sent += 1
        if 0 < self._wanted <= min(self._sent, len(self.arrivals)):
            self._has_talked.set()

    def receive_all(self) -> None:
        """Take what has arrived."""
        self.arrivals += self.wire.arrivals()
