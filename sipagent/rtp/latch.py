"""Symmetric RTP: which address the caller's media comes from, and so where ours goes (RFC 4961).

1. The address in the SDP rules. A packet from there is heard at once, and ends any latch; only one that is older than
   what was heard since does not, for it was still on its way when a NAT gave the caller another port.
2. A rebind is followed wherever it leads: the very stream that was heard, its SSRC and its next sequence numbers, comes
   from elsewhere, ``REBIND_PACKETS`` in a row, while the old address has been silent for ``REBIND_SILENT_S``. Who can't
   read the caller's packets can't continue them. What came meanwhile is heard with the packet that earned it.
3. Who has no such proof is believed by where he is, when the SDP's address has been silent for long enough:

   ================================  =============  ===================================================================
   where the packets come from       trusted as     why
   ================================  =============  ===================================================================
   the signalling's host, while the  ``NAT``        the SDP's address is behind a NAT, and so is no use
   SDP has another, private one
   another port of the SDP's host,   ``PORT``       a NAT may have changed the port, or the host
   or the signalling's host, when
   the SDP has a global address
   another port of the SDP's host,   ``LAST_RESORT``  there is no NAT; a phone that sends from one port and listens at
   which is private                                 another is odd, but there are some
   elsewhere, when the SDP's         ``LAST_RESORT``  a phone behind a NAT, called through a proxy that leaves the SDP
   address is private and not the                   as it was
   signalling's host
   elsewhere                         never          who can be reached from here sends from where it says
   ================================  =============  ===================================================================

4. While the present source is alive nobody displaces it, but for the SDP's address, and a better trusted host a
   ``LAST_RESORT``.
5. With SRTP a packet that could be opened is the caller's, and the newest tells where he is. Others never get here.

So a stranger gains nothing during a call, whatever he sprays. Before the caller's first packet he gains nothing either,
unless he sits at the NAT the caller is behind, or the caller stays silent for ``LAST_RESORT.first_s``.
"""

from functools import lru_cache
from ipaddress import ip_address
from math import inf
from typing import Final, NamedTuple, TypeAlias

from sipagent.recent import remember
from sipagent.rtp.packet import Packet

Address: TypeAlias = tuple[str, int]
"""A numeric host as the socket reports it, and a port."""

REBIND_PACKETS: Final = 3
"""Packets that continue the stream before a rebind is followed: a single one may be a copy that took another way."""

REBIND_SILENT_S: Final = 0.050
"""A sender of 20 ms packets that skipped two is gone, or has a new port. With longer packets three of them decide."""

MAX_REBIND_STEP: Final = 50
"""Packets that a rebind may have swallowed: a second. After more the stream is as good as another one's."""

MAX_CANDIDATES: Final = 4
"""Addresses counted at a time; a new one puts out the oldest of those trusted no more, so a flood costs no memory."""

HOSTS_MAX: Final = 256
"""Whose usual spelling is remembered: calls come from few hosts."""

MAX_WAITING: Final = 10
"""Packets of a rebind kept until it is followed, the latest ones; more don't come in that time."""


class Trust(NamedTuple):
    """What it takes to be latched."""

    rank: int
    packets: int
    """In sequence."""
    first_s: float
    """How long the SDP's address must have stayed silent, since anybody sent, when nobody has been heard."""
    again_s: float
    """How long whoever was heard must have been silent."""


LAST_RESORT: Final = Trust(0, 5, 3.0, 10.0)
"""Longer than it takes a caller to send his first packet, and longer than most pauses of one who sends no silence."""
PORT: Final = Trust(1, 5, 0.2, 0.5)
"""0.2 s are ten packets that did not come; 0.5 s are longer than a burst of loss."""
NAT: Final = Trust(2, 2, 0.0, 0.5)
"""RFC 3550's MIN_SEQUENTIAL, so that stray datagrams don't latch."""
PROVEN: Final = Trust(3, REBIND_PACKETS, inf, REBIND_SILENT_S)
SIGNALLED: Final = Trust(4, 1, 0.0, 0.0)


class _Candidate:
    """An address that sends, and is not heard yet."""

    __slots__ = ("count", "expected", "ssrc", "trust", "waiting")

    def __init__(self, trust: Trust, packet: Packet) -> None:
        self.trust = trust
        self.ssrc = packet.ssrc
        self.expected = packet.sequence_number
        self.count = 0
        self.waiting: list[Packet] = []

    def receive(self, packet: Packet) -> None:
        """Count a packet, from the beginning when it is out of sequence or of another stream."""
        if (packet.ssrc, packet.sequence_number) != (self.ssrc, self.expected):
            self.count = 0
            self.waiting.clear()
        self.ssrc, self.expected = packet.ssrc, (packet.sequence_number + 1) & 0xFFFF
        self.count += 1
        if self.trust is PROVEN:
            remember(self.waiting, packet, MAX_WAITING)


