"""The milliwatt: whether a steady tone comes through without a step of its phase, and as loud as it was."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from quality.clips import TONE_HZ, TONE_PEAK

from sipagent.audio.g711 import SAMPLE_RATE, Pcm

BLOCK: Final = SAMPLE_RATE // 50
"""20 ms: a lost or repeated frame moves the phase by 29 degrees, a lost sample by 45."""
PRESENT: Final = 0.5
"""A block with less of the tone's amplitude is before its beginning or behind its end."""
EDGE_BLOCKS: Final = 2
"""The first and the last blocks hold the beginning and the end."""


@dataclass(frozen=True, slots=True)
class Steadiness:
    """Of a tone, from its beginning to its end."""

    seconds: float
    phase_step_deg: float
    """The greatest change of phase from one block to the next, against an even tone."""
    level_error_db: float
    """The greatest, either way, of any block."""


def measure_tone(heard: Pcm) -> Steadiness:
    """Measure a milliwatt; one that was never heard has an infinite error."""
    blocks = heard[: len(heard) // BLOCK * BLOCK].astype(np.float64).reshape(-1, BLOCK)
    time = np.arange(blocks.size).reshape(-1, BLOCK) / SAMPLE_RATE
    window = np.hanning(BLOCK)
    wave = (blocks * window * np.exp(-2j * np.pi * TONE_HZ * time)).sum(axis=1) * 2 / window.sum() / TONE_PEAK
    present = np.flatnonzero(np.abs(wave) > PRESENT)
    if len(present) <= 2 * EDGE_BLOCKS + 1:
        return Steadiness(0.0, np.inf, np.inf)
    steady = wave[present[EDGE_BLOCKS] : present[-EDGE_BLOCKS]]
    steps = np.degrees(np.angle(steady[1:] / steady[:-1]))
    levels = 20 * np.log10(np.maximum(np.abs(steady), 1e-9))
    return Steadiness(len(steady) * BLOCK / SAMPLE_RATE, float(np.abs(steps).max()), float(np.abs(levels).max()))
