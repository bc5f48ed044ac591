"""Concealment of lost packets: the sound goes on as it was going, and meets the sound after the gap.

What is known of the past is prolonged forward; where the sound after the gap is known as well, it is prolonged
backward, and the two are cross-faded over the gap. Toward a live loudspeaker only the past is known: then the first
good frame begins as a cross-fade with what was being prolonged. A prolongation fades to the background's noise, for
nobody can guess what was said in a tenth of a second.

Nothing is to be done, and nothing is computed, while nothing is lost.
"""

from random import Random
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.background import Background
from sipagent.audio.prediction import Signal
from sipagent.audio.prolongation import Prolongation

Pcm: TypeAlias = NDArray[np.int16]
"""Linear samples, mono, at the rate of the concealer."""

HISTORY_MS: Final = 60
"""What is worth handing over of the past, for a pause to be found in it; less is made do with."""
HOLD_MS: Final = 30.0
"""So long a prolongation keeps its level."""
FADE_MS: Final = 60.0
"""Thereafter it falls to nothing in so long."""
MERGE_MS: Final = 1.5
"""The cross-fade at the start of the first good frame, when it was not known before."""

WITNESSES: Final = 8
"""Samples by which a history is recognised as ending with what we made; a codec may have been between."""


class Concealer:
    """Fills the gaps of one stream, in order."""

    __slots__ = ("_background", "_made", "_noise", "_past", "_peak", "_rate")

    def __init__(self, rate: int, *, random: Random) -> None:
        self._rate = rate
        self._background = Background(rate, random=random)
        self._noise = np.random.default_rng(random.getrandbits(64))
        self._past: Prolongation | None = None
        self._made: Pcm = np.zeros(0, np.int16)
        self._peak = 0.0

    def conceal(self, samples: int, *, history: Pcm, future: Pcm | None = None) -> Pcm:
        """Return so many samples for what is lost.

        A loss may be concealed at once or piece by piece. It goes on as long as the history, the sound before, ends
        with the piece before; it ends with the piece that is given a future, the sound after it, or with
        :meth:`recover`.
        """
        if self._past is None or not self._is_ours(history):
            before = history[max(history.size - self._samples(HISTORY_MS), 0) :].astype(np.float64)
            self._background.learn(before)
            self._peak = _peak(before)
            self._past = self._prolongation(before)
            self._made = np.zeros(0, np.int16)
        sound, known = self._take(self._past, samples)
        if future is not None and future.size:
            after = future[: self._samples(HISTORY_MS)].astype(np.float64)
            self._past = None
            self._background.learn(after)
            self._peak = max(self._peak, _peak(after))
            back, back_known = self._take(self._prolongation(after[::-1]), samples)
            share = (np.arange(samples) + 0.5) / max(samples, 1)
            sound = sound * (1.0 - share) + back[::-1] * share
            known = known * (1.0 - share) + back_known[::-1] * share
        made = self._finish(self._fill(sound, known))
        self._made = np.concatenate([self._made, made])[-WITNESSES:]
        return made

    def recover(self, frame: Pcm) -> Pcm:
        """Return the first good frame after a loss, its beginning merged with what was made up; it is not delayed."""
        past, self._past = self._past, None
        if past is None:
            return frame
        samples = min(self._samples(MERGE_MS), frame.size)
        sound, known = self._take(past, samples)
        sound = self._fill(sound, known)
        share = (np.arange(samples) + 0.5) / max(samples, 1)
        merged = frame.copy()
        self._peak = max(self._peak, _peak(frame[:samples].astype(np.float64)))
        merged[:samples] = self._finish(sound * (1.0 - share) + frame[:samples] * share)
        return merged

    def _is_ours(self, history: Pcm) -> bool:
        """Tell whether it ends with what was made last, as far as a codec leaves it."""
        ours = self._made[max(self._made.size - history.size, 0) :].astype(np.float64)
        theirs = history[history.size - ours.size :]
        return bool((np.abs(ours - theirs) <= 16.0 + np.abs(ours) / 16.0).all())

    def _prolongation(self, sound: Signal) -> Prolongation:
        return Prolongation(sound, self._rate, self._noise)

    def _take(self, side: Prolongation, samples: int) -> tuple[Signal, Signal]:
        """Return the next samples and the share of its level that each keeps."""
        places = side.done + np.arange(samples)
        level = (1.0 - (places - self._samples(HOLD_MS)) / self._samples(FADE_MS)).clip(0.0, 1.0)
        heard = int(np.count_nonzero(level))
        sound = np.zeros(samples)
        sound[:heard] = side.take(heard) * level[:heard]
        return sound, level

    def _fill(self, sound: Signal, known: Signal) -> Signal:
        """Put noise where the level falls."""
        falls = known < 1.0
        if falls.any():
            sound[falls] += self._background.make(int(falls.sum())) * np.sqrt(1.0 - np.square(known[falls]))
        return sound

    def _finish(self, sound: Signal) -> Pcm:
        """Round; what is made up is never louder than what was heard."""
        finished: Pcm = np.rint(sound.clip(-self._peak, self._peak)).clip(-32_768, 32_767).astype(np.int16)
        return finished

    def _samples(self, duration_ms: float) -> int:
        return round(self._rate * duration_ms / 1_000)


def _peak(sound: Signal) -> float:
    return float(np.abs(sound).max(initial=0.0))
