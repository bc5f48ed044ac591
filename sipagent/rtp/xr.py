"""Extended reports (RFC 3611): the metrics of VoIP, block type 7, built and parsed; other blocks are skipped."""

from dataclasses import dataclass
from struct import Struct

VOIP_METRICS = 7

UNKNOWN = 127
"""A level, an R or a MOS that was not measured."""

_BLOCK_HEADER = Struct("!BBH")
_METRICS = Struct("!IBBBBHHHHBBBBBBBBBBHHH")
_RECEIVER = 0b1011_0000
"""Our sound: losses are concealed with care, the buffer adapts."""


@dataclass(frozen=True, slots=True)
class VoipMetrics:
    """How the reporter hears one source (:rfc:`3611#section-4.7`); fractions are in 256ths, times in ms."""

    ssrc: int
    loss_rate: int
    discard_rate: int
    burst_density: int
    gap_density: int
    burst_ms: int
    gap_ms: int
    round_trip_ms: int
    """0 when it isn't known."""
    end_system_ms: int
    """What the reporter's own buffers add."""
    gap_min: int
    r_factor: int = UNKNOWN
    mos_listening: int = UNKNOWN
    """In tenths, without the delay; so is the next one, with it."""
    mos_conversation: int = UNKNOWN
    buffer_ms: int = 0
    """Of the jitter buffer, as it is now; the next ones are its greatest so far, and the most it can be."""
    buffer_max_ms: int = 0
    buffer_limit_ms: int = 0
    signal_dbm: int = UNKNOWN
    noise_dbm: int = UNKNOWN
    echo_loss_db: int = UNKNOWN
    external_r_factor: int = UNKNOWN
    receiver: int = _RECEIVER
    """The bits of the receiver's configuration (:rfc:`3611#section-4.7.6`)."""


#  0                   1                   2                   3
#  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |     BT=7      |   reserved    |       block length = 8        |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
# |                        SSRC of source                         |
# |   loss rate   | discard rate  | burst density |  gap density  |
# |       burst duration          |         gap duration          |
# |     round trip delay          |       end system delay        |
# | signal level  |  noise level  |     RERL      |     Gmin      |
# |   R factor    | ext. R factor |    MOS-LQ     |    MOS-CQ     |
# |   RX config   |   reserved    |          JB nominal           |
# |          JB maximum           |          JB abs max           |
# +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
def parse_blocks(data: bytes) -> tuple[VoipMetrics, ...] | None:
    """Return the metrics among the blocks of a report, or ``None`` when a length in it is wrong."""
    found, start = [], 0
    while start < len(data):
        if start + _BLOCK_HEADER.size > len(data):
            return None
        block_type, _, words = _BLOCK_HEADER.unpack_from(data, start)
        begin = start + _BLOCK_HEADER.size
        start = begin + 4 * words
        if start > len(data):
            return None
        if block_type == VOIP_METRICS:
            if start - begin != _METRICS.size:
                return None
            found.append(_parse_metrics(data, begin))
    return tuple(found)


def build_blocks(metrics: tuple[VoipMetrics, ...]) -> bytes:
    """Return the blocks of a report; values beyond the range of their fields are put at its end."""
    return b"".join(map(_build_metrics, metrics))


def _parse_metrics(data: bytes, begin: int) -> VoipMetrics:
    ssrc, *rates = _METRICS.unpack_from(data, begin)
    loss, discard, burst, gap, burst_ms, gap_ms, round_trip, end_system, signal, noise, echo, gap_min, *rest = rates
    r_factor, external, listening, conversation, receiver, _, buffer, buffer_max, buffer_limit = rest
    return VoipMetrics(
        ssrc=ssrc,
        loss_rate=loss,
        discard_rate=discard,
        burst_density=burst,
        gap_density=gap,
        burst_ms=burst_ms,
        gap_ms=gap_ms,
        round_trip_ms=round_trip,
        end_system_ms=end_system,
        gap_min=gap_min,
        r_factor=r_factor,
        mos_listening=listening,
        mos_conversation=conversation,
        buffer_ms=buffer,
        buffer_max_ms=buffer_max,
        buffer_limit_ms=buffer_limit,
        signal_dbm=signal,
        noise_dbm=noise,
        echo_loss_db=echo,
        external_r_factor=external,
        receiver=receiver,
    )


def _build_metrics(m: VoipMetrics) -> bytes:
    rates = [min(rate, 0xFF) for rate in (m.loss_rate, m.discard_rate, m.burst_density, m.gap_density)]
    times = [min(ms, 0xFFFF) for ms in (m.burst_ms, m.gap_ms, m.round_trip_ms, m.end_system_ms)]
    levels = m.signal_dbm, m.noise_dbm, m.echo_loss_db, m.gap_min
    scores = m.r_factor, m.external_r_factor, m.mos_listening, m.mos_conversation
    buffers = [min(ms, 0xFFFF) for ms in (m.buffer_ms, m.buffer_max_ms, m.buffer_limit_ms)]
    body = _METRICS.pack(m.ssrc, *rates, *times, *levels, *scores, m.receiver, 0, *buffers)
    return _BLOCK_HEADER.pack(VOIP_METRICS, 0, len(body) // 4) + body
