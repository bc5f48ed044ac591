"""Fades: the 5 ms in which sound begins or stops, so that neither clicks. Pure functions on PCM.

A sound cut in mid-wave is a step, and a step has every frequency. What is played after a cut is therefore the first
5 ms of what would have been played, lowered along a cosine to nothing.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.g711 import SAMPLE_RATE, Pcm, to_pcm

FADE_MS: Final = 5
"""Long enough that no edge clicks, short enough that nothing is heard of a word begun."""


def ramp(samples: int) -> NDArray[np.float64]:
    """Return factors that rise from 0 to 1 along a cosine, neither of them included."""
    rising: NDArray[np.float64] = (1 - np.cos(np.pi * (np.arange(samples) + 0.5) / max(samples, 1))) / 2
    return rising


def fade_in(pcm: Pcm, *, rate: int = SAMPLE_RATE, duration_ms: float = FADE_MS) -> Pcm:
    """Return it with its beginning raised from silence; all of it, when it is shorter than the fade."""
    length = min(round(duration_ms * rate / 1_000), len(pcm))
    return np.concatenate((to_pcm(pcm[:length] * ramp(length)), pcm[length:]))


def fade_out(pcm: Pcm, *, rate: int = SAMPLE_RATE, duration_ms: float = FADE_MS) -> Pcm:
    """Return it with its end lowered to silence; all of it, when it is shorter than the fade."""
    return fade_in(pcm[::-1], rate=rate, duration_ms=duration_ms)[::-1]
