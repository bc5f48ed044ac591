"""A telephone that sends what it is given over a bad network, and keeps what comes with the time it came.

Packets that arrive are stamped by the kernel and read when the next one is sent, as in ``sipagent.bench``. Nothing is
judged while calls are up: who listens, does so afterwards.
"""

import asyncio
from collections.abc import Callable, Iterator
from random import Random
from time import monotonic, time

from quality.network import Fate
from quality.plan import FRAME_S

from sipagent.aio.udp import Address
from sipagent.bench.caller import ANCILLARY_BYTES, MAX_PACKET, TIMESPEC, open_pair
from sipagent.bench.plan import HOST
from sipagent.rtp.packet import pack_packet
from sipagent.sdp.negotiation import Negotiation

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
        self._ssrc = random.getrandbits(32)
        self._sequence_number = random.getrandbits(16)
        self._timestamp = random.getrandbits(32)
        self._wall_offset = time() - monotonic()
        self._remote: Address | None = None
        self._media, self._reports = open_pair()
        self._negotiation = Negotiation(
            address=HOST, port=self._media.getsockname()[1], codecs=("PCMU",), session_id=1 + random.getrandbits(31)
        )
        self.arrivals: list[tuple[float, bytes]] = []
        """Every packet that came, with its time by the monotonic clock."""
        self._sent = self._wanted = 0
        self._has_talked = asyncio.Event()

    def offer(self) -> bytes:
        """Describe what goes with the INVITE."""
        return self._negotiation.offer()

    def receive_answer(self, answer: bytes) -> None:
        """Take the answer of the 200.

        :raises RemoteProtocolError: when it is none.
        """
        self._remote = self._negotiation.receive_answer(answer).remote

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
        packet = pack_packet(0, self._sequence_number, self._timestamp, self._ssrc, self._next_payload())
        self._sequence_number = (self._sequence_number + 1) & 0xFFFF
        self._timestamp = (self._timestamp + FRAME_SAMPLES) & 0xFFFFFFFF
        for delay in next(self._way):
            if delay:
                self._loop.call_later(delay, self._send, packet)
            else:
                self._send(packet)
        self._sent += 1
        if 0 < self._wanted <= min(self._sent, len(self.arrivals)):
            self._has_talked.set()

    def receive_all(self) -> None:
        """Take what has arrived."""
        while True:
            try:
                packet, ancillary, _, _ = self._media.recvmsg(MAX_PACKET, ANCILLARY_BYTES)
            except OSError:  # no more; or an ICMP error, once the program has closed its side
                return
            seconds, nanoseconds = TIMESPEC.unpack(ancillary[0][2])
            self.arrivals.append((seconds - self._wall_offset + nanoseconds / 1e9, packet))

    def close(self) -> None:
        """Close the sockets; packets still on their way are lost."""
        self._remote = None
        self._media.close()
        self._reports.close()

    def _send(self, packet: bytes) -> None:
        if self._remote is not None:
            self._media.sendto(packet, self._remote)
