"""A measure of clicks: how much of a sound is where its own spectrum has nothing."""

import numpy as np

from sipagent.audio.g711 import Pcm


def click_dbfs(pcm: Pcm, *, above_hz: float = 1_500.0, rate: int = 8_000, window_ms: float = 4.0) -> float:
    """Return the loudest moment of what is above a frequency, in dBFS: a step in a low tone is heard there alone.

    The sound is to begin and end in silence.
    """
    spectrum = np.fft.rfft(pcm, 2 * len(pcm))
    spectrum[np.fft.rfftfreq(2 * len(pcm), 1 / rate) < above_hz] = 0
    power = np.fft.irfft(spectrum)[: len(pcm)] ** 2
    window = round(window_ms * rate / 1_000)
    loudest = np.convolve(power, np.ones(window) / window, "same").max()
    return float(10 * np.log10(max(loudest, 1e-9) / 32_768**2))
