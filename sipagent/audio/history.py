"""The latest samples of a stream, by their number since its beginning; what is not kept, or not there yet, is 0."""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float32]
"""At the scale of int16."""


class History:
    """Keeps at least the last ``size`` samples, side by side, so that taking some of them copies nothing."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._samples = np.zeros(2 * size, np.float32)
        self._filled = 0
        self.end = 0
        """How many samples there have been."""

    def append(self, samples: Samples) -> None:
        """Take the next samples."""
        self.end += len(samples)
        samples = samples[-self._size :]
        if self._filled + len(samples) > len(self._samples):
            kept = self._size - len(samples)
            self._samples[:kept] = self._samples[self._filled - kept : self._filled]
            self._filled = kept
        self._samples[self._filled : self._filled + len(samples)] = samples
        self._filled += len(samples)

    def skip_to(self, end: int) -> None:
        """Go on with this number; where that leaves samples out, what is kept is of no use any more."""
        if end > self.end:
            self._filled, self.end = 0, end

    def take(self, begin: int, end: int) -> Samples:
        """Return the samples from number ``begin`` to before ``end``; not to be written to."""
        first = self.end - self._filled
        if begin >= first and end <= self.end:
            return self._samples[begin - first : end - first]
        taken = np.zeros(end - begin, np.float32)
        low, high = max(begin, first), min(end, self.end)
        if low < high:
            taken[low - begin : high - begin] = self._samples[low - first : high - first]
        return taken
