"""The receiving half of a session: datagrams in, frames in order out.

The hot path is :meth:`Receiver.receive_usual`, for the next audio packet of the known stream from the known address;
for all else there is :meth:`Receiver.receive_packet`. A new SSRC is a new source, and is played on at once.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from sipagent.rtp.dtmf import DigitReceived, DigitReceiver
from sipagent.rtp.jitter import Released, ReorderWindow
from sipagent.rtp.latch import Address, Latch
from sipagent.rtp.packet import HEADER_LENGTH, MAX_PACKET, PLAIN, Packet, is_rtcp, parse_packet
from sipagent.rtp.parameters import UNCONFIGURED, RtpParameters
from sipagent.rtp.passage import Passage
from sipagent.rtp.source import Source
from sipagent.rtp.timeline import Frame, Timeline

LEFT_SSRC_S: Final = 0.2
"""Packets still on their way from the SSRC just left don't bring it back, unless the new one was silent for so long."""


class Receiver:
    """The peer's stream, through whatever sources it comes."""

    __slots__ = (
        "_audio_types", "_event_types", "_left_ssrc", "_noise_types", "_parameters", "_timeline", "digits",
        "digits_received", "from_strangers", "ignored", "latch", "malformed", "noise_dbov", "octets", "origin",
        "packets", "stale", "window",
    )  # fmt: skip

    def __init__(self, *, in_order: bool = True) -> None:
        """
        :param in_order: whether frames wait for those before them; a jitter buffer wants them as they come.
        """
        self.latch = Latch()
        self.window: ReorderWindow | Passage = ReorderWindow() if in_order else Passage()
        self.digits = DigitReceiver(clock_rate=UNCONFIGURED.clock_rate)
        self.digits_received: list[DigitReceived] = []
        """Presses that are over, for the session to take."""
        self.origin: Source | None = None
        """The source that is played."""
        self.packets = 0
        """From the address that is heard, late ones and duplicates included."""
        self.octets = 0
        self.ignored = 0
        self.stale = 0
        """Packets of the SSRC that was left."""
        self.from_strangers = 0
        self.malformed = 0
        self.noise_dbov: int | None = None
        """The level of the last comfort noise, -127 to 0 (:rfc:`3389#section-3.1`)."""
        self._left_ssrc: int | None = None
        self._timeline = Timeline()
        self.configure(UNCONFIGURED)

    def configure(self, parameters: RtpParameters) -> None:
        """Go on with another agreement; the time it took is neither lost nor silence."""
        self._parameters = parameters
        self._audio_types = parameters.receive_payload_types
        self._event_types = parameters.telephone_event
        self._noise_types = parameters.comfort_noise
        self._timeline.reset()
        if parameters.remote is not None:
            self.latch.aim(
                parameters.remote,
                signalling_host=parameters.signalling_host,
                authenticated=parameters.is_authenticated,
            )

    @property
    def packet_ms(self) -> float:
        """How much audio was in the last packet; 0 before the first."""
        return self._timeline.frame_ms

    @property
    def due_at(self) -> float:
        """When :meth:`release_due` is to be called; infinity while nothing waits."""
        return min(self.window.due_at, self.digits.due_at)

    def receive_usual(self, data: bytes, source: Address, payload_type: int, *, now: float) -> bytes:
        """Take a packet if it is as nearly all are, and return its audio. Hot path.

        Such a packet is plain, of the known stream and from the known address, and the next in order while none waits;
        its audio is of the given payload type and begins where the last ended. Of any other nothing is returned, and
        nothing done: it is for :meth:`receive_packet`.
        """
        origin, timeline, size = self.origin, self._timeline, len(data)
        if origin is None or not HEADER_LENGTH < size <= MAX_PACKET or not self.latch.hears(source):
            return b""
        if data[0] != PLAIN or data[1] != payload_type or payload_type != timeline.payload_type:  # or it has the marker
            return b""
        number = origin.highest + 1
        timestamp = data[4] << 24 | data[5] << 16 | data[6] << 8 | data[7]
        if data[2] << 8 | data[3] != number & 0xFFFF or timestamp != timeline.expected:
            return b""
        if data[8] << 24 | data[9] << 16 | data[10] << 8 | data[11] != origin.ssrc:
            return b""
        if not self.window.pass_through(number):
            return b""
        payload = data[HEADER_LENGTH:]
        self.latch.heard_at = now
        self.packets += 1
        self.octets += size - HEADER_LENGTH
        origin.receive_next(timestamp, now=now)
        timeline.go_on(timestamp, payload)
        return payload

    def receive_packet(self, data: bytes, source: Address, *, now: float) -> Sequence[Frame] | None:
        """Take a datagram and return the frames that are now due to be heard, or ``None`` when it is RTCP."""
        if is_rtcp(data):
            return None
        packet = parse_packet(data)
        is_known = self.latch.hears(source)
        if packet is None:
            self.malformed += is_known
            self.from_strangers += not is_known
            return ()
        if is_known:
            return self._hear(packet, now)
        heard = self._admit(packet, source, now)
        self.from_strangers += 1 - len(heard)
        if not heard:
            return ()
        return [frame for admitted in heard for frame in self._hear(admitted, now)]

    def release_due(self, *, now: float) -> list[Frame]:
        """Return the frames behind gaps that were waited for long enough; let go the key whose end was lost."""
        frames = self._play(self.window.release_due(now=now), now)
        if now >= self.digits.due_at:
            self.digits_received += self.digits.release()
        return frames

    def close(self) -> None:
        """Hear nobody any more, and forget what waits."""
        self.latch.close()
        self.window.reset(0)
        self.digits.reset()

    def _admit(self, packet: Packet, source: Address, now: float) -> list[Packet]:
        """Return the packets from another address than the stream's that are to be heard, now that this one came."""
        if not self._is_known(packet):
            return []
        step, origin = None, self.origin
        if origin is not None and packet.ssrc == origin.ssrc:
            step = (packet.sequence_number - origin.highest + 0x8000 & 0xFFFF) - 0x8000
            elapsed_s = now - self.latch.heard_at
            if step > 0 and not self._timeline.can_reach(packet.timestamp, elapsed_s=elapsed_s):
                step = None
        return self.latch.admit(source, packet, step=step, now=now)

    def _hear(self, packet: Packet, now: float) -> list[Frame]:
        """Take a packet of whoever is heard, whatever it holds."""
        origin = self.origin
        frames: list[Frame] = []
        if origin is None or packet.ssrc != origin.ssrc:
            if packet.ssrc == self._left_ssrc and now < self.latch.heard_at + LEFT_SSRC_S:
                self.stale += 1
                return []
            frames = self._leave_origin(now)
            self.origin = origin = self._new_origin(packet)
        self.latch.heard_at = now
        self.packets += 1
        self.octets += len(packet.payload)
        if packet.payload_type in self._audio_types:
            origin.use_clock(self._audio_types[packet.payload_type].clock_rate)
            origin.measure_jitter(packet.timestamp, now=now)
        frames += self._sort(packet, origin.receive(packet.sequence_number), now)
        return frames

    def _sort(self, packet: Packet, number: int | None, now: float) -> list[Frame]:
        if number is None:
            self.ignored += 1
            return []
        if self.window.pass_through(number):
            return self._play((Released(packet, 0),), now)
        return self._play(self.window.insert(number, packet, now=now), now)

    def _leave_origin(self, now: float) -> list[Frame]:
        """Play what is left of the present source."""
        frames = self._play(self.window.release_all(), now)
        self.digits_received += self.digits.release()
        self.digits.reset()
        self._timeline.reset()
        self._left_ssrc = self.origin.ssrc if self.origin is not None else None
        return frames

    def _new_origin(self, packet: Packet) -> Source:
        self.window.reset(packet.sequence_number)
        return Source(packet.ssrc, packet.sequence_number, clock_rate=self._parameters.clock_rate)

    def _is_known(self, packet: Packet) -> bool:
        payload_type = packet.payload_type
        kinds = self._audio_types, self._event_types, self._noise_types
        return any(payload_type in kind for kind in kinds)

    def _play(self, released: Iterable[Released], now: float) -> list[Frame]:
        """Make frames and digits of packets in order, and empty frames of the time between them."""
        frames: list[Frame] = []
        for packet, missing in released:
            payload_type, payload = packet.payload_type, packet.payload
            if payload_type in self._audio_types and payload:
                frames += self._timeline.play(packet, self._audio_types[payload_type], missing, now=now)
            elif payload_type in self._event_types:
                self.digits.clock_rate = self._event_types[payload_type]
                self.digits_received += self.digits.receive(payload, packet.timestamp, now=now)
            elif payload_type in self._noise_types:
                self.noise_dbov = -(payload[0] & 0x7F) if payload else self.noise_dbov
                frames += self._timeline.rest(packet.timestamp, missing, now=now)
            else:
                self.ignored += 1
        return frames
