"""Is this burst of sound a voice? Told from its periodicity; for calls without Silero's model.

A voice that says something is periodic for a while, at a pitch that glides, not much softer than the burst's loudest
moment, and has most of its power below 1 kHz. Coughs, breath, clicks and bursts of noise are not periodic; a knock is,
but dies away at once. Music is periodic as a voice is: this does not tell the two apart.

It costs some 50 μs for 10 ms of sound, so it is asked only while it matters: from an onset to the verdict.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.g711 import ALAW_TO_PCM, ULAW_TO_PCM
from sipagent.audio.resample import Resampler
from sipagent.formats import AudioFormat

RATE: Final = 8_000
SHORTEST: Final = 20
LONGEST: Final = 114
"""Samples of a period: from 400 Hz, a child's voice, down to 70 Hz, a deep one."""
WINDOW: Final = 320
"""Samples: 40 ms hold nearly three of the longest periods."""
COMPARED: Final = WINDOW - LONGEST
HOP: Final = 80
"""Samples: 10 ms, by which a voice changes little."""

PERIODIC: Final = 0.65
"""Correlation with what was a period earlier: vowels have 0.8 and more, noise shaped by a mouth up to 0.35."""
LOW_SHARE: Final = 0.4
"""Correlation of neighbouring samples: of vowels 0.7 and more, of hiss below 0.3, of clicks about 0."""
FADED: Final = 0.25
"""Of the loudest window so far: a knock has fallen by these 12 dB within 40 ms, a syllable has not."""
GLIDE: Final = 1.2
"""By how much a pitch changes in 10 ms at the most; by 2 it may, for then it is an octave mistaken."""
RUN: Final = 7
"""Windows in a row: 100 ms, of which a voice fills 60 and more. A cough's voiced end is shorter, or comes too late."""
SOFTEST: Final = 180.0
"""RMS of int16, -45 dBFS, the gate of :mod:`sipagent.audio.vad`: what is softer is the line."""

Samples = NDArray[np.float32]
TABLES: Final = {"PCMU": ULAW_TO_PCM.astype(np.float32), "PCMA": ALAW_TO_PCM.astype(np.float32)}


class Voicing:
    """One burst, from its onset on, in pieces of any length."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._table = TABLES.get(audio_format.codec)
        self._resampler = Resampler(audio_format.rate, RATE)
        self._rest: Samples = np.zeros(0, np.float32)
        self._loudest = 0.0
        self._period = 0
        self._run = 0
        self.is_voice = False
        """Whether a voice was heard so far."""
        self.heard_ms = 0
        """How much was judged."""

    def hear(self, audio: bytes) -> bool:
        """Take what comes next; return :attr:`is_voice`."""
        if not self.is_voice:
            sound = np.concatenate((self._rest, self._decode(audio)))
            at = 0
            while at + WINDOW <= len(sound) and not self.is_voice:
                self._weigh(sound[at : at + WINDOW])
                at += HOP
            self._rest = sound[at:]
        return self.is_voice

    def _decode(self, audio: bytes) -> Samples:
        if self._table is not None:
            return self._table[np.frombuffer(audio, np.uint8)]
        return self._resampler.convert(np.frombuffer(audio, "<i2")).astype(np.float32)

    def _weigh(self, window: Samples) -> None:
        self.heard_ms += 1000 * HOP // RATE
        level = float(np.sqrt(np.mean(window * window)))
        self._loudest = max(self._loudest, level)
        period = period_of(window) if level >= max(SOFTEST, FADED * self._loudest) else 0
        if period and self._run and not _glides(self._period, period):
            self._run = 0
        self._run = self._run + 1 if period else 0
        self._period = period
        self.is_voice = self._run >= RUN


def period_of(window: Samples) -> int:
    """Return the period of a window of :data:`WINDOW` samples in samples; 0 when it has none that a voice has."""
    sound = window - window.mean()
    power = float(sound @ sound)
    if power <= 0 or float(sound[1:] @ sound[:-1]) < LOW_SHARE * power:
        return 0
    newest, earlier = sound[-COMPARED:], sound[:-SHORTEST]  # by LONGEST samples first
    sums = np.cumsum(np.square(earlier, dtype=np.float64))
    powers = sums[COMPARED - 1 :].copy()
    powers[1:] -= sums[:-COMPARED]
    likeness = np.correlate(earlier, newest, "valid") / np.sqrt(powers * float(newest @ newest) + 1.0)
    best = int(likeness.argmax())
    return LONGEST - best if likeness[best] >= PERIODIC else 0


def _glides(before: int, after: int) -> bool:
    ratio = after / before
    return any(1 / GLIDE <= ratio * octave <= GLIDE for octave in (0.5, 1.0, 2.0))
