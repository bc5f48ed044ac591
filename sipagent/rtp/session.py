"""One call's RTP: packets in become frames in order, frames out become packets, and RTCP runs beside them.

The halves, ``receiver`` and ``sender``, know nothing of each other; they meet here, in the reports. ``receive_usual``
and ``next_packet`` are the hot path, 50 times a second and direction in every call.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from random import Random
from typing import Final, TypeAlias

from sipagent.errors import LocalProtocolError
from sipagent.rtp.dtmf import DigitReceived
from sipagent.rtp.emodel import Quality
from sipagent.rtp.latch import Address
from sipagent.rtp.packet import is_rtcp
from sipagent.rtp.parameters import G711, UNCONFIGURED, PayloadFormat, RtpParameters
from sipagent.rtp.quality import QualityGauge
from sipagent.rtp.receiver import Receiver
from sipagent.rtp.reports import Reporter
from sipagent.rtp.rtcp import ReceiverReport, RtcpPacket, SenderReport, parse_compound
from sipagent.rtp.sender import Sender
from sipagent.rtp.srtp import Protector, SrtpParameters
from sipagent.rtp.timeline import Frame
from sipagent.rtp.webrtc import Way, WebRtcParameters

__all__ = [
    "G711", "Address", "DigitReceived", "Frame", "PayloadFormat", "Quality", "RtpParameters", "RtpSession", "RtpStats",
    "SendRtcp", "SrtpParameters", "WebRtcParameters",
]  # fmt: skip

DIGIT_MS: Final = 160
"""How long a key is pressed unless the caller says; networks ask for 40 to 100 ms at least."""


MAX_PORT: Final = 65_535
"""RTP at the last port has no port above it for reports."""


@dataclass(frozen=True, slots=True)
class RtpStats:
    """What has been counted since the session began."""

    packets_sent: int
    bytes_sent: int
    """Payload alone, as in RTCP."""
    packets_received: int
    """From the address that is heard, late ones and duplicates included."""
    bytes_received: int
    lost: int
    """Packets given up by the reorder window."""
    late: int
    duplicate: int
    ignored: int
    """Unknown payload types, events that are no digits, empty packets, unconfirmed jumps."""
    from_strangers: int
    malformed: int
    jitter_ms: float
    """Interarrival jitter of the present source (:rfc:`3550#appendix-A.8`)."""
    round_trip_ms: float | None
    """From the peer's last report; so are the next two."""
    peer_fraction_lost: float | None
    peer_jitter_ms: float | None
    heard: Quality
    """How the peer sounds here."""
    sent: Quality | None
    """How we sound there, as the peer reports it; ``None`` when it never did."""
    unauthenticated: int = 0
    """What SRTP could not open: forged, damaged or replayed."""


@dataclass(frozen=True, slots=True)
class SendRtcp:
    """Send these bytes, from the RTP port if ``mux``, else from the one above it; to a browser also STUN and DTLS."""

    data: bytes
    destination: Address
    mux: bool


Output: TypeAlias = SendRtcp | DigitReceived


