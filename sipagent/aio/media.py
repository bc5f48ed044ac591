"""The media of one call on real sockets: its two ports, and its place in the beat."""

from time import monotonic
from typing import Final, Protocol, TypeVar

from sipagent.aio.driver import Driver
from sipagent.aio.ticker import Ticker
from sipagent.aio.udp import RtpPorts
from sipagent.call.events import Address, SendRtcp
from sipagent.machine import Machine

Output = TypeVar("Output")
Output_co = TypeVar("Output_co", covariant=True)


class Talker(Machine[Output_co], Protocol[Output_co]):
    """A machine that takes and makes packets: a call or a phone."""

    @property
    def remote(self) -> Address | None:
        """Where its packets go."""

    @property
    def frame_ms(self) -> int:
        """How often it makes one."""

    def receive_rtp(self, data: bytes, source: Address, *, now: float) -> bool:
        """Take a packet; say whether it may have brought a deadline near."""

    def receive_rtcp(self, data: bytes, source: Address, *, now: float) -> None:
        """Take an RTCP packet."""

    def next_packet(self, *, now: float) -> bytes | None:
        """Make the packet of this tick."""


LOOK_EVERY: Final = 25
"""Beats between two looks at the talker's timer when nothing comes of them: what frames set due is far off."""


class Media:
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
        self.received_at: float | None = None
        """When the packet was read in whose stack we are, else ``None``."""
        self._rtp, self._rtcp = ports.open(self._receive_rtp, self._receive_rtcp)

    @property
    def port(self) -> int:
        """Where RTP is received; RTCP is on the next."""
        return self._rtp.address[1]

    @property
    def unsent(self) -> int:
        """Packets that the kernel did not take."""
        return self._rtp.unsent + self._rtcp.unsent

    def attach(self, talker: Talker[Output], driver: Driver[Output]) -> None:
        """Carry for this talker from now on."""
        self._talker = talker
        self._driver = driver  # type: ignore[assignment]
        self._beat_ms = talker.frame_ms
        self._ticker.add(self._on_beat, every_ms=self._beat_ms)

    def _receive_rtp(self, data: bytes, source: Address) -> None:
        talker, driver = self._talker, self._driver
        if talker is not None and driver is not None:
            self.received_at = now = monotonic()
            driver.feed_data(talker.receive_rtp, data, source, now)
            self.received_at = None

    def send_rtcp(self, packet: SendRtcp) -> None:
        """Send an RTCP packet."""
        (self._rtp if packet.mux else self._rtcp).send(packet.data, packet.destination)

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
        if self._driver is not None:
            self._driver.feed_beat(self._tick, monotonic())

    def _tick(self, *, now: float) -> bool:
        talker = self._talker
        if talker is None:
            return False
        if talker.frame_ms != self._beat_ms:
            self._change_beat(talker.frame_ms)
        packet = talker.next_packet(now=now)
        if packet is not None and (destination := talker.remote) is not None:
            self._rtp.send(packet, destination)
        self._beats += 1
        return self._beats % LOOK_EVERY == 0
