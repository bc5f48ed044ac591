"""UDP sockets read straight from the loop, and the pair of ports that a call's RTP and RTCP take.

Reading with ``recvfrom`` in a reader callback allocates what a packet needs, where asyncio's own datagram transport
takes 256 kB a packet, and opening is synchronous, so a port that is taken costs a retry and no await.
"""

import socket
from collections.abc import Callable
from random import Random
from typing import Final, TypeAlias

from sipagent.aio.watch import LoopWatch, Watching, make_watch
from sipagent.errors import SipagentError

Address: TypeAlias = tuple[str, int]
Received: TypeAlias = Callable[[bytes, Address], None]

MAX_DATAGRAM: Final = 65_535
MAX_RTP_DATAGRAM: Final = 2_049
"""One byte more than an RTP packet may have, so that a longer one is cut and then refused as malformed."""

SIP_BUFFER: Final = 4 * 1024 * 1024
"""A burst of INVITEs waits in the kernel while one is parsed."""

MAX_PORT_TRIES: Final = 1024
"""Pairs that are tried before the range counts as full: all there are in most ranges, in milliseconds at the worst."""


class UdpSocket:
    """A bound socket.

    :raises OSError: when the address can't be bound.
    """

    def __init__(
        self,
        address: Address,
        received: Received,
        *,
        max_size: int = MAX_DATAGRAM,
        buffer: int = 0,
        watch: Watching | None = None,
    ) -> None:
        """
        :param max_size: a longer datagram is cut.
        :param buffer: bytes that the kernel is asked to keep for us; 0 for what is usual.
        :param watch: who sees when there is something to read; the loop, if it is not given.
        """
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._received = received
        self._max_size = max_size
        self.unsent = 0
        """Datagrams that the kernel did not take."""
        try:
            self._socket.setblocking(False)
            if family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # an IPv4 peer is one, not ::ffff:
            if buffer:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            self._socket.bind(address)
        except OSError:
            self._socket.close()
            raise
        name = self._socket.getsockname()
        self.address: Address = (name[0], name[1])
        self._recvfrom, self._sendto = self._socket.recvfrom, self._socket.sendto
        self._watch = watch or LoopWatch()
        self._watch.add(self._socket.fileno(), self._on_readable)

    def send(self, data: bytes, destination: Address) -> None:
        """Send one datagram; what the kernel does not take is lost, as on any network, and counted."""
        try:
            self._sendto(data, destination)
        except (OSError, OverflowError):  # the latter for a port that is none
            self.unsent += 1

    def close(self) -> None:
        """Close the socket, and let go of whoever received: it holds us."""
        self._received = _ignore
        self._watch.remove(self._socket.fileno())
        self._socket.close()

    def _on_readable(self) -> None:
        try:
            data, source = self._recvfrom(self._max_size)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # an ICMP error of an earlier datagram; the socket itself is sound
            self.unsent += 1
            return
        self._received(data, source if len(source) == 2 else source[:2])  # IPv6 tells more than an address


def _ignore(_data: bytes, _source: Address) -> None:
    """Nobody receives any more."""


class RtpPorts:
    """The range of ports from which calls take an even one for RTP and the next for RTCP.

    :param ports: first and last.
    """

    def __init__(self, host: str, ports: tuple[int, int], *, random: Random) -> None:
        first, last = ports
        self._host = host
        self._evens = range(first + first % 2, last, 2)
        self._random = random
        self._watch: Watching | None = None

    def open(self, rtp: Received, rtcp: Received) -> tuple[UdpSocket, UdpSocket]:
        """Open a pair, beginning at random; those that somebody holds, we or others, are passed over.

        :raises SipagentError: when no pair is free.
        """
        if self._watch is None:
            self._watch = make_watch()
        count = len(self._evens)
        first = self._random.randrange(count)
        for number in range(first, first + min(count, MAX_PORT_TRIES)):
            pair = self._try(self._evens[number % count], rtp, rtcp)
            if pair:
                return pair
        raise SipagentError(f"no free RTP port between {self._evens[0]} and {self._evens[-1] + 1}")

    def _try(self, port: int, rtp: Received, rtcp: Received) -> tuple[UdpSocket, UdpSocket] | None:
        try:
            first = UdpSocket((self._host, port), rtp, max_size=MAX_RTP_DATAGRAM, watch=self._watch)
        except OSError:
            return None
        try:
            return first, UdpSocket((self._host, port + 1), rtcp, max_size=MAX_RTP_DATAGRAM, watch=self._watch)
        except OSError:
            first.close()
            return None


def local_address_toward(remote: Address) -> str:
    """The address of ours from which the kernel would send to ``remote``; it is what that host sees of us.

    :raises OSError: when there is no route.
    """
    family = socket.AF_INET6 if ":" in remote[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect(remote)
        return str(probe.getsockname()[0])
