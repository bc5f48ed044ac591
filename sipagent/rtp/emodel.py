"""How good a call sounds, by the E-model (ITU-T G.107) from loss, its burstiness, and delay.

It is the narrowband scale, on which no codec is better than G.711: G.722, Opus and L16 count as G.711, which is too
modest when nothing is lost. Everything but loss and delay is at the recommendation's defaults.
"""

from dataclasses import dataclass
from math import log10

PERFECT = 93.2
"""R of G.711 without loss or delay, everything else at its default."""

LOSS_ROBUSTNESS = 25.1
"""Bpl of G.711 whose losses are concealed (ITU-T G.113, appendix I)."""

WORST = 95.0
"""What an R can lose to the codec and its losses."""

NOTICED_MS = 100.0
"""Up to here delay costs nothing."""


@dataclass(frozen=True, slots=True)
class Quality:
    """How one direction of a call sounds."""

    loss: float
    """The part of the packets that is missing in the sound, 0 to 1."""
    burst_ratio: float
    """How much longer the runs of lost packets are than random ones; at least 1."""
    jitter_ms: float
    delay_ms: float
    """From mouth to ear, as far as it is known: half a round trip and a packet."""
    r_factor: float
    """0 to 93.2."""
    mos: float
    """1 (bad) to 4.41 (G.711 without a flaw), as G.107 converts R."""


def judge(*, loss: float, burst_ratio: float = 1.0, jitter_ms: float = 0.0, delay_ms: float = 0.0) -> Quality:
    """Rate a direction."""
    r_factor = max(0.0, PERFECT - delay_impairment(delay_ms) - loss_impairment(loss, burst_ratio))
    return Quality(loss, burst_ratio, jitter_ms, delay_ms, r_factor, mos_of(r_factor))


def loss_impairment(loss: float, burst_ratio: float) -> float:
    """Ie,eff of a codec without impairment of its own (G.107, 7.5)."""
    percent = 100 * loss
    return WORST * percent / (percent / burst_ratio + LOSS_ROBUSTNESS)


def delay_impairment(delay_ms: float) -> float:
    """Idd (G.107, 7.4): the strain of a conversation without echo."""
    if delay_ms <= NOTICED_MS:
        return 0.0
    x = log10(delay_ms / NOTICED_MS) / log10(2)
    return float(25 * ((1 + x**6) ** (1 / 6) - 3 * (1 + (x / 3) ** 6) ** (1 / 6) + 2))


def mos_of(r_factor: float) -> float:
    """Convert an R to a mean opinion score (G.107, annex B), 1 at least."""
    return max(1.0, 1 + 0.035 * r_factor + r_factor * (r_factor - 60) * (100 - r_factor) * 7e-6)
