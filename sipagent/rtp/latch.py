"""Symmetric RTP: which address the caller's media comes from, and so where ours goes (RFC 4961).

The address in the SDP rules. Behind a NAT it stays silent, and then the address that packets do come from is latched:

1. A packet from the address in the SDP is accepted at once, and ends any latch.
2. An address of the same host as the SDP's or the signalling's is trusted more than any other. Other hosts are heard
   only when the SDP's address is not a global one, since who can be reached from anywhere sends from where it says.
3. While the present source is alive nobody displaces it, but for one trusted more.
4. It takes ``FIRST_PACKETS`` valid packets in sequence for the first latch, ``RELATCH_PACKETS`` for another.

So a stranger who sprays packets gains nothing during a call, and at worst the moments before the caller's first packet.
"""

from ipaddress import ip_address
from math import inf
from typing import TypeAlias

from sipagent.rtp.packet import Packet

Address: TypeAlias = tuple[str, int]
"""A numeric host as the socket reports it, and a port."""

ALIVE_S = 0.5
"""A source silent for this long may be displaced: 25 packets, longer than a burst of loss."""

FIRST_PACKETS = 2
"""Packets in sequence before the first latch: RFC 3550's MIN_SEQUENTIAL, so that stray datagrams don't latch."""

RELATCH_PACKETS = 5
"""Packets in sequence before a source that was heard is displaced: 100 ms of somebody who knows how to send audio."""

MAX_CANDIDATES = 4
"""Addresses counted at a time; a new one puts out the oldest, so a flood from many addresses costs no memory."""


class Latch:
    """The source that is heard; the receiver compares with ``source`` and calls :meth:`admit` for another."""

    __slots__ = ("_candidates", "_open", "_signalled", "_trusted", "heard_at", "source")

    def __init__(self) -> None:
        self.source: Address | None = None
        """The address that is heard and sent to."""
        self.heard_at = -inf
        """When a packet of ``source`` came last; the receiver writes it."""
        self._signalled: Address | None = None
        self._trusted: frozenset[str] = frozenset()
        self._open = False
        self._candidates: dict[Address, tuple[int, int, int]] = {}

    def aim(self, signalled: Address, *, signalling_host: str | None) -> None:
        """Start from the address in an SDP. The same as before keeps the latch, another ends it."""
        signalled = (_canonical(signalled[0]), signalled[1])
        self._trusted = frozenset(_canonical(host) for host in (signalled[0], signalling_host) if host is not None)
        self._open = not _is_global(signalled[0])
        if signalled == self._signalled:
            return
        self._signalled = self.source = signalled
        self.heard_at = -inf
        self._candidates.clear()

    @property
    def is_latched(self) -> bool:
        """Whether the source is another than the SDP says."""
        return self.source != self._signalled

    def admit(self, source: Address, packet: Packet, *, now: float) -> bool:
        """Whether a valid packet from an address that is not ``source`` is to be heard; then it is ``source`` now."""
        if self.source is None:
            return False
        if source != self._signalled and not self._earns_latch(source, packet, now):
            return False
        self.source = source
        self._candidates.clear()
        return True

    def close(self) -> None:
        """Hear nobody any more."""
        self.source = self._signalled = None

    def _rank(self, source: Address | None) -> int:
        """How much an address is trusted; below zero it is never heard."""
        if source is None or source == self._signalled:
            return 2
        if source[0] in self._trusted:
            return 1
        return 0 if self._open else -1

    def _earns_latch(self, source: Address, packet: Packet, now: float) -> bool:
        rank = self._rank(source)
        if rank < 0:
            return False
        enough = self._count(source, packet) >= (FIRST_PACKETS if self.heard_at == -inf else RELATCH_PACKETS)
        return enough and (rank > self._rank(self.source) or now >= self.heard_at + ALIVE_S)

    def _count(self, source: Address, packet: Packet) -> int:
        """How many packets of one stream have come from this address in sequence."""
        ssrc, expected, count = self._candidates.get(source, (None, None, 0))
        count = count + 1 if (ssrc, expected) == (packet.ssrc, packet.sequence_number) else 1
        if source not in self._candidates and len(self._candidates) >= MAX_CANDIDATES:
            del self._candidates[next(iter(self._candidates))]
        self._candidates[source] = (packet.ssrc, (packet.sequence_number + 1) & 0xFFFF, count)
        return count


def _canonical(host: str) -> str:
    """An address in the spelling sockets report; IPv6 has many others."""
    try:
        return str(ip_address(host))
    except ValueError:
        return host


def _is_global(host: str) -> bool:
    try:
        return ip_address(host).is_global
    except ValueError:
        return False
