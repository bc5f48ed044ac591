"""Fades: the 5 ms in which sound begins or stops, so that neither clicks. Pure functions on PCM or on bytes of G.711.

A sound cut in mid-wave is a step, and a step has every frequency. What is played after a cut is therefore the first
5 ms of what would have been played, lowered along a cosine to nothing.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.g711 import SAMPLE_RATE, SILENCE, Pcm, decode, encode, to_pcm

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


def tail(pcm: Pcm, *, rate: int = SAMPLE_RATE, duration_ms: float = FADE_MS) -> Pcm:
    """Return what is played when sound is cut just before ``pcm``: its first 5 ms fading, then silence, as long."""
    length = min(round(duration_ms * rate / 1_000), len(pcm))
    cut = np.zeros(len(pcm), np.int16)
    cut[:length] = fade_out(pcm[:length], rate=rate, duration_ms=duration_ms)
    return cut


def tail_g711(frame: bytes, codec: str) -> bytes:
    """Return :func:`tail` of a frame in ``PCMU`` or ``PCMA``, as long; what is silent is the law's own silence.

    :raises LocalProtocolError: for another codec
    """
    length = min(FADE_MS * SAMPLE_RATE // 1_000, len(frame))
    faded = encode(fade_out(decode(frame[:length], codec)), codec)
    return faded.ljust(len(frame), bytes((SILENCE[codec],)))


def fade_in_g711(frame: bytes, codec: str) -> bytes:
    """Return a frame in ``PCMU`` or ``PCMA`` with its first 5 ms raised from silence; the rest is byte for byte as was.

    :raises LocalProtocolError: for another codec
    """
    length = min(FADE_MS * SAMPLE_RATE // 1_000, len(frame))
    return encode(fade_in(decode(frame[:length], codec)), codec) + frame[length:]
