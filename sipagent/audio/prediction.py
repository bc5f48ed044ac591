"""Linear prediction: how a stretch of sound goes on, judged by the sound itself.

A model is fitted by Burg's method, which is stable whatever the sound, so a prolongation never grows without end. Its
order spans a period of the voice: one model holds pitch and vowel alike, and a tone goes on in phase. What the model
cannot foresee, hiss, it can make: by noise of the size of its errors.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

Signal: TypeAlias = NDArray[np.float64]

STRIDE: Final = 10
"""Samples foreseen at once: NumPy on single samples is mostly overhead."""
NEGLIGIBLE: Final = 1.0
"""Energy under which there is nothing to fit: digital silence, rounding."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A sample is the product of the samples before it (the latest first) and the coefficients, and an error."""

    coefficients: Signal
    error: float
    """RMS of what is not foreseen, in sample units."""


class _Lattice:
    """Burg's lattice: a row of forward errors over a row of backward errors, which is a sample late.

    A step mixes the rows by a matrix of 2x2. The rows begin with an impulse: what becomes of it is the model.
    """

    __slots__ = ("_late", "backward", "forward", "rows")

    def __init__(self, length: int) -> None:
        cells = np.zeros(2 * (length + 1))
        self.rows: Signal = cells.reshape(2, length + 1)[:, :length]
        self.forward, self.backward = self.rows
        self._late: Signal = as_strided(cells, (2, length), ((length + 2) * cells.itemsize, cells.itemsize))
        """The same cells, with the row of backward errors a sample later."""

    def mix(self, matrix: Signal, before: "_Lattice") -> None:
        """Take the next step from another lattice."""
        np.matmul(matrix, before.rows, out=self._late)


def fit(sound: Signal, *, order: int, memory: float) -> Prediction:
    """Fit a model to the end of a sound; the weight of an error falls by 1/e in ``memory`` samples toward the past.

    The order is less than asked for where the sound is short: half of its samples. As each sample's weight is ``rise``
    times that of the one before, so is each delay.
    """
    order = min(order, sound.size // 2)
    rise = float(np.exp(0.5 / memory))
    begin = order + 1
    lattice, spare = _Lattice(begin + sound.size), _Lattice(begin + sound.size)
    weights = rise ** np.arange(1.0 - sound.size, 1.0)
    lattice.forward[0] = 1.0
    lattice.forward[begin:] = sound * weights
    lattice.backward[1:] = lattice.forward[:-1] * rise
    mix = np.array([[1.0, 0.0], [0.0, rise]])
    for known in range(begin + 1, begin + order + 1):
        forward, backward = lattice.forward[known:], lattice.backward[known:]
        energy = float(forward.dot(forward) + backward.dot(backward))
        if energy < NEGLIGIBLE:
            break
        reflection = -2.0 * float(forward.dot(backward)) / energy
        mix[0, 1], mix[1, 0] = reflection, reflection * rise
        spare.mix(mix, lattice)
        lattice, spare = spare, lattice
    errors = lattice.forward[begin + order :]
    seen = weights[order:]
    error = float(np.sqrt(errors.dot(errors) / max(seen.dot(seen), 1e-9)))
    return Prediction(-lattice.forward[1:begin] * rise ** -np.arange(1.0, begin), error)


def prolong(past: Signal, prediction: Prediction, noise: Signal) -> Signal:
    """Return what comes after ``past``, as many samples as ``noise`` has; the noise is what drives the model."""
    order = prediction.coefficients.size
    known = min(order, past.size)
    sound = np.zeros(order + noise.size + STRIDE)
    sound[order - known : order] = past[past.size - known :]
    ahead, response = _look_ahead(prediction.coefficients)
    driven = np.concatenate([noise, np.zeros(STRIDE)])
    for at in range(0, noise.size, STRIDE):
        begin = order + at
        sound[begin : begin + STRIDE] = ahead @ sound[at:begin] + response @ driven[at : at + STRIDE]
    return sound[order : order + noise.size]


def _look_ahead(coefficients: Signal) -> tuple[Signal, Signal]:
    """Return what the next samples owe to the past, its oldest sample first, and what to the noise."""
    order = coefficients.size
    ahead = np.zeros((STRIDE, order))
    impulse = np.zeros(STRIDE)
    impulse[0] = 1.0
    for step in range(STRIDE):
        if step < order:
            ahead[step, step:] = coefficients[step:][::-1]
        reach = min(step, order)
        if reach:
            ahead[step] += coefficients[:reach] @ ahead[step - reach : step][::-1]
            impulse[step] = coefficients[:reach] @ impulse[step - reach : step][::-1]
    delays = np.subtract.outer(np.arange(STRIDE), np.arange(STRIDE))
    return ahead, np.where(delays >= 0, impulse[delays], 0.0)
