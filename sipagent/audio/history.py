"""The latest samples of a stream, by their number since its beginning; what is not kept, or not there yet, is 0."""

from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.g711 import ALAW_TO_PCM, ULAW_TO_PCM

Samples: TypeAlias = NDArray[np.float32]
"""At the scale of int16."""

LAWS: Final[dict[str, Samples]] = {
    "PCMU": ULAW_TO_PCM.astype(np.float32),
    "PCMA": ALAW_TO_PCM.astype(np.float32),
}
"""What each code stands for."""


class History:
    """Keeps the last ``size`` samples as they came, in a ring, for they are many calls'; taking some decodes them.

    :param law: ``PCMU`` or ``PCMA``, whose samples are a byte each; else they are linear, of two.
    """

    def __init__(self, size: int, law: str = "") -> None:
        self._codes = LAWS.get(law)
        self._width = 2 if self._codes is None else 1
        self._kept = bytearray(size * self._width)
        self._at = 0
        """Where in the ring the next byte goes."""
        self._first = 0
        """The number of the oldest sample since the stream began, or samples were left out."""
        self.end = 0
        """How many samples there have been."""

    def append(self, audio: bytes) -> None:
        """Take the next samples. Hot path."""
        kept, at, size = self._kept, self._at, len(audio)
        self.end += size // self._width
        after = at + size
        if after < len(kept):
            kept[at:after] = audio
            self._at = after
        else:
            self._append_around(audio)

    def skip_to(self, end: int) -> None:
        """Go on with this number; where that leaves samples out, what is kept is of no use any more."""
        if end > self.end:
            self._first = self.end = end

    def take(self, begin: int, end: int) -> Samples:
        """Return the samples from number ``begin`` to before ``end``."""
        oldest = max(self._first, self.end - len(self._kept) // self._width)
        if begin >= oldest and end <= self.end:
            return self._decode(begin, end)
        taken = np.zeros(end - begin, np.float32)
        low, high = max(begin, oldest), min(end, self.end)
        if low < high:
            taken[low - begin : high - begin] = self._decode(low, high)
        return taken

    def _append_around(self, audio: bytes) -> None:
        """Go on at the beginning of the ring; of what is longer than it the end is kept."""
        kept = self._kept
        size = len(kept)
        audio, at = audio[-size:], (self._at + max(0, len(audio) - size)) % size
        whole = min(len(audio), size - at)
        kept[at : at + whole] = audio[:whole]
        kept[: len(audio) - whole] = audio[whole:]
        self._at = (at + len(audio)) % size

    def _decode(self, begin: int, end: int) -> Samples:
        kept, width = self._kept, self._width
        size = len(kept)
        first = (self._at - (self.end - begin) * width) % size
        after = first + (end - begin) * width
        audio = kept[first:after] if after <= size else kept[first:] + kept[: after - size]
        if self._codes is None:
            return np.frombuffer(audio, "<i2").astype(np.float32)
        return self._codes.take(np.frombuffer(audio, np.uint8))
