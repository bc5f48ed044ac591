"""One side of a gap, going on into it, as far as it is asked for.

A model that spans a period of the voice costs by the sample of that period, and above 8 kHz a voice has no pitch. So
above 16 kHz the sound is prolonged at a half, a third, ... of its rate, and made to begin with a prolongation at the
full rate by a small model: that one makes the edge continuous, and the filters need to see beyond the edge.
"""

from typing import Final

import numpy as np

from sipagent.audio.prediction import Signal, fit, prolong

MAX_RATE: Final = 16_000
"""Hz; up to it a sound is prolonged as it is."""
ORDER_MS: Final = 10.0
"""A period of the lowest voice that is foreseen as a whole, 100 Hz."""
MAX_ORDER: Final = 160
"""The cost of a model grows with it."""
EDGE_ORDER: Final = 32
"""Of the small model: enough for the half millisecond that it is heard."""
FITTED_MS: Final = 30
"""A voice changes: by PESQ a model of 30 ms foresees it better than one of 40 or 60."""
MEMORY_MS: Final = 12.0
"""In them, what is older by so much counts less by 1/e."""
REACH: Final = 8
"""How far the filters see on each side, in samples of the lower rate."""


class Prolongation:
    """A sound that goes on."""

    __slots__ = ("_begin", "_drive", "_edge", "_factor", "_kernel", "_noise", "_prediction", "_sound", "done")

    def __init__(self, sound: Signal, rate: int, noise: np.random.Generator) -> None:
        self.done = 0
        """Samples that were taken."""
        sound = sound[max(sound.size - FITTED_MS * rate // 1_000, 0) :]
        self._noise = noise
        self._factor = -(-rate // MAX_RATE)
        self._edge = np.zeros(0)
        self._kernel = np.ones(1)
        if self._factor > 1:
            self._kernel = _kernel(self._factor)
            model = fit(sound[-4 * EDGE_ORDER * self._factor :], order=EDGE_ORDER, memory=EDGE_ORDER * self._factor)
            self._edge = prolong(sound, model, np.zeros(self._kernel.size // 2 + 1))
            padded = np.concatenate([np.zeros(self._kernel.size - 1), sound, self._edge])
            sound = np.convolve(padded, self._kernel, "valid")[:: -self._factor][::-1]
        inner_rate = rate / self._factor
        memory = MEMORY_MS * inner_rate / 1_000
        self._prediction = fit(sound, order=min(round(ORDER_MS * inner_rate / 1_000), MAX_ORDER), memory=memory)
        recent = sound[-round(memory) :]
        unforeseen = min(self._prediction.error / (float(np.sqrt(np.square(recent).sum() / memory)) + 1.0), 1.0)
        self._drive = self._prediction.error * unforeseen
        """Hiss stays hiss, and a voice does not become hoarse."""
        self._begin = max(sound.size - (self._factor > 1), 0)
        """Where the gap begins; of a sound at a lower rate the first sample of the gap is known, by the edge."""
        self._sound = sound

    def take(self, samples: int) -> Signal:
        """Return the next samples."""
        begin = self.done
        self.done += samples
        if self._factor > 1:
            return self._faded(begin, self._raised(begin, self.done))
        self._extend(self.done)
        return self._sound[self._begin + begin : self._begin + self.done]

    def _raised(self, begin: int, end: int) -> Signal:
        """Return samples of the gap at the full rate."""
        first, last = begin // self._factor - REACH, -(-end // self._factor) + REACH
        self._extend(last)
        spread = np.zeros((last - first) * self._factor)
        spread[:: self._factor] = self._sound[self._begin + first : self._begin + last]
        raised = np.convolve(spread, self._kernel * self._factor, "valid")[begin % self._factor :]
        return raised[: end - begin]

    def _faded(self, begin: int, sound: Signal) -> Signal:
        """Let it begin as the small model goes on."""
        edge = self._edge[begin : begin + sound.size]
        share = (np.arange(begin, begin + edge.size) + 0.5) / max(self._edge.size, 1)
        sound[: edge.size] = edge * (1.0 - share) + sound[: edge.size] * share
        return sound

    def _extend(self, until: int) -> None:
        """Know so many samples of the gap, at the lower rate."""
        missing = self._begin + until - self._sound.size
        if missing > 0:
            driving = self._noise.standard_normal(missing) * self._drive
            self._sound = np.concatenate([self._sound, prolong(self._sound, self._prediction, driving)])


def _kernel(factor: int) -> Signal:
    """Return a low-pass filter with its edge at the lower rate's half."""
    places = np.arange(-REACH * factor, REACH * factor + 1) / factor
    kernel: Signal = np.sinc(places) * np.cos(np.pi / 2 * places / (REACH + 1 / factor)) ** 2 / factor
    return kernel
