"""A stream of samples from one rate to another: a polyphase FIR of linear phase, continuous over calls.

Half of its transition lies on each side of the lower rate's Nyquist frequency; it is as narrow as 2 ms of delay allow,
or as speech deserves. Up to its lower edge everything passes to within 0.01 dB; what lies beyond its upper edge, images
on the way up and aliases on the way down, is at least 75 dB down, beyond 7/8 of the lower rate 88 dB.

=============  ==============  =============  ========
lower rate Hz  lower edge Hz   upper edge Hz  delay ms
=============  ==============  =============  ========
8,000          3,400           4,600          2.00
16,000         7,200           8,800          1.56
24,000         10,800          13,200         1.04
=============  ==============  =============  ========

The coefficients are whole multiples of 1/:data:`STEPS`, so that every sum is exact in a double: however a stream is
cut into calls, and in whatever order a machine adds, the same samples come out.
"""

from functools import lru_cache
from math import gcd, lcm
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.g711 import Pcm
from sipagent.errors import LocalProtocolError

RATES: Final = (8_000, 16_000, 24_000, 48_000)
"""Hz: those of telephones, of wideband codecs, of the model and of Opus."""
DELAYS_MS: Final = {8_000: 2.0, 16_000: 25 / 16, 24_000: 25 / 24}
"""By the lower rate: half a filter's length. A wider band has room for a wider transition, which takes less time."""
KAISER_BETA: Final = 7.5
"""Where these lengths reach the edges above; a greater one would widen the transition past them."""
STEPS: Final = 1 << 22
"""16 bits of a sample, 24 of a coefficient and 8 for a sum of 200 leave some of a double's 53."""
LOWEST: Final = np.array(-32_768.0)
HIGHEST: Final = np.array(32_767.0)
"""Of int16, as arrays, which saves their making at every call."""


class Resampler:
    """One direction of one stream, int16 in and out.

    Of each ``step`` samples in come ``up`` out, where ``up / step`` is the ratio of the rates in lowest terms; fewer
    than a step are kept for the next call. So 20 ms in are exactly 20 ms out, at every rate.

    :raises LocalProtocolError: for a rate that is not among :data:`RATES`
    """

    def __init__(self, source_rate: int, target_rate: int) -> None:
        if source_rate not in RATES or target_rate not in RATES:
            raise LocalProtocolError(f"rates are {RATES} Hz, not {source_rate} to {target_rate}")
        self._step, self._up = _ratio(source_rate, target_rate)
        self._row = _row(self._step)
        self._weights = _weights(source_rate, target_rate)
        self._width = len(self._weights)
        self._history = self._width - self._row
        self._held: Pcm = np.zeros(self._history, np.int16)
        self._delay_ms = half_length(source_rate, target_rate) * 1_000 / lcm(source_rate, target_rate)

    @property
    def delay_ms(self) -> float:
        """How much later a sound comes out than it went in, at every frequency: at most 2, and 0 for equal rates."""
        return self._delay_ms

    def convert(self, pcm: Pcm) -> Pcm:
        """Return what these samples add to the stream at the other rate.

        :raises LocalProtocolError: for samples that are not int16
        """
        if pcm.dtype != np.int16:
            raise LocalProtocolError(f"samples are int16, not {pcm.dtype}")
        held = np.concatenate((self._held, pcm))
        steps = (len(held) - self._history) // self._step
        self._held = held[steps * self._step :]
        rows = -(-steps * self._step // self._row)
        missing = rows * self._row + self._history - len(held)
        if missing > 0:
            held = np.concatenate((held, np.zeros(missing, np.int16)))
        # Overlapping windows of one buffer, not copies; becoming doubles they are copied, which is what BLAS wants.
        windows: Pcm = np.ndarray((rows, self._width), np.int16, held, 0, (2 * self._row, 2))
        out = windows.astype(np.float64) @ self._weights
        np.rint(out, out=out)
        out.clip(LOWEST, HIGHEST, out=out)
        return out.astype(np.int16).ravel()[: steps * self._up]


def half_length(source_rate: int, target_rate: int) -> int:
    """Return the filter's delay in samples of the rates' least common multiple; its length is twice that and one."""
    if source_rate == target_rate:
        return 0
    return int(DELAYS_MS[min(source_rate, target_rate)] * lcm(source_rate, target_rate) / 1_000)


def coefficients(source_rate: int, target_rate: int) -> NDArray[np.float64]:
    """Return the filter at the rates' least common multiple: a sinc under a Kaiser window, with a sum of ``up``."""
    half = half_length(source_rate, target_rate)
    cutoff = min(source_rate, target_rate) / lcm(source_rate, target_rate)
    taps = np.sinc(cutoff * np.arange(-half, half + 1)) * np.kaiser(2 * half + 1, KAISER_BETA)
    _, up = _ratio(source_rate, target_rate)
    exact: NDArray[np.float64] = np.rint(taps * (up * STEPS / taps.sum())) / STEPS
    return exact


def _ratio(source_rate: int, target_rate: int) -> tuple[int, int]:
    """Return how many samples in make how many out."""
    divisor = gcd(source_rate, target_rate)
    return source_rate // divisor, target_rate // divisor


def _row(step: int) -> int:
    """Return how many samples in make one row of the product: whole steps, whole rows in 20 ms, few zeros in each."""
    return 24 if step % 3 == 0 else 16


@lru_cache(maxsize=len(RATES) ** 2)
def _weights(source_rate: int, target_rate: int) -> NDArray[np.float64]:
    """Return what each sample of a window, oldest first, weighs in each sample out; read-only, for streams share it.

    Between the samples in, imagine ``up - 1`` zeros: sample out ``n`` is the filter's sum that ends at ``n * step``.
    """
    step, up = _ratio(source_rate, target_rate)
    row = _row(step)
    taps = coefficients(source_rate, target_rate)
    history = (len(taps) - 1) // up
    places = up * (np.arange(history + row) - history)
    outputs = step * np.arange(row // step * up)
    back = outputs[np.newaxis, :] - places[:, np.newaxis]
    reached = (back >= 0) & (back < len(taps))
    weights = np.where(reached, taps[np.where(reached, back, 0)], 0.0)
    weights.setflags(write=False)
    return weights
