"""The background behind a voice: learnt from the quietest stretches of what was heard, and made again as noise.

Only the sound round a loss is looked at, so without loss it costs nothing. The floor falls at once and rises slowly: a
history full of speech does not make speech of the background.
"""

from random import Random
from typing import Final

import numpy as np

from sipagent.audio.prediction import Prediction, Signal, fit, prolong

BLOCK_MS: Final = 10
"""Speech has pauses of that length between its sounds; noise is as loud in every one."""
ORDER: Final = 10
"""Enough for the colour of a background, too little for a pitch: noise never hums."""
MAX_RMS: Final = 330.0
"""-40 dBFS. A louder floor is more likely a vowel without a pause than a background."""
RISE: Final = 1.12
"""1 dB each time it is looked at."""


class Background:
    """An estimate of the noise floor, and a source of noise like it."""

    __slots__ = ("_block", "_colour", "_gain", "_generator", "_quietest", "_tail", "rms")

    def __init__(self, rate: int, *, random: Random) -> None:
        self.rms: float | None = None
        """In sample units; ``None`` until something was heard."""
        self._block = max(rate * BLOCK_MS // 1_000, 1)
        self._generator = np.random.default_rng(random.getrandbits(64))
        self._quietest = np.zeros(0)
        self._colour: Prediction | None = None
        """Of the quietest block; not known before it is needed."""
        self._gain = 0.0
        self._tail = np.zeros(ORDER)

    def learn(self, sound: Signal) -> None:
        """Look for the quietest block of a sound."""
        count = sound.size // self._block
        if not count:
            return
        blocks = sound[sound.size - count * self._block :].reshape(count, self._block)
        powers = np.square(blocks).mean(axis=1)
        quietest = int(powers.argmin())
        rms = min(float(np.sqrt(powers[quietest])), MAX_RMS)
        if self.rms is not None and rms > self.rms * RISE:
            self.rms = max(self.rms * RISE, 1.0)
            return
        self.rms = rms
        self._quietest = blocks[quietest]
        self._colour = None

    def make(self, samples: int) -> Signal:
        """Return noise as loud as the floor and of its colour; one call goes on where the other ended."""
        if not self.rms or not samples:
            return np.zeros(samples)
        colour = self._colour or self._analyse()
        return self._prolong(colour, samples) * (self._gain * self.rms)

    def _analyse(self) -> Prediction:
        """Find the colour of the quietest block, and how loud noise of that colour comes out."""
        self._colour = fit(self._quietest, order=ORDER, memory=float(self._block))
        trial = self._prolong(self._colour, 4 * self._block)
        self._gain = 1.0 / max(float(np.sqrt(np.square(trial).mean())), 1e-3)
        return self._colour

    def _prolong(self, colour: Prediction, samples: int) -> Signal:
        sound = prolong(self._tail, colour, self._generator.standard_normal(samples))
        self._tail = np.concatenate([self._tail, sound])[-ORDER:]
        return sound
