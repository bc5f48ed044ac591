"""A telephone's end of one call's media: PCMU out, and in every packet with the time at which the kernel took it.

Whoever reads late measures right all the same, and nobody is woken by a packet.
"""

import socket
import struct
from collections.abc import Iterator
from random import Random
from time import monotonic, time

from sipagent.aio.udp import Address
from sipagent.bench.plan import HOST
from sipagent.rtp.packet import pack_packet
from sipagent.sdp.negotiation import Negotiation

SO_TIMESTAMPNS = 35
"""Asks Linux when a datagram arrived; the ``socket`` module has no name for it."""
TIMESPEC = struct.Struct("=qq")
ANCILLARY_BYTES = socket.CMSG_SPACE(TIMESPEC.size)
MAX_PACKET = 2048

PAIR_TRIES = 100


class Wire:
    """Two ports, what was agreed on, and a stream of ours.

    :param host: an address of ours.
    :raises OSError: when there are no two ports side by side.
    """

    def __init__(self, *, random: Random, host: str = HOST) -> None:
        self._ssrc = random.getrandbits(32)
        self._sequence_number = random.getrandbits(16)
        self._timestamp = random.getrandbits(32)
        self._wall_offset = time() - monotonic()
        self._remote: Address | None = None
        self._media, self._reports = _open_pair(host)
        self._negotiation = Negotiation(
            address=host, port=self._media.getsockname()[1], codecs=("PCMU",), session_id=1 + random.getrandbits(31)
        )

    @property
    def is_connected(self) -> bool:
        """Whether it is known where to send."""
        return self._remote is not None

    def offer(self) -> bytes:
        """Describe what goes with the INVITE."""
        return self._negotiation.offer()

    def receive_answer(self, answer: bytes) -> None:
        """Take the answer of the 200.

        :raises RemoteProtocolError: when it is none.
        """
        self._remote = self._negotiation.receive_answer(answer).remote

    def next_packet(self, payload: bytes) -> bytes:
        """Make the next packet of our stream."""
        packet = pack_packet(0, self._sequence_number, self._timestamp, self._ssrc, payload)
        self._sequence_number = (self._sequence_number + 1) & 0xFFFF
        self._timestamp = (self._timestamp + len(payload)) & 0xFFFFFFFF
        return packet

    def send(self, packet: bytes) -> None:
        """Send a packet, if it is known where to."""
        if self._remote is not None:
            self._media.sendto(packet, self._remote)

    def arrivals(self) -> Iterator[tuple[float, bytes]]:
        """Take all that has arrived: when, by the monotonic clock, and what."""
        while True:
            try:
                packet, ancillary, _, _ = self._media.recvmsg(MAX_PACKET, ANCILLARY_BYTES)
            except OSError:  # no more; or an ICMP error, once the program has closed its side
                return
            seconds, nanoseconds = TIMESPEC.unpack(ancillary[0][2])
            yield seconds - self._wall_offset + nanoseconds / 1e9, packet

    def close(self) -> None:
        """Close the sockets."""
        self._remote = None
        self._media.close()
        self._reports.close()


def _open_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Open a port for RTP and the next for RTCP, which nobody reads: it only spares the program ICMP errors."""
    for _ in range(PAIR_TRIES):
        media = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        reports = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        media.bind((host, 0))
        try:
            reports.bind((host, media.getsockname()[1] + 1))
        except OSError:
            media.close()
            reports.close()
            continue
        media.setblocking(False)
        media.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        return media, reports
    raise OSError("no two ports side by side")
