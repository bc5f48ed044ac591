"""Concealment of lost packets: the sound goes on as it was going, and meets the sound after the gap.

What is known of the past is prolonged forward; where the sound after the gap is known as well, it is prolonged
backward, and the two are cross-faded over the gap. Toward a live loudspeaker only the past is known: then the first
good frame begins as a cross-fade with what was being prolonged. A prolongation fades to the background's noise, for
nobody can guess what was said in a tenth of a second.

Nothing is to be done, and nothing is computed, while nothing is lost.
"""

from dataclasses import dataclass
from random import Random
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.background import Background
from sipagent.audio.prediction import Prediction, Signal, fit, prolong

Pcm: TypeAlias = NDArray[np.int16]
"""Linear samples, mono, at the rate of the concealer."""

HISTORY_MS: Final = 60
"""What is worth handing over of the past; more is not looked at, less is made do with."""
ORDER_MS: Final = 12.5
"""A period of the lowest voice that is foreseen as a whole, 80 Hz."""
MAX_ORDER: Final = 160
"""The cost of a model grows with it."""
MEMORY_MS: Final = 15.0
"""A voice changes: what is older counts less by 1/e."""
HOLD_MS: Final = 20.0
"""So long a prolongation keeps its level."""
FADE_MS: Final = 60.0
"""Thereafter it falls to nothing in so long."""
MERGE_MS: Final = 3.0
"""The cross-fade at the start of the first good frame, when it was not known before."""


@dataclass(slots=True)
class _Side:
    """One side of a gap, going on into it."""

    prediction: Prediction
    drive: float
    """RMS of the noise that it is driven by."""
    tail: Signal
    """The samples next to be gone on from, the latest last."""
    done: int = 0
    """Samples of the gap that it has filled."""


class Concealer:
    """Fills the gaps of one stream, in order."""

    __slots__ = ("_background", "_noise", "_order", "_past", "_peak", "_rate")

    def __init__(self, rate: int, *, random: Random) -> None:
        self._rate = rate
        self._background = Background(rate, random=random)
        self._noise = np.random.default_rng(random.getrandbits(64))
        self._order = min(self._samples(ORDER_MS), MAX_ORDER)
        self._past: _Side | None = None
        self._peak = 0.0

    def conceal(self, samples: int, *, history: Pcm, future: Pcm | None = None) -> Pcm:
        """Return so many samples for what is lost.

        A loss may be concealed at once or piece by piece. It begins with the history, the sound before it (of the
        later pieces' it is not looked at), and ends with the piece that is given a future, the sound after it, or
        with :meth:`recover`.
        """
        if self._past is None:
            before = history[max(history.size - self._samples(HISTORY_MS), 0) :].astype(np.float64)
            self._background.learn(before)
            self._peak = _peak(before)
            self._past = self._side(before)
        sound, known = self._go_on(self._past, samples)
        if future is not None and future.size:
            after = future[: self._samples(HISTORY_MS)].astype(np.float64)
            self._past = None
            self._background.learn(after)
            self._peak = max(self._peak, _peak(after))
            back, back_known = self._go_on(self._side(after[::-1]), samples)
            share = (np.arange(samples) + 0.5) / max(samples, 1)
            sound = sound * (1.0 - share) + back[::-1] * share
            known = known * (1.0 - share) + back_known[::-1] * share
        return self._finish(sound + self._background.make(samples) * np.sqrt(1.0 - known * known))

    def recover(self, frame: Pcm) -> Pcm:
        """Return the first good frame after a loss, its beginning merged with what was made up; it is not delayed."""
        past, self._past = self._past, None
        if past is None:
            return frame
        samples = min(self._samples(MERGE_MS), frame.size)
        sound, known = self._go_on(past, samples)
        sound += self._background.make(samples) * np.sqrt(1.0 - known * known)
        share = (np.arange(samples) + 0.5) / max(samples, 1)
        merged = frame.copy()
        self._peak = max(self._peak, _peak(frame[:samples].astype(np.float64)))
        merged[:samples] = self._finish(sound * (1.0 - share) + frame[:samples] * share)
        return merged

    def _side(self, sound: Signal) -> _Side:
        prediction = fit(sound, order=self._order, memory=self._samples(MEMORY_MS))
        recent = sound[max(sound.size - self._samples(MEMORY_MS), 0) :]
        unforeseen = min(prediction.error / (_rms(recent) + 1.0), 1.0)
        drive = prediction.error * unforeseen  # hiss stays hiss, and a voice does not become hoarse
        return _Side(prediction, drive, sound[max(sound.size - self._order, 0) :])

    def _go_on(self, side: _Side, samples: int) -> tuple[Signal, Signal]:
        """Return the next samples and the share of the level that each keeps."""
        places = side.done + np.arange(samples)
        level = (1.0 - (places - self._samples(HOLD_MS)) / self._samples(FADE_MS)).clip(0.0, 1.0)
        side.done += samples
        wanted = int(np.count_nonzero(level))
        sound = np.zeros(samples)
        sound[:wanted] = prolong(side.tail, side.prediction, self._noise.standard_normal(wanted) * side.drive)
        side.tail = np.concatenate([side.tail, sound[:wanted]])[-self._order :]
        return sound * level, level

    def _finish(self, sound: Signal) -> Pcm:
        """Round; what is made up is never louder than what was heard."""
        finished: Pcm = np.rint(sound.clip(-self._peak, self._peak)).clip(-32_768, 32_767).astype(np.int16)
        return finished

    def _samples(self, duration_ms: float) -> int:
        return round(self._rate * duration_ms / 1_000)


def _peak(sound: Signal) -> float:
    return float(np.abs(sound).max(initial=0.0))


def _rms(sound: Signal) -> float:
    return float(np.sqrt(sound.dot(sound) / sound.size)) if sound.size else 0.0
