"""Finds an echo of which nothing is known: at which delays does what comes back resemble what we sent?

The two are correlated with most of their colour taken out (a phase transform), so that the pitch of a voice, which
resembles that of any other voice at some delay, counts for little. How far the greatest value stands out of all others
(``clarity``) says whether there is an echo at all. Over 100 ms a stranger's voice reaches 5.5 in the median and 12 in 5
of 100, an echo in a room 16 in the median; over 200 ms nothing but an echo reaches 13.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy import fft  # else it is loaded when a caller first speaks over the agent

from sipagent.audio.echo_path import LEAD
from sipagent.audio.history import History, Samples

RATE: Final = 8_000
MIN_LAG, MAX_LAG = -320, 4_160
"""40 ms before, for the two clocks are brought together by the arrival of a packet, to half a second."""
LONGEST: Final = 1_600
"""Samples that are compared, at most, to find one."""
WHOLE: Final = 8_000
"""Samples that are compared to find that there is none. Over a second what is no echo stays below 5.5."""
SIZES: Final = {1_280: 5_760, LONGEST: 6_144, WHOLE: 12_500}
"""Of the transforms, by how many samples are compared: those and the delays fit into them, and they factor well."""
LOWEST_HZ, HIGHEST_HZ = 250.0, 3_450.0
"""What telephones pass on."""
WHITENING: Final = 0.8
"""The exponent by which the colour is taken out; 1 would make silence between harmonics as loud as they are."""
PEAKS: Final = 2
"""How many delays are worth a closer look."""


def _band(size: int) -> slice:
    return slice(round(LOWEST_HZ / RATE * size), round(HIGHEST_HZ / RATE * size) + 1)


BANDS: Final = {size: _band(size) for size in SIZES.values()}


class Resemblance(NamedTuple):
    """A delay at which the two are alike."""

    lag: int
    clarity: float


def resemblances(far: History, near: Samples, begin: int) -> Iterator[Resemblance]:
    """Yield the delays at which ``near``, from number ``begin`` on, is most like what was sent, the best first."""
    end, size = begin + len(near), next(size for longest, size in SIZES.items() if len(near) <= longest)
    band = BANDS[size]
    cross = np.zeros(size // 2 + 1, np.complex64)
    alike = fft.rfft(near, size)[band]
    alike *= fft.rfft(far.take(begin - MAX_LAG, end - MIN_LAG), size)[band].conj()
    alike /= np.maximum(np.abs(alike), 1e-3) ** WHITENING
    cross[band] = alike
    values = np.abs(fft.irfft(cross, size)[MIN_LAG - MAX_LAG :])
    spread = float(np.sqrt(values @ values / len(values)))
    for _ in range(PEAKS if spread else 0):
        at = int(values.argmax())
        yield Resemblance(at + MIN_LAG, float(values[at]) / spread)
        values[max(0, at - LEAD) : at + LEAD] = 0.0