class RtpSession:
    """A machine for one stream each way.

    Frames are returned, for speed; :class:`SendRtcp` and :class:`DigitReceived` come by :meth:`poll`. After
    :meth:`handle_timer` there may be frames in :meth:`take_released`: take them before the next packet.
    """

    def __init__(
        self,
        *,
        random: Random,
        cname: str,
        parameters: RtpParameters | None = None,
        wall_offset: float = 0.0,
        in_order: bool = True,
    ) -> None:
        """
        :param random: for SSRC, first sequence number and timestamp, and the unevenness of RTCP.
        :param cname: our name in RTCP, the same in all streams of a call.
        :param wall_offset: seconds to add to ``now`` for Unix time.
        :param in_order: whether frames wait for those before them; a jitter buffer wants them as they come.
        """
        self._sender = Sender(random=random)
        self._receiver = Receiver(in_order=in_order)
        self._reporter = Reporter(self._sender.ssrc, cname=cname, random=random, wall_offset=wall_offset)
        self._gauge = QualityGauge(self._sender, self._receiver, self._reporter)
        self._parameters = UNCONFIGURED
        self._protector: Protector | None = None
        self._way: Way | None = None
        self._unwrap: Callable[[bytes, Address, float], tuple[bytes, Address] | None] | None = None
        self._protect: Callable[[bytes], bytes] | None = None
        self._reports: list[SendRtcp] = []
        self._released: list[Frame] = []
        self._rtcp_source: Address | None = None
        self._is_running = self._is_closed = self._has_remote = False
        if parameters is not None:
            self.configure(parameters)

    def configure(self, parameters: RtpParameters) -> None:
        """Go on with what a new offer and answer agreed on; a remote that differs from the last ends the latch."""
        previous, self._parameters = self._parameters, parameters
        if (previous.remote, previous.remote_rtcp) != (parameters.remote, parameters.remote_rtcp):
            self._rtcp_source = None
        self._has_remote = parameters.remote is not None
        self._secure(parameters)
        if not self._is_closed:
            self._sender.configure(parameters)
            self._receiver.configure(parameters)

    @property
    def remote(self) -> Address | None:
        """Where packets go: the address of the SDP, or the one latched behind a NAT; ``None`` for nowhere."""
        if self._way is not None:
            return self._way.remote
        return self._receiver.latch.source if self._has_remote else None

    @property
    def is_open(self) -> bool:
        """Whether packets have somewhere to go, as far as that takes more than an address."""
        return self._way is None or self._way.remote is not None

    @property
    def failure(self) -> str:
        """Why there will be no keys; empty as long as there may be."""
        return "" if self._way is None else self._way.failure

    # The hot path

    def receive_usual(self, data: bytes, source: Address, payload_type: int, *, now: float) -> bytes:
        """Take a datagram of the RTP port if it is the next packet as it was to come, and return its audio.

        Of any other nothing is returned, and nothing done: it is for :meth:`receive_packet`.

        :param payload_type: of which its audio must be.
        """
        if self._unwrap is not None or not self._is_running:
            return b""
        return self._receiver.receive_usual(data, source, payload_type, now=now)

    def receive_packet(self, data: bytes, source: Address, *, now: float) -> Sequence[Frame]:
        """Take a datagram of the RTP port and return the frames that are now due to be heard, in order."""
        if self._unwrap is not None:
            opened = self._unwrap(data, source, now)
            if opened is None:
                return ()
            data, source = opened
        frames = self._receiver.receive_packet(data, source, now=now)
        if frames is None:
            self._on_rtcp(data, source, now)
            return ()
        if frames and not self._is_running:
            self._run(now)
        return frames

    def next_packet(self, payload: bytes, *, now: float, marker: bool = False) -> bytes:
        """Return the packet for the next frame, whose time on the media clock passes by it.

        While a digit is being sent, its event takes the place of ``payload``.

        :param payload: ``frame_samples`` of audio.
        :param marker: the frame is the first after silence that was not sent (:rfc:`3551#section-4.1`).
        :raises LocalProtocolError: before :meth:`configure` and after :meth:`close`.
        """
        if not self._is_running:
            self._run(now)
        packet = self._sender.next_packet(payload, now=now, marker=marker)
        return packet if self._protect is None else self._protect(packet)

    # Beside it

    def receive_rtcp(self, data: bytes, source: Address, *, now: float) -> None:
        """Take a datagram of the RTCP port."""
        if self._way is not None:
            return
        opened = data if self._protector is None else self._protector.open_rtcp(data)
        if opened is not None and self._on_rtcp(opened, source, now):
            self._rtcp_source = source

    def take_released(self) -> Sequence[Frame]:
        """Return, once, the frames that :meth:`handle_timer` made due."""
        released, self._released = self._released, []
        return released

    def skip(self, samples: int) -> None:
        """Let time pass on the media clock without a packet (on hold)."""
        self._sender.skip(samples)

    def send_digit(self, digit: str, *, duration_ms: int = DIGIT_MS) -> None:
        """Press a key for as many of the next packets as it takes; digits wait for one another.

        :raises LocalProtocolError: no such key, no such duration, too many waiting, or the peer takes no events.
        """
        self._sender.send_digit(digit, duration_ms=duration_ms)

    def close(self, *, now: float) -> None:
        """Say goodbye by RTCP, if anything was ever said; nothing is sent or heard any more."""
        if self._is_closed:
            return
        if self._sender.packets or self._reporter.has_reported:
            self._send_rtcp(
                self._reporter.farewell(self._sender, self._receiver.origin, metrics=self._gauge.metrics(), now=now)
            )
        if self._way is not None:
            self._way.close()
            self._take_waiting(self._way)
        self._is_closed = True
        self._is_running = False
        self._reporter.stop()
        self._receiver.close()

    # The machine

    def poll(self) -> Output | None:
        """Return the next output, or ``None``."""
        if self._receiver.digits_received:
            return self._receiver.digits_received.pop(0)
        return self._reports.pop(0) if self._reports else None

    @property
    def due_at(self) -> float:
        """When :meth:`handle_timer` is due; infinity when it is not."""
        due_at = min(self._receiver.due_at, self._reporter.due_at)
        return due_at if self._way is None else min(due_at, self._way.due_at)

    def get_timer(self) -> float | None:
        """When a gap, a key or a report is due."""
        due_at = self.due_at
        return None if due_at == inf else due_at

    def handle_timer(self, *, now: float) -> None:
        """Give up gaps, let go keys without an end, report."""
        self._released += self._receiver.release_due(now=now)
        if self._way is not None:
            self._way.handle_timer(now=now)
            self._take_waiting(self._way)
        if now >= self._reporter.due_at:
            self._send_rtcp(
                self._reporter.report(self._sender, self._receiver.origin, metrics=self._gauge.metrics(), now=now)
            )

    # What is known

    @property
    def heard_at(self) -> float | None:
        """When a packet of the peer's came last; ``None`` when none came from its present address."""
        heard_at = self._receiver.latch.heard_at
        return None if heard_at == -inf else heard_at

    @property
    def rtcp_heard_at(self) -> float | None:
        """When a report of the peer's came last: a sign of life of one who sends no silence."""
        return self._reporter.heard_at

    @property
    def noise_dbov(self) -> int | None:
        """The level of the peer's last comfort noise, -127 to 0; ``None`` when it never described any."""
        return self._receiver.noise_dbov

    @property
    def heard(self) -> Quality:
        """How the peer sounds here, up to now."""
        return self._gauge.heard()

    @property
    def sent(self) -> Quality | None:
        """How we sound there, up to the peer's last report."""
        return self._gauge.sent(clock_rate=self._parameters.clock_rate)

    @property
    def stats(self) -> RtpStats:
        """What has been counted so far."""
        sender, receiver, window = self._sender, self._receiver, self._receiver.window
        view = self._reporter.peer_view
        protector = self._protector if self._way is None else self._way.protector
        return RtpStats(
            packets_sent=sender.packets,
            bytes_sent=sender.octets,
            packets_received=receiver.packets,
            bytes_received=receiver.octets,
            lost=window.lost,
            late=window.late + receiver.stale,
            duplicate=window.duplicate,
            ignored=receiver.ignored + receiver.digits.ignored,
            from_strangers=receiver.from_strangers + (self._way.from_strangers if self._way else 0),
            malformed=receiver.malformed,
            jitter_ms=receiver.origin.jitter_ms if receiver.origin else 0.0,
            round_trip_ms=self._reporter.round_trip_ms,
            peer_fraction_lost=view.fraction_lost / 256 if view else None,
            peer_jitter_ms=1000 * view.jitter / self._parameters.clock_rate if view else None,
            heard=self.heard,
            sent=self.sent,
            unauthenticated=protector.unauthenticated if protector else 0,
        )

    def _secure(self, parameters: RtpParameters) -> None:
        """Choose, once an agreement, what each packet goes through: usually nothing."""
        if parameters.srtp is None:
            self._protector = None
        elif self._protector is None:
            self._protector = Protector(parameters.srtp)
        else:
            self._protector.configure(parameters.srtp)
        if parameters.webrtc is None:
            self._way = None
        elif self._way is None:
            self._way = Way(parameters.webrtc)
        else:
            self._way.configure(parameters.webrtc)
        if self._way is not None:
            self._unwrap, self._protect = self._open_from_way, self._protect_for_way
        elif self._protector is not None:
            self._unwrap, self._protect = self._open, self._protector.protect
        else:
            self._unwrap = self._protect = None

    def _open(self, data: bytes, source: Address, _now: float) -> tuple[bytes, Address] | None:
        protector = self._protector
        if protector is None:
            return None
        opened = protector.open_rtcp(data) if is_rtcp(data) else protector.open(data)
        return None if opened is None else (opened, source)

    def _open_from_way(self, data: bytes, source: Address, now: float) -> tuple[bytes, Address] | None:
        """Take a browser's datagram; what has come through checks and keys is its own, from wherever it comes."""
        way, remote = self._way, self._parameters.remote
        if way is None or remote is None or self._is_closed:
            return None
        sealed = way.receive(data, source, now=now)
        self._take_waiting(way)
        if sealed is None or way.protector is None:
            return None
        opened = way.protector.open_rtcp(sealed) if is_rtcp(sealed) else way.protector.open(sealed)
        return None if opened is None else (opened, remote)

    def _protect_for_way(self, packet: bytes) -> bytes:
        """Protect a packet; before there are keys it is nothing, and ``remote`` is nowhere."""
        protector = self._way.protector if self._way is not None else None
        return b"" if protector is None else protector.protect(packet)

    def _take_waiting(self, way: Way) -> None:
        while way.waiting:
            self._reports.append(SendRtcp(*way.waiting.popleft(), mux=True))

    def _run(self, now: float) -> None:
        """Begin to report with the first packet either way: only they bring the time in."""
        if self._parameters is UNCONFIGURED or self._is_closed:
            raise LocalProtocolError("nothing can be sent before offer and answer, nor after the end")
        self._is_running = True
        self._reporter.start(now=now)

    def _on_rtcp(self, data: bytes, source: Address, now: float) -> bool:
        """Whether it was the peer's, and sound."""
        is_reporter = source in (self._receiver.latch.source, self._rtcp_remote(), self._signalled_rtcp())
        if self._is_closed or not (is_reporter or self._may_report(source)):
            self._receiver.from_strangers += 1
            return False
        packets = parse_compound(data)
        if packets is None:
            self._receiver.malformed += 1
            return False
        if not (is_reporter or self._is_of_origin(packets)):
            self._receiver.from_strangers += 1
            return False
        self._reporter.receive(packets, now=now)
        return True

    def _may_report(self, source: Address) -> bool:
        """Whether reports may come from another port than was said: behind a NAT, or whoever SRTP vouches for."""
        hosts = (self._receiver.latch.source or ("", 0))[0], (self._signalled_rtcp() or ("", 0))[0]
        return self._parameters.is_authenticated or source[0] in hosts

    def _is_of_origin(self, packets: Sequence[RtcpPacket]) -> bool:
        """Whether a report is of the very stream that is heard; a stranger doesn't know its SSRC."""
        origin = self._receiver.origin
        if self._parameters.is_authenticated:
            return True
        reports = [packet for packet in packets if isinstance(packet, SenderReport | ReceiverReport)]
        return origin is not None and any(report.ssrc == origin.ssrc for report in reports)

    def _rtcp_remote(self) -> Address | None:
        """Where reports go: where the peer's come from, once one has come, else where its SDP says."""
        return self.remote if self._parameters.rtcp_mux else self._rtcp_source or self._signalled_rtcp()

    def _signalled_rtcp(self) -> Address | None:
        """Where the peer's SDP says that its reports come from."""
        parameters = self._parameters
        if parameters.remote_rtcp is not None or parameters.remote is None:
            return parameters.remote_rtcp
        host, port = parameters.remote
        return (host, port + 1) if port < MAX_PORT else None

    def _send_rtcp(self, data: bytes) -> None:
        destination = self._rtcp_remote()
        if destination is not None:
            protector = self._protector if self._way is None else self._way.protector
            if protector is not None:
                data = protector.protect_rtcp(data)
            self._reports.append(SendRtcp(data, destination, self._parameters.rtcp_mux))
