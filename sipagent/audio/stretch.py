"""A moment of audio made a little longer or shorter, without a click and at its own pitch (WSOLA).

The sound jumps forward or back to where it goes on as it would have gone on, and fades across. In a voice such a jump
is one pitch period or several. Where nobody speaks any jump will do, so pauses are where lengths ought to be changed:
:class:`Quiet` tells which they are.
"""

from math import log10
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.g711 import Pcm, to_pcm

SHORTEST_JUMP_MS: Final = 2.5
"""The period of a voice of 400 Hz."""
LONGEST_JUMP_MS: Final = 15.0
"""The period of one of 67 Hz."""
FADE_MS: Final = 8.0
"""How long both sounds are heard, and how much is compared: a period of most voices."""
QUIET_FADE_MS: Final = 4.0
COARSE_RATE: Final = 8_000
"""Hz at which jumps are looked for first; the best one is then refined."""
AS_GOOD: Final = 0.98
"""Of jumps nearly as good as the best one the longest is taken: several periods need not be jumped one by one."""

QUIET_RISE_DB: Final = 6.0
"""What is nearer to the noise floor than that is noise."""
QUIET_DBFS: Final = -55.0
"""What is below is quiet on any line."""
FLOOR_CREEP_DB: Final = 0.05
"""How far the floor rises with each piece above it: 2.5 dB a second, so that no sentence becomes its own noise."""
FLOOR_MIN_DBFS: Final = -75.0
FULL_SCALE: Final = 32_768.0


class Jump(NamedTuple):
    """Where the sound may go on."""

    samples: int
    """Forward from here; back if negative."""
    likeness: float
    """How well it goes on there: 1 as if nothing had happened, 0 as anywhere."""


def room_for(rate: int, longest_ms: float = LONGEST_JUMP_MS) -> int:
    """Return how many samples a jump of that length needs behind the place, or before it, and the fade with it."""
    return _samples(longest_ms, rate) + _samples(FADE_MS, rate)


def find_jump(signal: Pcm, at: int, *, rate: int, back: bool = False, longest_ms: float = LONGEST_JUMP_MS) -> Jump:
    """Find the jump from ``at`` by which the sound goes on best.

    Behind ``at`` there must be the fade, and, for a jump forward, :func:`room_for`; before it, for one back, the jump.

    :param signal: int16, 8 to 48 kHz.
    :param back: look before ``at``, to lengthen.
    :returns: the jump; one of no samples when there is no room for any.
    """
    fade, longest = _samples(FADE_MS, rate), _samples(longest_ms, rate)
    longest = min(longest, at if back else len(signal) - at - fade)
    shortest = _samples(SHORTEST_JUMP_MS, rate)
    if longest < shortest or len(signal) < at + fade:
        return Jump(0, 0.0)
    sign = -1 if back else 1
    begin, end = (at - longest, at + fade) if back else (at, at + longest + fade)
    step = max(1, rate // COARSE_RATE)
    piece = signal[begin:end].astype(np.float64)
    here = at - begin
    if step > 1:
        jump = _best(_thin(piece, step), here // step, fade // step, sign, shortest // step, longest // step)
        shortest, longest = max(shortest, jump.samples * step - step), min(longest, jump.samples * step + step)
    jump = _best(piece, here, fade, sign, shortest, longest)
    return Jump(sign * jump.samples, jump.likeness)


def leap(signal: Pcm, at: int, jump: Jump, *, rate: int) -> Pcm:
    """Return the signal with the jump made at ``at``: shorter by its samples, or longer.

    The fade keeps the power even: like sounds are added as they are, unlike ones as noise is.
    """
    fade = min(_samples(FADE_MS if jump.likeness > 0 else QUIET_FADE_MS, rate), len(signal) - at - max(0, jump.samples))
    if jump.samples == 0 or fade <= 0:
        return signal
    there = at + jump.samples
    rise = (1 - np.cos(np.pi * (np.arange(fade) + 0.5) / fade)) / 2
    fall = 1 - rise
    rise_and_fall = fall * signal[at : at + fade] + rise * signal[there : there + fade]
    likeness = min(1.0, max(0.0, jump.likeness))
    mixed = to_pcm(rise_and_fall / np.sqrt(rise * rise + fall * fall + 2 * likeness * rise * fall))
    return np.concatenate((signal[:at], mixed, signal[there + fade :]))


class Quiet:
    """Tells pauses from speech by their level above the noise of the line."""

    __slots__ = ("floor_dbfs",)

    def __init__(self) -> None:
        self.floor_dbfs = QUIET_DBFS
        """The noise of the line, as far as it is known."""

    def hear(self, pcm: Pcm) -> bool:
        """Hear the next piece, 10 to 60 ms, and return whether nobody speaks in it."""
        level = level_of(pcm)
        if level < self.floor_dbfs:
            self.floor_dbfs = max(level, FLOOR_MIN_DBFS)
        else:
            self.floor_dbfs += FLOOR_CREEP_DB
        return level < max(QUIET_DBFS, self.floor_dbfs + QUIET_RISE_DB)


def level_of(pcm: Pcm) -> float:
    """Return the RMS level in dBFS; -100 for nothing at all."""
    samples = pcm.astype(np.float64)
    power = float(samples @ samples) / max(1, len(samples)) / FULL_SCALE**2
    return max(-100.0, 10 * log10(power)) if power > 0 else -100.0


def _samples(ms: float, rate: int) -> int:
    return round(ms * rate / 1_000)


def _thin(signal: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Every so many samples as their mean."""
    whole = len(signal) // step * step
    thinned: NDArray[np.float64] = signal[:whole].reshape(-1, step).mean(axis=1)
    return thinned


def _best(signal: NDArray[np.float64], here: int, size: int, sign: int, shortest: int, longest: int) -> Jump:
    """The jump of so many samples whose surroundings are most like those of here; its sign is left out."""
    template = signal[here : here + size]
    first = here - longest if sign < 0 else here + shortest
    last = here - shortest if sign < 0 else here + longest
    there = signal[first : last + size]
    products = np.correlate(there, template, "valid")
    sums = np.concatenate(((0.0,), np.cumsum(there * there)))
    energies = sums[size:] - sums[:-size]
    likenesses = products / np.sqrt(np.maximum(energies * float(template @ template), 1.0))
    if sign < 0:
        likenesses = likenesses[::-1]
    good = np.flatnonzero(likenesses >= AS_GOOD * likenesses.max())
    best = int(good[-1]) if likenesses.max() > 0 else int(likenesses.argmax())
    best = _peak(likenesses, best)
    return Jump(shortest + best, float(likenesses[best]))


def _peak(likenesses: NDArray[np.float64], near: int) -> int:
    """The top of the hill on whose slope ``near`` is."""
    while near > 0 and likenesses[near - 1] > likenesses[near]:
        near -= 1
    while near + 1 < len(likenesses) and likenesses[near + 1] > likenesses[near]:
        near += 1
    return near
