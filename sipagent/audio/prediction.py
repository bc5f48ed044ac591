"""Linear prediction: how a stretch of sound goes on, judged by the sound itself.

A model is fitted by Burg's method, which is stable whatever the sound, so a prolongation never grows without end. Its
order spans a period of the voice: one model holds pitch and vowel alike, and a tone goes on in phase. What the model
cannot foresee, hiss, it can make: by noise of the size of its errors.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Signal: TypeAlias = NDArray[np.float64]

STRIDE: Final = 16
"""Samples foreseen at once: NumPy on single samples is mostly overhead."""
NEGLIGIBLE: Final = 1.0
"""Energy under which there is nothing to fit: digital silence, rounding."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A sample is the product of the samples before it (the latest first) and the coefficients, and an error."""

    coefficients: Signal
    error: float
    """RMS of what is not foreseen, in sample units."""


def fit(sound: Signal, *, order: int, memory: float) -> Prediction:
    """Fit a model to the end of a sound; the weight of an error falls by 1/e in ``memory`` samples toward the past.

    The order is less than asked for where the sound is short: half of its samples.
    """
    order = min(order, sound.size // 2)
    rise = np.exp(0.5 / memory)
    weights = rise ** np.arange(1.0 - sound.size, 1.0)
    weighted = sound * weights
    forward, backward = weighted[1:], weighted[:-1] * rise
    model = np.zeros(order + 1)
    model[0] = 1.0
    for done in range(1, order + 1):
        energy = forward.dot(forward) + backward.dot(backward)
        if energy < NEGLIGIBLE:
            break
        reflection = -2.0 * forward.dot(backward) / energy
        model[: done + 1] += reflection * model[done::-1]
        forward, backward = (forward + reflection * backward)[1:], ((backward + reflection * forward) * rise)[:-1]
    used = weights[sound.size - forward.size :]
    error = float(np.sqrt(forward.dot(forward) / max(used.dot(used), 1e-9)))
    return Prediction(-model[1:], error)


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
