"""Comfort noise: the sound of a quiet line, made to be repeated without a seam."""

from random import Random
from typing import Final

import numpy as np

from sipagent.audio.g711 import SAMPLE_RATE, Pcm, to_pcm

DURATION_S: Final = 4
"""Of one turn of it: too long for an ear to find the repetition of noise."""

LOWEST_HZ: Final = 150.0
HIGHEST_HZ: Final = 3_400.0
"""Where a telephone has sound."""

FLAT_HZ: Final = 500.0
"""Above, it falls by 3 dB an octave, as rooms do; white noise sounds like a leak."""


def comfort_noise(level_dbfs: float, *, random: Random, rate: int = SAMPLE_RATE) -> Pcm:
    """Return four seconds whose end runs on into their beginning.

    It is made of sines with a whole number of periods and random phases.

    :param level_dbfs: RMS, relative to 32,768.
    :param rate: Hz.
    """
    samples = DURATION_S * rate
    frequencies = np.fft.rfftfreq(samples, 1 / rate)
    heard = (frequencies >= LOWEST_HZ) & (frequencies <= min(HIGHEST_HZ, 0.45 * rate))
    magnitudes = np.where(heard, np.minimum(1.0, (FLAT_HZ / np.maximum(frequencies, 1.0)) ** 0.5), 0.0)
    phases = np.random.default_rng(random.getrandbits(64)).uniform(0, 2 * np.pi, len(frequencies))
    noise = np.fft.irfft(magnitudes * np.exp(1j * phases), samples)
    return to_pcm(noise * (32_768 * 10 ** (level_dbfs / 20) / np.sqrt(np.mean(noise**2))))
