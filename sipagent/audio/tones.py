"""Tones as numbers: sines, beeps, keypad digits; int16 samples, at 8 kHz unless a rate in Hz is given.

A level is the RMS level of the whole in dBFS, relative to 32,768: a sine of full scale has -3.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from sipagent.audio.fades import FADE_MS, ramp
from sipagent.audio.g711 import SAMPLE_RATE, Pcm, to_pcm
from sipagent.errors import LocalProtocolError

DTMF_FREQUENCIES: Final = {
    digit: (row, column)
    for row, digits in zip((697, 770, 852, 941), ("123A", "456B", "789C", "*0#D"), strict=True)
    for column, digit in zip((1_209, 1_336, 1_477, 1_633), digits, strict=True)
}
"""Hz, low and high, of each key (ITU-T Q.23)."""


def samples_of(duration_ms: float, rate: int = SAMPLE_RATE) -> int:
    """Return how many samples last so long."""
    return round(duration_ms * rate / 1_000)


def silence(duration_ms: float, *, rate: int = SAMPLE_RATE) -> Pcm:
    """Return nothing, so long."""
    return np.zeros(samples_of(duration_ms, rate), np.int16)


def sine(frequency_hz: float, duration_ms: float, *, level_dbfs: float = -20.0, rate: int = SAMPLE_RATE) -> Pcm:
    """Return a bare sine that begins at zero; it starts and ends without a fade."""
    return chord((frequency_hz,), duration_ms, level_dbfs=level_dbfs, rate=rate)


def chord(
    frequencies_hz: Sequence[float], duration_ms: float, *, level_dbfs: float = -20.0, rate: int = SAMPLE_RATE
) -> Pcm:
    """Return equally loud sines that begin at zero, of that level together; they start and end without a fade."""
    time = np.arange(samples_of(duration_ms, rate)) / rate
    amplitude = 32_768 * 10 ** (level_dbfs / 20) * (2 / len(frequencies_hz)) ** 0.5
    return to_pcm(amplitude * np.sin(2 * np.pi * np.outer(frequencies_hz, time)).sum(axis=0))


def beep(
    frequency_hz: float = 1_000.0, duration_ms: float = 200.0, *, level_dbfs: float = -20.0, rate: int = SAMPLE_RATE
) -> Pcm:
    """Return a sine with soft edges."""
    return fade(sine(frequency_hz, duration_ms, level_dbfs=level_dbfs, rate=rate), rate=rate)


def beeps(*notes: tuple[float, float], level_dbfs: float = -20.0) -> Pcm:
    """Return one beep after the other, each given as (Hz, ms); 0 Hz is a rest."""
    parts = [
        beep(frequency_hz, duration_ms, level_dbfs=level_dbfs) if frequency_hz else silence(duration_ms)
        for frequency_hz, duration_ms in notes
    ]
    return np.concatenate(parts) if parts else silence(0)


def dtmf(digit: str, duration_ms: float = 100.0, *, level_dbfs: float = -13.0, rate: int = SAMPLE_RATE) -> Pcm:
    """Return the two sines of a key, ``0`` to ``9``, ``*``, ``#`` or ``A`` to ``D``, equally loud.

    :raises LocalProtocolError: for another key
    """
    frequencies = DTMF_FREQUENCIES.get(digit.upper())
    if frequencies is None:
        raise LocalProtocolError(f"no key of a telephone: {digit!r}")
    return chord(frequencies, duration_ms, level_dbfs=level_dbfs, rate=rate)


def fade(pcm: Pcm, duration_ms: float = FADE_MS, *, rate: int = SAMPLE_RATE) -> Pcm:
    """Return it with both edges raised and lowered along a cosine."""
    length = min(samples_of(duration_ms, rate), len(pcm) // 2)
    envelope = np.ones(len(pcm))
    envelope[:length] = ramp(length)
    envelope[len(pcm) - length :] = ramp(length)[::-1]
    return to_pcm(pcm * envelope)