class Latch:
    """The source that is heard; the receiver asks whether it :meth:`hears` one, and calls :meth:`admit` for another."""

    __slots__ = (
        "_authenticated", "_candidates", "_host", "_is_global", "_port", "_signalled", "_signalling_host", "_sought_at",
        "heard_at", "source",
    )  # fmt: skip

    def __init__(self) -> None:
        self.source: Address | None = None
        """The address that is heard and sent to."""
        self._host, self._port = "", 0
        """The same in pieces, which compare without being put together."""
        self.heard_at = -inf
        """When a packet of ``source`` came last; the receiver writes it."""
        self._signalled: Address | None = None
        self._signalling_host: str | None = None
        self._is_global = False
        self._authenticated = False
        self._sought_at: float | None = None
        self._candidates: dict[Address, _Candidate] = {}

    def aim(self, signalled: Address, *, signalling_host: str | None, authenticated: bool = False) -> None:
        """Start from the address in an SDP. The same as before keeps the latch, another ends it.

        :param signalling_host: ``None`` when it isn't known.
        :param authenticated: whether only packets that SRTP could open get here.
        """
        signalled = (_canonical(signalled[0]), signalled[1])
        self._signalling_host = None if signalling_host is None else _canonical(signalling_host)
        self._is_global = _is_global(signalled[0])
        self._authenticated = authenticated
        if signalled == self._signalled:
            return
        self._signalled = signalled
        self._turn_to(signalled)
        self.heard_at = -inf
        self._sought_at = None
        self._candidates.clear()

    def hears(self, source: Address) -> bool:
        """Whether this is the source. Hot path."""
        return source[1] == self._port and source[0] == self._host

    @property
    def is_latched(self) -> bool:
        """Whether the source is another than the SDP says."""
        return self.source != self._signalled

    def admit(self, source: Address, packet: Packet, *, step: int | None, now: float) -> list[Packet]:
        """Take a valid packet from an address that is not ``source``; return those that are to be heard by it.

        When there are any, the address is ``source`` from now on, but for a packet that is authentic and old.

        :param step: how far its sequence number is beyond the highest heard, ``None`` for another stream.
        """
        if self.source is None:
            return []
        is_old = step is not None and step <= 0
        if self._authenticated:
            if not is_old:
                self._move(source)
            return [packet]
        if source == self._signalled:
            if is_old:
                return []
            self._move(source)
            return [packet]
        return self._weigh(source, packet, step, now)

    def close(self) -> None:
        """Hear nobody any more."""
        self.source = self._signalled = None
        self._host, self._port = "", 0
        self._candidates.clear()

    def _move(self, source: Address) -> None:
        self._turn_to(source)
        self._candidates.clear()

    def _turn_to(self, source: Address) -> None:
        self.source = source
        self._host, self._port = source

    def _weigh(self, source: Address, packet: Packet, step: int | None, now: float) -> list[Packet]:
        """Count a packet, and follow its source if that has earned it."""
        if self._sought_at is None:
            self._sought_at = now
        continues = step is not None and 0 < step <= MAX_REBIND_STEP and self.heard_at > -inf
        trust = PROVEN if continues else self._trust(source)
        if trust is None:
            return []
        candidate = self._candidate(source, trust, packet)
        if candidate is None:
            return []
        candidate.receive(packet)
        if candidate.count < trust.packets or not self._may_follow(trust, now):
            return []
        self._move(source)
        return list(candidate.waiting) or [packet]

    def _may_follow(self, trust: Trust, now: float) -> bool:
        """Whether the present source has been silent for long enough, or is trusted less."""
        if self._sought_at is None or self.heard_at == -inf:
            return self._sought_at is not None and now >= self._sought_at + trust.first_s
        if now >= self.heard_at + trust.again_s:
            return True
        present = None if self.source is None else self._trust(self.source)
        return present is LAST_RESORT and trust.rank > present.rank

    def _trust(self, source: Address) -> Trust | None:
        """How much an address is trusted for where it is; ``None``: never."""
        if self._signalled is None or source == self._signalled:
            return SIGNALLED
        host, signalled_host, signalling_host = source[0], self._signalled[0], self._signalling_host
        if self._is_global:
            return PORT if host in (signalled_host, signalling_host) else None
        if host == signalled_host:
            return LAST_RESORT
        if host == signalling_host:
            return NAT
        return None if signalling_host == signalled_host else LAST_RESORT

    def _candidate(self, source: Address, trust: Trust, packet: Packet) -> _Candidate | None:
        """Return what is known of an address; ``None`` when those trusted more leave no room for it."""
        candidate = self._candidates.get(source)
        if candidate is not None and candidate.trust is trust:
            return candidate
        if candidate is None and len(self._candidates) >= MAX_CANDIDATES:
            known = self._candidates.items()
            dispensable = next((other for other, known_as in known if known_as.trust.rank <= trust.rank), None)
            if dispensable is None:
                return None
            del self._candidates[dispensable]
        self._candidates[source] = candidate = _Candidate(trust, packet)
        return candidate


@lru_cache(HOSTS_MAX)
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
