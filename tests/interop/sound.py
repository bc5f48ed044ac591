"""What was said, found again in what was heard."""

from typing import TypeAlias

import numpy as np
import soxr
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.int16]

RATE = 8000

AUDIBLE_DBFS = -40.0
SILENT_DBFS = -70.0
SAME = 0.9
"""A normalised correlation from which on two pieces of sound are the same recording."""
FAINT = 10
"""Below this, samples are too near to nothing to be compared."""
ALIKE = 0.7
"""And from which on they are the same sentence in the same voice: the local voice never says it twice quite alike."""


def at_rate(samples: Samples, rate: int, wanted: int) -> Samples:
    """The same sound at another rate."""
    return samples if rate == wanted else np.asarray(soxr.resample(samples, rate, wanted), np.int16)


def level(samples: Samples) -> float:
    """The root of the mean square in dBFS; -96 for nothing at all."""
    return float(20 * np.log10(max(np.sqrt(np.mean(np.square(samples / 32768))), 10 ** (-96 / 20))))


def correlate(wanted: Samples, within: Samples) -> tuple[int, float]:
    """Where ``wanted`` fits best, and how well: 1 is a perfect likeness, whatever the volume."""
    places = len(within) - len(wanted) + 1
    if places < 1:
        return 0, 0.0
    size = 1 << (len(within) + len(wanted)).bit_length()
    spectrum = np.fft.rfft(within, size) * np.conj(np.fft.rfft(wanted, size))
    products = np.fft.irfft(spectrum, size)[:places]
    energy = np.concatenate(([0.0], np.cumsum(np.square(within, dtype=np.float64))))
    energies = np.maximum(energy[len(wanted) :] - energy[:places], len(wanted) * FAINT**2)
    fits = products / np.sqrt(energies * np.sum(np.square(wanted, dtype=np.float64)))
    at = int(np.argmax(fits))
    return at, float(fits[at])


def likeness(wanted: Samples, within: Samples) -> float:
    """How well the worst half second of ``wanted`` is found again, silences and the last second left out."""
    return min(_fits(wanted, within))


def share_found(wanted: Samples, within: Samples, likest: float = SAME, piece: int = RATE // 2) -> float:
    """How many pieces of ``wanted`` are found again, silences and the last second left out."""
    fits = _fits(wanted, within, piece)
    return sum(fit > likest for fit in fits) / len(fits)


def _fits(wanted: Samples, within: Samples, piece: int = RATE // 2) -> list[float]:
    pieces = [wanted[at : at + piece] for at in range(0, len(wanted) - RATE - piece, piece)]
    return [correlate(piece, within)[1] for piece in pieces if level(piece) > AUDIBLE_DBFS]


def onset(samples: Samples) -> int:
    """The first sample that is no silence."""
    return int(np.argmax(np.abs(samples) > 100))
