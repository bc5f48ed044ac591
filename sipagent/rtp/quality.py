"""How both directions of a session sound: ours from what is heard, the peer's from what it reports."""

from sipagent.rtp.emodel import Quality, judge
from sipagent.rtp.losses import GAP_MIN
from sipagent.rtp.patience import MAX_WAIT_S
from sipagent.rtp.receiver import Receiver
from sipagent.rtp.reports import Reporter
from sipagent.rtp.sender import Sender
from sipagent.rtp.xr import VoipMetrics

PACKET_MS = 20.0
"""How long packets are taken to be while none has come."""

R_FACTORS = range(101)
TENTHS_OF_MOS = range(10, 51)
"""What a peer may say of its own judgement; 127 is "not measured", and all else is to be ignored
(:rfc:`3611#section-4.7.5`)."""


class QualityGauge:
    """Reads the figures of one session's parts."""

    def __init__(self, sender: Sender, receiver: Receiver, reporter: Reporter) -> None:
        self._sender = sender
        self._receiver = receiver
        self._reporter = reporter

    def heard(self) -> Quality:
        """How the peer sounds here, since the session began; the jitter is that of the present source."""
        losses, origin = self._receiver.window.summarize(), self._receiver.origin
        return judge(
            loss=losses.fraction,
            burst_ratio=losses.burst_ratio,
            jitter_ms=origin.jitter_ms if origin else 0.0,
            delay_ms=self._delay_ms(),
        )

    def sent(self, *, clock_rate: int) -> Quality | None:
        """How we sound there, by the peer's reports; ``None`` without any. What it rated itself is taken as it is.

        :param clock_rate: of what we send, in Hz.
        """
        block, metrics = self._reporter.peer_view, self._reporter.peer_metrics
        if block is None:
            return None
        expected = self._sender.count_up_to(block.highest_sequence_number)
        loss = max(0, block.cumulative_lost) / expected if expected else 0.0
        delay_ms = self._delay_ms()
        if metrics is not None:
            loss = max(loss, (metrics.loss_rate + metrics.discard_rate) / 256)
            delay_ms += metrics.end_system_ms
        quality = judge(loss=min(loss, 1.0), jitter_ms=1000 * block.jitter / clock_rate, delay_ms=delay_ms)
        return quality if metrics is None else _as_rated(quality, metrics)

    def metrics(self) -> VoipMetrics | None:
        """What an extended report says of the source that is heard."""
        origin = self._receiver.origin
        if origin is None:
            return None
        losses, quality, packet_ms = self._receiver.window.summarize(), self.heard(), self._packet_ms
        expected = max(1, losses.expected)
        wait_ms = round(1000 * self._receiver.window.wait_s)
        without_delay = judge(loss=quality.loss, burst_ratio=quality.burst_ratio)
        return VoipMetrics(
            ssrc=origin.ssrc,
            loss_rate=256 * (losses.lost - losses.discarded) // expected,
            discard_rate=256 * losses.discarded // expected,
            burst_density=int(256 * losses.burst_density),
            gap_density=int(256 * losses.gap_density),
            burst_ms=round(losses.burst_packets * packet_ms),
            gap_ms=round(losses.gap_packets * packet_ms),
            round_trip_ms=round(self._reporter.round_trip_ms or 0),
            end_system_ms=round(packet_ms),
            gap_min=GAP_MIN,
            r_factor=round(quality.r_factor),
            mos_listening=round(10 * without_delay.mos),
            mos_conversation=round(10 * quality.mos),
            buffer_ms=wait_ms,
            buffer_max_ms=wait_ms,
            buffer_limit_ms=round(1000 * MAX_WAIT_S),
        )

    @property
    def _packet_ms(self) -> float:
        return self._receiver.packet_ms or PACKET_MS

    def _delay_ms(self) -> float:
        return (self._reporter.round_trip_ms or 0.0) / 2 + self._packet_ms


def _as_rated(quality: Quality, metrics: VoipMetrics) -> Quality:
    """Put the peer's own judgement, where it is one, in the place of ours."""
    r_factor = float(metrics.r_factor) if metrics.r_factor in R_FACTORS else quality.r_factor
    mos = metrics.mos_conversation / 10 if metrics.mos_conversation in TENTHS_OF_MOS else quality.mos
    return Quality(quality.loss, quality.burst_ratio, quality.jitter_ms, quality.delay_ms, r_factor, mos)
