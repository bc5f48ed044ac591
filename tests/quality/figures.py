"""The figures and their bars: what was measured, what it has to be, and whether it is."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, pvariance
from typing import Final

import numpy as np
from figure import Figure
from numpy.typing import NDArray
from quality.echo import Echo
from quality.filters import Filter
from quality.plan import APPENDIX_I, BARS, Network
from quality.scores import BASELINE, Direction, Score
from quality.tone import Steadiness

from sipagent.bench.figures import Measurement

DIRECTIONS: Final[tuple[Direction, ...]] = ("caller to model", "model to caller")

TONE_STEP_DEG: Final = 1.0
"""A single sample too many or too few is 45."""
TONE_LEVEL_DB: Final = 0.1
THDN_DB: Final = -80.0
RIPPLE_DB: Final = 0.1
DELAY_MS: Final = 2.0
ROUND_TRIP_MS: Final = (25.0, 45.0)
"""p50 and p99. Others were measured at 42 and 148 ms at p50."""
DEVIATION_MS: Final = (2.0, 5.0)
"""p99 and p99.9, with 50 calls."""
TURN_MS: Final = 25.0
"""p95, with 50 calls: from the caller's packet to its message, and from the first delta to its packet."""


@dataclass(frozen=True, slots=True)
class Mean:
    """All scores over one network one way."""

    network: Network
    direction: Direction
    pesq: float
    error: float
    """The standard error of that: chance decides what a burst hits."""
    worst: float
    worst_clip: int
    plcmos: float | None
    count: int


def means(scores: Sequence[Score]) -> list[Mean]:
    """Sum up the scores of each network and direction, in the order of the plan."""
    found = []
    for network in dict.fromkeys(score.trial.network for score in scores):
        for direction in (*DIRECTIONS, BASELINE):
            these = [each for each in scores if each.trial.network == network and each.direction == direction]
            if these:
                found.append(_mean(network, direction, these))
    return found


def _mean(network: Network, direction: Direction, scores: Sequence[Score]) -> Mean:
    by_clip = {
        clip: fmean(each.pesq for each in scores if each.trial.clip == clip)
        for clip in sorted({each.trial.clip for each in scores})
    }
    worst = min(by_clip, key=lambda clip: by_clip[clip])
    opinions = [each.plcmos for each in scores if each.plcmos is not None]
    return Mean(
        network,
        direction,
        fmean(each.pesq for each in scores),
        (pvariance([each.pesq for each in scores]) / len(scores)) ** 0.5,
        by_clip[worst],
        worst,
        fmean(opinions) if opinions else None,
        len(scores),
    )


def speech_figures(found: Sequence[Mean]) -> Iterator[Figure]:
    """Yield PESQ and the second opinion of each network, both ways."""
    for mean in found:
        name = mean.network.name
        note = f"± {mean.error:.2f}" + (f"; Appendix I: {APPENDIX_I[name]:.2f}" if name in APPENDIX_I else "")
        bar = BARS.get(name) if mean.direction in DIRECTIONS else None
        yield Figure(f"PESQ-NB, {mean.direction}", name, mean.pesq, "", bar, "at least", note)
        if mean.plcmos is not None:
            yield Figure(f"PLCMOS, {mean.direction}", name, mean.plcmos)


def tone_figures(direction: Direction, tone: Steadiness) -> Iterator[Figure]:
    """Yield those of the milliwatt."""
    part = f"milliwatt, {direction}"
    yield Figure(part, "greatest step of phase", tone.phase_step_deg, "°", TONE_STEP_DEG)
    yield Figure(part, "greatest error of level", tone.level_error_db, "dB", TONE_LEVEL_DB)


def filter_figures(filters: Sequence[Filter]) -> Iterator[Figure]:
    """Yield those of the resampler."""
    for each in filters:
        part = f"resampler, {each.source_rate // 1000} to {each.target_rate // 1000} kHz"
        yield Figure(part, "THD+N at 1 kHz", each.thdn_db, "dB", THDN_DB, note=f"soxr: {each.oracle_thdn_db:.1f}")
        yield Figure(part, "ripple up to 3.4 kHz", each.ripple_db, "dB", RIPPLE_DB)
        yield Figure(part, "delay", each.delay_ms, "ms", DELAY_MS)


def echo_figures(echo: Echo) -> Iterator[Figure]:
    """Yield those of a round trip."""
    part = f"round trip, {echo.calls} call{'s' * (echo.calls > 1)}" + (", unbroken sound" if echo.is_unbroken else "")
    for share, bar in zip((50, 99), ROUND_TRIP_MS, strict=True):
        value = _percentile_ms(echo.round_trips, share)
        yield Figure(part, f"p{share}", value, "ms", None if echo.is_unbroken else bar)
    if not echo.is_unbroken:
        yield Figure(part, "pulses that came back", echo.returned, "", 1.0, "at least", "share of those sent")


def load_figures(load: Measurement) -> Iterator[Figure]:
    """Yield those of the load that ``sipagent bench`` makes, too."""
    part = f"{load.plan.calls} calls"
    p99, p999 = DEVIATION_MS
    yield Figure(part, "sent packets off the 20 ms grid, p99", load.deviation.p99_ms, "ms", p99)
    yield Figure(part, "sent packets off the 20 ms grid, p99.9", load.deviation.p999_ms, "ms", p999)
    up, down = load.packet_to_message, load.delta_to_packet
    turn = up.p95_ms + down.p95_ms if up is not None and down is not None else float("inf")
    note = "caller's packet to the model, and first delta to its packet: the sum of both p95"
    yield Figure(part, "added to a turn, p95", turn, "ms", TURN_MS, note=note)
    late = load.generator_late.p95_ms if load.generator_late is not None else float("inf")
    yield Figure(part, "callers behind their own beat, p95", late, "ms", note="what the machine does to everybody")


def stall_figures(load: Measurement) -> Iterator[Figure]:
    """Yield those of the load while the control side stalls; a stall that reached the calls would make packets late."""
    part = f"{load.plan.calls} calls"
    p99, p999 = DEVIATION_MS
    yield Figure(part, "the same with 200 ms stalls in the control side, p99", load.deviation.p99_ms, "ms", p99)
    yield Figure(part, "the same with 200 ms stalls in the control side, p99.9", load.deviation.p999_ms, "ms", p999)


def _percentile_ms(seconds: NDArray[np.float64], share: float) -> float:
    return float(np.percentile(seconds, share) * 1000) if len(seconds) else float("inf")
