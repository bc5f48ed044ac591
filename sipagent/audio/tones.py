"""Tones as numbers: sines, beeps, keypad digits; int16 samples at 8 kHz.

A level is the RMS level of the whole in dBFS, relative to 32,768: a sine of full scale has -3.
"""

from typing import Final

import numpy as np

from sipagent.audio.g711 import SAMPLE_RATE, Pcm, to_pcm
from sipagent.errors import LocalProtocolError

DTMF_FREQUENCIES: Final = {
    digit: (row, column)
    for row, digits in zip((697, 770, 852, 941), ("123A", "456B", "789C", "*0#D"), strict=True)
    for column, digit in zip((1_209, 1_336, 1_477, 1_633), digits, strict=True)
}
"""Hz, low and high, of each key (ITU-T Q.23)."""
FADE_MS: Final = 5
"""Long enough that no edge clicks, short enough that a beep still begins at once."""


def samples_of(duration_ms: float) -> int:
    """Return how many samples last so long."""
    return round(duration_ms * SAMPLE_RATE / 1_000)


def silence(duration_ms: float) -> Pcm:
    """Return nothing, so long."""
    return np.zeros(samples_of(duration_ms), np.int16)


def sine(frequency_hz: float, duration_ms: float, *, level_dbfs: float = -20.0) -> Pcm:
    """Return a bare sine that begins at zero; it starts and ends without a fade."""
    return _mix((frequency_hz,), duration_ms, level_dbfs)


def beep(frequency_hz: float = 1_000.0, duration_ms: float = 200.0, *, level_dbfs: float = -20.0) -> Pcm:
    """Return a sine with soft edges."""
    return fade(sine(frequency_hz, duration_ms, level_dbfs=level_dbfs))


def beeps(*notes: tuple[float, float], level_dbfs: float = -20.0) -> Pcm:
    """Return one beep after the other, each given as (Hz, ms); 0 Hz is a rest."""
    parts = [
        beep(frequency_hz, duration_ms, level_dbfs=level_dbfs) if frequency_hz else silence(duration_ms)
        for frequency_hz, duration_ms in notes
    ]
    return np.concatenate(parts) if parts else silence(0)


def dtmf(digit: str, duration_ms: float = 100.0, *, level_dbfs: float = -13.0) -> Pcm:
    """Return the two sines of a key, ``0`` to ``9``, ``*``, ``#`` or ``A`` to ``D``, equally loud.

    :raises LocalProtocolError: for another key
    """
    frequencies = DTMF_FREQUENCIES.get(digit.upper())
    if frequencies is None:
        raise LocalProtocolError(f"no key of a telephone: {digit!r}")
    return _mix(frequencies, duration_ms, level_dbfs)


def fade(pcm: Pcm, duration_ms: float = FADE_MS) -> Pcm:
    """Return it with both edges raised and lowered along a cosine."""
    length = min(samples_of(duration_ms), len(pcm) // 2)
    ramp = (1 - np.cos(np.pi * (np.arange(length) + 0.5) / length)) / 2 if length else np.empty(0)
    envelope = np.ones(len(pcm))
    envelope[:length] = ramp
    envelope[len(pcm) - length :] = ramp[::-1]
    return to_pcm(pcm * envelope)


def _mix(frequencies: tuple[float, ...], duration_ms: float, level_dbfs: float) -> Pcm:
    time = np.arange(samples_of(duration_ms)) / SAMPLE_RATE
    amplitude = 32_768 * 10 ** (level_dbfs / 20) * (2 / len(frequencies)) ** 0.5
    return to_pcm(amplitude * np.sin(2 * np.pi * np.outer(frequencies, time)).sum(axis=0))
