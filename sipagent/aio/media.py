"""The media of one call on real sockets: its two ports, and its place in the beat."""

from time import monotonic
from typing import Final, TypeVar

from sipagent.aio.carrier import Carrier
from sipagent.aio.driver import Driver
from sipagent.aio.ticker import Ticker
from sipagent.aio.udp import NOBODY, RtpPorts
from sipagent.call.events import Address, SendRtcp
from sipagent.call.talker import Talker

Output = TypeVar("Output")

LOOK_EVERY: Final = 25
"""Beats between two looks at the talker's timer when nothing comes of them: what frames set due is far off. Nor is it
looked more often who the peer is."""


class Media(Carrier):
    """Carries packets between a talker and the network.

    Opened before its talker exists, because the talker's session description names the port.

    :raises SipagentError: when no port is free.
    """

    def __init__(self, ports: RtpPorts, ticker: Ticker) -> None:
        self._ticker = ticker
        self._talker: Talker[object] | None = None
        self._driver: Driver[object] | None = None
        self._beat_ms = 0
        self._beats = 0
        self._read_at = 0.0
        self._source = NOBODY
        """From whom the last packet came."""
        self._rtp, self._rtcp = ports.open(self, self._receive_rtcp)
        self.outbox = ports.outbox
        """Where what a packet gives rise to is to be sent by."""

    @property
    def port(self) -> int:
        """Where RTP is received; RTCP is on the next."""
        return self._rtp.address[1]

    @property
    def unsent(self) -> int:
        """Packets that the kernel did not take."""
        return self._rtp.unsent + self._rtcp.unsent

    @property
    def received_at(self) -> float | None:
        """When the packet was taken in whose stack we are, else ``None``."""
        return self._read_at or None

    def attach(self, talker: Talker[Output], driver: Driver[Output]) -> None:
        """Carry for this talker from now on."""
        self._talker = talker  # type: ignore[assignment]
        self._driver = driver  # type: ignore[assignment]
        self._beat_ms = talker.frame_ms
        self._ticker.add(self._on_beat, every_ms=self._beat_ms)

    def receive_packet(self, data: bytes, source: Address) -> None:
        """Take a packet of the RTP port."""
        talker, driver = self._talker, self._driver
        if talker is not None and driver is not None:
            self._source = source
            self._read_at = now = monotonic()
            driver.feed_packet(talker, data, source, now)
            self._read_at = 0.0

    def send_rtcp(self, packet: SendRtcp) -> None:
        """Send an RTCP packet."""
        (self._rtp if packet.mux else self._rtcp).send(packet.data, packet.destination)

    def send_packet(self, *, now: float) -> bool:
        """Make and send the packet of this tick; now and then, look who the peer is, and have the timer looked at."""
        talker = self._talker
        if talker is None:
            return False
        if talker.frame_ms != self._beat_ms:
            self._change_beat(talker.frame_ms)
        packet = talker.next_packet(now=now)
        if packet is not None and (destination := talker.remote) is not None:
            self._rtp.send(packet, destination)
        self._beats += 1
        if self._beats % LOOK_EVERY:
            return False
        if talker.remote == self._source:
            self._rtp.follow(self._source)
        return True

    def close(self) -> None:
        """Leave the beat and close the ports."""
        self._ticker.remove(self._on_beat)
        self._talker = self._driver = None
        self._rtp.close()
        self._rtcp.close()

    def _receive_rtcp(self, data: bytes, source: Address) -> None:
        if self._talker is not None and self._driver is not None:
            self._driver.feed(self._talker.receive_rtcp, data, source)

    def _change_beat(self, ms: int) -> None:
        """The peer wants longer or shorter packets from now on; this beat's is the first of them."""
        self._beat_ms = ms
        self._ticker.remove(self._on_beat)
        self._ticker.add(self._on_beat, every_ms=ms)

    def _on_beat(self, due_at: float) -> None:
        """Send this tick's packet before anything else is done; then carry what the tick gave rise to."""
        if self._talker is not None and self._driver is not None:
            self._driver.feed_tick(self._talker, self, monotonic())
