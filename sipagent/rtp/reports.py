"""RTCP reports (RFC 3550, section 6): when they go out, what they say, and what the peer's say of us.

A call has two participants, so the bandwidth rules of the RFC's section 6.3 always come to its minimum interval.
"""

from math import inf
from random import Random

from sipagent.rtp.rtcp import (
    ExtendedReport,
    Goodbye,
    ReceiverReport,
    ReportBlock,
    RtcpPacket,
    SenderReport,
    SourceDescription,
    build_compound,
)
from sipagent.rtp.sender import Sender
from sipagent.rtp.source import Source
from sipagent.rtp.xr import VoipMetrics

FIRST_INTERVAL_S = (1.0, 2.5)
"""The first report comes sooner (:rfc:`3550#section-6.2`), so that a short call has one too."""

INTERVAL_S = (2.5, 7.5)
"""5 s, made uneven by half so that reports of many calls don't fall together."""

MAX_ROUND_TRIP_S = 60
"""A longer one is a wrong report."""

NTP_EPOCH_S = 2208988800
"""From 1900, where NTP begins, to 1970."""

_FIXED = 65536
"""Fractions of a second in the short NTP format."""


class Reporter:
    """The RTCP side of one session."""

    def __init__(self, ssrc: int, *, cname: str, random: Random, wall_offset: float) -> None:
        self.due_at = inf
        """When the next :meth:`report` is due; infinity before :meth:`start` and after the end."""
        self.round_trip_ms: float | None = None
        self.peer_view: ReportBlock | None = None
        """How the peer receives us, from its last report."""
        self.peer_metrics: VoipMetrics | None = None
        """The same at length, from its last extended report."""
        self.heard_at: float | None = None
        """When a report of the peer came last."""
        self.has_reported = False
        self._ssrc = ssrc
        self._cname = cname
        self._random = random
        self._wall_offset = wall_offset
        self._counts_reported = (0, 0)
        self._last_sender_report: tuple[int, int, float] | None = None

    def start(self, *, now: float) -> None:
        """Plan the first report, once."""
        if self.due_at == inf:
            self.due_at = now + self._random.uniform(*FIRST_INTERVAL_S)

    def stop(self) -> None:
        """Plan no other report."""
        self.due_at = inf

    def report(self, sender: Sender, origin: Source | None, *, metrics: VoipMetrics | None = None, now: float) -> bytes:
        """Return the report due now, and plan the next.

        :param origin: the source that is heard; ``metrics`` are of it.
        """
        self.due_at = now + self._random.uniform(*INTERVAL_S)
        return build_compound(self._compose(sender, origin, metrics, now))

    def farewell(
        self, sender: Sender, origin: Source | None, *, metrics: VoipMetrics | None = None, now: float
    ) -> bytes:
        """Return a last report with a BYE."""
        return build_compound([*self._compose(sender, origin, metrics, now), Goodbye((self._ssrc,))])

    def receive(self, packets: list[RtcpPacket], *, now: float) -> None:
        """Take a compound of the peer's."""
        self.heard_at = now
        for packet in packets:
            if isinstance(packet, SenderReport):
                self._last_sender_report = (packet.ssrc, packet.ntp_time >> 16 & 0xFFFFFFFF, now)
            if isinstance(packet, SenderReport | ReceiverReport):
                for block in packet.blocks:
                    if block.ssrc == self._ssrc:
                        self._on_block(block, now)
            if isinstance(packet, ExtendedReport):
                for metrics in packet.metrics:
                    if metrics.ssrc == self._ssrc:
                        self.peer_metrics = metrics

    def _compose(
        self, sender: Sender, origin: Source | None, metrics: VoipMetrics | None, now: float
    ) -> list[RtcpPacket]:
        """An SR if we sent since the report before the last, else an RR, and who we are (:rfc:`3550#section-6.4`)."""
        self.has_reported = True
        blocks = (self._block(origin, now),) if origin is not None and origin.has_news else ()
        before, last = self._counts_reported
        self._counts_reported = (last, sender.packets)
        report: RtcpPacket = ReceiverReport(self._ssrc, blocks)
        if sender.packets != before:
            timestamp = sender.timestamp_at(now)
            report = SenderReport(self._ssrc, self._ntp_time(now), timestamp, sender.packets, sender.octets, blocks)
        extended = [ExtendedReport(self._ssrc, (metrics,))] if blocks and metrics is not None else []
        return [report, SourceDescription(self._ssrc, self._cname), *extended]

    def _block(self, origin: Source, now: float) -> ReportBlock:
        last, delay = 0, 0
        if self._last_sender_report is not None and self._last_sender_report[0] == origin.ssrc:
            _, last, arrived_at = self._last_sender_report
            delay = max(0, min(int((now - arrived_at) * _FIXED), 0xFFFFFFFF))
        return ReportBlock(origin.ssrc, *origin.report(), last_sender_report=last, delay=delay)

    def _on_block(self, block: ReportBlock, now: float) -> None:
        """Keep how the peer hears us, and work out the round trip (:rfc:`3550#section-6.4.1`, figure 2)."""
        self.peer_view = block
        if block.last_sender_report == 0:
            return
        elapsed = (self._ntp_time(now) >> 16) - block.last_sender_report - block.delay
        round_trip = (elapsed & 0xFFFFFFFF) / _FIXED
        if round_trip <= MAX_ROUND_TRIP_S:
            self.round_trip_ms = 1000 * round_trip

    def _ntp_time(self, now: float) -> int:
        """64 bits: seconds since 1900 and their fraction; good to half a microsecond, as a float is."""
        return int((now + self._wall_offset + NTP_EPOCH_S) * 2**32) & 0xFFFFFFFFFFFFFFFF
