"""How a stretch of speech ended: did the voice and its level fall, as at the end of a sentence, or was it held?

Told from the last second, once a pause, in under 2 ms. It is a hint and no more: on recordings of five voices in five
languages, of a pause inside a prompt and its end it takes the right one for the end two times of three.
"""

from dataclasses import dataclass
from math import exp
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sipagent.audio.g711 import ALAW_TO_PCM, ULAW_TO_PCM
from sipagent.audio.resample import Resampler
from sipagent.audio.voicing import COMPARED, LONGEST, LOW_SHARE, PERIODIC, SHORTEST, SOFTEST, WINDOW
from sipagent.formats import AudioFormat

RATE: Final = 8_000
LOOK_MS: Final = 1_000
"""How much before the end is looked at: a phrase."""
HOP: Final = 160
"""Samples: 20 ms."""
SILENT: Final = 0.03
"""Of the loudest window: what is softer is the pause."""
FFT: Final = 540
"""At least a window and what it is compared with, so that they do not overlap around its ends; a product of 2, 3, 5."""
ENDING: Final = 5
"""Windows: 100 ms, the last syllable."""
LEAST: Final = 4
"""Windows with a pitch, below which none is compared."""
HELD: Final = 0.06
"""A pitch that moves by less, a semitone, is held, as in "uhm"."""
TABLES: Final = {"PCMU": ULAW_TO_PCM.astype(np.float32), "PCMA": ALAW_TO_PCM.astype(np.float32)}

USUAL_FALL: Final = -0.36
USUAL_LEVEL_DB: Final = -12.0
PER_FALL: Final = -1.37
PER_DB: Final = -0.066
"""The line that parts ends of sentences from pauses in them, by logistic regression over 2,632 of both."""

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Ending:
    """How speech ended."""

    fall: float
    """The last pitch by the usual one, as a logarithm: at the end of a sentence it has fallen by 0.4, in the middle of
    it by 0.3, and one pause in five inside a sentence comes after a rise."""
    level_db: float
    """The level of the last syllable by that of the loud ones."""
    held_ms: int
    """For how long the pitch did not move at the end; a vowel has 100 to 200 ms, an "uhm" more."""

    @property
    def finality(self) -> float:
        """How likely it is the end of a sentence, from 0 to 1, were ends and other pauses equally many."""
        score = PER_FALL * (self.fall - USUAL_FALL) + PER_DB * (self.level_db - USUAL_LEVEL_DB)
        return 1 / (1 + exp(-max(-30.0, min(30.0, score))))


def ending_of(audio: bytes, audio_format: AudioFormat) -> Ending | None:
    """Return how the last stretch of speech in some audio ended, whatever silence is behind; ``None`` without any."""
    sound = _decode(audio, audio_format)
    if len(sound) < WINDOW:
        return None
    windows = sliding_window_view(sound, WINDOW)[::HOP]
    windows = windows - windows.mean(axis=1, keepdims=True)
    levels = np.sqrt(np.mean(windows * windows, axis=1))
    loud = np.flatnonzero(levels > max(SOFTEST, SILENT * float(levels.max())))
    if len(loud) < ENDING:
        return None
    last = int(loud[-1]) + 1
    first = max(int(loud[0]), last - LOOK_MS * RATE // 1000 // HOP)
    windows, levels = windows[first:last], levels[first:last]
    decibels = 20 * np.log10(levels + 1)
    level_db = float(decibels[-ENDING:].mean() - np.percentile(decibels, 80))
    pitches = _pitches(windows, levels)
    voiced = np.flatnonzero(pitches)
    if len(voiced) < LEAST:
        return Ending(USUAL_FALL, level_db, 0)
    logs = np.log(pitches[voiced])
    fall = float(np.median(logs[-2:]) - np.median(logs))
    return Ending(fall, level_db, _held(pitches) * 1000 * HOP // RATE)


def _decode(audio: bytes, audio_format: AudioFormat) -> Samples:
    table = TABLES.get(audio_format.codec)
    if table is not None:
        return table[np.frombuffer(audio, np.uint8)]
    return Resampler(audio_format.rate, RATE).convert(np.frombuffer(audio, "<i2")).astype(np.float32)


def _pitches(windows: Samples, levels: Samples) -> Samples:
    """Return the pitch of each window in Hz, 0 where it has none; the shortest period of those nearly as likely."""
    powers = np.sum(windows * windows, axis=1)
    low = np.sum(windows[:, 1:] * windows[:, :-1], axis=1) >= LOW_SHARE * powers
    newest = windows[:, -COMPARED:]
    products = np.fft.irfft(np.fft.rfft(windows, FFT) * np.fft.rfft(newest, FFT).conj(), FFT)
    products = products[:, : LONGEST - SHORTEST + 1]
    squares = np.concatenate((np.zeros((len(windows), 1), np.float32), np.cumsum(windows * windows, axis=1)), axis=1)
    sums = squares[:, COMPARED : COMPARED + LONGEST - SHORTEST + 1] - squares[:, : LONGEST - SHORTEST + 1]
    likeness = products / np.sqrt(np.maximum(sums * np.sum(newest * newest, axis=1)[:, np.newaxis], 1.0))
    best = likeness.max(axis=1)
    near = likeness >= 0.93 * best[:, np.newaxis]
    periods = LONGEST - (near.shape[1] - 1 - near[:, ::-1].argmax(axis=1))
    found = (best >= PERIODIC) & low & (levels >= SOFTEST)
    pitches: Samples = np.where(found, RATE / periods, 0.0).astype(np.float32)
    return pitches


def _held(pitches: Samples) -> int:
    """Return in how many windows up to the last one with a pitch it did not move."""
    voiced = np.flatnonzero(pitches)
    last = int(voiced[-1])
    held = 0
    while held <= last and pitches[last - held] and abs(np.log(pitches[last - held] / pitches[last])) < HELD:
        held += 1
    return held
