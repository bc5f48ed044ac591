"""UDP sockets read straight from the loop, and the pair of ports that a call's RTP and RTCP take.

Reading with ``recvfrom`` in a reader callback allocates what a packet needs, where asyncio's own datagram transport
takes 256 kB a packet, and opening is synchronous, so a port that is taken costs a retry and no await.

To say where a packet comes from, and to look up where one goes, takes longer than the packet itself. So RTP has a
second socket at the same port once it is known who the peer is, and that one is connected: the kernel gives it what
comes from the peer, and the first one what comes from anybody else.
"""

import os
import socket
from collections.abc import Callable
from random import Random
from typing import Final, TypeAlias

from sipagent.aio.carrier import Carrier
from sipagent.aio.outbox import Outbox
from sipagent.aio.watch import LoopWatch, Readable, Watching, make_watch
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


NOBODY: Final[Address] = ("", 0)

MAX_OVERTAKEN: Final = 64
"""Datagrams of others that may have come between binding and connecting; more of them are an attack."""

_read, _write = os.read, os.write


class UdpSocket(Readable):
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
        self._data = b""
        self._source = NOBODY
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
        self._watch.add(self._socket.fileno(), self)

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

    def read(self) -> bool:
        """Read one datagram, if there is one; say whether."""
        try:
            data, source = self._recvfrom(self._max_size)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:  # an ICMP error of an earlier datagram; the socket itself is sound
            self.unsent += 1
            return False
        self._data, self._source = data, source if len(source) == 2 else source[:2]  # IPv6 tells more than an address
        return True

    def take(self) -> None:
        """Hand on what was read."""
        data, self._data = self._data, b""
        self._received(data, self._source)


def _ignore(_data: bytes, _source: Address) -> None:
    """Nobody receives any more."""


class RtpSocket(UdpSocket):
    """A bound socket, and beside it one that is connected to the peer, once :meth:`follow` says who that is."""

    def __init__(self, address: Address, carrier: Carrier, *, watch: Watching | None = None) -> None:
        self._carrier: Carrier | None = carrier
        self._peer = NOBODY
        self._connected: _Connected | None = None
        super().__init__(address, carrier.receive_packet, max_size=MAX_RTP_DATAGRAM, watch=watch)

    def send(self, data: bytes, destination: Address) -> None:
        """Send one datagram; what the kernel does not take is lost, as on any network, and counted."""
        connected = self._connected
        if connected is not None and destination == self._peer:
            self.unsent += not connected.send(data)
        else:
            super().send(data, destination)

    def follow(self, peer: Address) -> None:
        """Take this for the peer, from whom packets come and to whom they go; where it can't be, all goes on."""
        if peer == self._peer or not self._watch.outlives_errors:
            return
        self._unfollow()
        self._peer = peer
        if self._carrier is None:
            return
        try:
            self._connected = _Connected(self._socket, peer, self._carrier, self._watch)
        except OSError:
            return
        self._connected.hear_out()

    def close(self) -> None:
        """Close both sockets, and let go of whoever received: it holds us."""
        self._carrier = None
        self._unfollow()
        super().close()

    def _unfollow(self) -> None:
        connected, self._connected, self._peer = self._connected, None, NOBODY
        if connected is not None:
            connected.close()


class _Connected(Readable):
    """The socket for one peer, at the port of one that is bound.

    :raises OSError: when there can't be one.
    """

    def __init__(self, bound: socket.socket, peer: Address, carrier: Carrier, watch: Watching) -> None:
        self._peer, self._carrier, self._watch = peer, carrier, watch
        self._data = b""
        self._socket = socket.socket(bound.family, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            if bound.family == socket.AF_INET6:
                self._socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # IPv4's port may be another call's
            _bind_beside(bound, self._socket)
            self._socket.connect(peer)
        except OSError:
            self._socket.close()
            raise
        self._descriptor = self._socket.fileno()
        watch.add(self._descriptor, self)

    def hear_out(self) -> None:
        """Hear what came before the socket was connected, from whomever it came."""
        for _ in range(MAX_OVERTAKEN):
            try:
                data, source = self._socket.recvfrom(MAX_RTP_DATAGRAM)
            except OSError:
                return
            self._carrier.receive_packet(data, source[:2])

    def send(self, data: bytes) -> bool:
        """Send one datagram; say whether the kernel took it."""
        try:
            _write(self._descriptor, data)
        except BlockingIOError:
            return False
        except OSError:  # word that an earlier one found nobody; it comes in the place of sending this one
            return self._send_again(data)
        return True

    def read(self) -> bool:
        """Read one datagram, if there is one; say whether."""
        try:
            self._data = _read(self._descriptor, MAX_RTP_DATAGRAM)
        except OSError:  # there is none after all, or word of an earlier one that found nobody
            return False
        return True

    def take(self) -> None:
        """Hand on what was read."""
        data, self._data = self._data, b""
        self._carrier.receive_packet(data, self._peer)

    def close(self) -> None:
        """Close it."""
        self._watch.remove(self._descriptor)
        self._socket.close()

    def _send_again(self, data: bytes) -> bool:
        try:
            _write(self._descriptor, data)
        except OSError:
            return False
        return True


def _bind_beside(bound: socket.socket, other: socket.socket) -> None:
    """Bind a socket to the port of another. Nobody else may, neither before nor after: they share while it is done."""
    sharing = (socket.SOL_SOCKET, socket.SO_REUSEADDR)
    for each in (bound, other):
        each.setsockopt(*sharing, 1)
    try:
        other.bind(bound.getsockname())
    finally:
        for each in (bound, other):
            each.setsockopt(*sharing, 0)


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
        self.outbox = Outbox()
        """What packets give rise to while they are read."""

    def open(self, rtp: Carrier, rtcp: Received) -> tuple[RtpSocket, UdpSocket]:
        """Open a pair, beginning at random; those that somebody holds, we or others, are passed over.

        :raises SipagentError: when no pair is free.
        """
        if self._watch is None:
            self._watch = make_watch(self.outbox)
        count = len(self._evens)
        first = self._random.randrange(count)
        for number in range(first, first + min(count, MAX_PORT_TRIES)):
            pair = self._try(self._evens[number % count], rtp, rtcp)
            if pair:
                return pair
        raise SipagentError(f"no free RTP port between {self._evens[0]} and {self._evens[-1] + 1}")

    def _try(self, port: int, rtp: Carrier, rtcp: Received) -> tuple[RtpSocket, UdpSocket] | None:
        try:
            first = RtpSocket((self._host, port), rtp, watch=self._watch)
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
