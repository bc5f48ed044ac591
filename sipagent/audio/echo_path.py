"""One way of an echo: a delay and a short filter, fitted by least squares to the latest echo itself.

Signals are at 8 kHz. ``far`` is what we sent, ``near`` what comes back, numbered on one clock: a path with lag 800 says
that what was sent at sample 0 begins to come back 100 ms later.

The fit has no step size, so it does not converge, it is there: 80 ms of echo give a filter that foretells the next 20
ms to within -30 dB on a line and -11 dB in a room. What is left over is the room's tail, which is longer than the
filter; it is expected in proportion to the echo of late, and the proportion (:attr:`EchoPath.leak`) is learned, too.
"""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sipagent.audio.history import History, Samples

TAPS: Final = 96
"""12 ms: a loudspeaker and the table it stands on. Twice as many foretell 2 dB more of a room, and cost four times."""
LEAD: Final = 24
"""Taps before the greatest: a loudspeaker rings before it as well, and its place is known to some samples only."""
FORGET: Final = 0.98
"""From one frame to the next: the last second counts."""
RIDGE: Final = 1e-3
"""Of the mean energy, added to each tap's: frequencies in which nothing was said weigh nothing."""
FITS: Final = 10
"""Each of so many frames at the beginning gives a new filter; later every fourth, for the fit is what costs most."""

GAIN_MIN, GAIN_MAX = 0.25, 4.0
"""Within this the volume may have been turned since; a frame's own gain is taken out before it is judged."""
MARGIN, MARGIN_OF_LEAK = 3.2, 4.0
"""5 dB more than was expected to be left over is no echo; where much is, as in a bare room, up to 8.5 dB."""
TAIL: Final = 0.7
"""Of its energy a room's tail has this left after 20 ms, which is a reverberation of 0.8 s."""
LEAK_FIRST, LEAK_MIN, LEAK_MAX = 0.4, 0.02, 1.0
"""What is left over, relative to the echo of late: at first, and the least and most that is believed."""
LEAK_UP, LEAK_DOWN = 0.25, 0.03
"""How fast the leak follows one that is more, and one that is less: it is to be near the greatest there is."""
LEAK_DOWN_FIRST: Final = 0.08
"""For the first frames, in which it is but a guess."""
LEARNING: Final = 25
"""So many frames are those."""
LEAK_STEP: Final = 2.0
"""One that is more counts as this many times the leak at most, so that a voice over the echo teaches little."""

REACH: Final = 320
"""Samples by which a jitter buffer may change the delay at once: 40 ms."""
MOVED_MIN: Final = 3
"""The filter follows what is less."""
LEFT_OF_MOVED: Final = 0.35
"""What share of the energy may be left unexplained at another delay."""


DIAGONALS: Final = np.abs(np.subtract.outer(np.arange(TAPS), np.arange(TAPS))) * TAPS + np.minimum.outer(
    np.arange(TAPS), np.arange(TAPS)
)
"""Where in a table by the distance of two taps and the lesser of them their product is."""


class EchoPath:
    """One way by which our sound comes back.

    :param lag: in samples, of the first tap.
    """

    def __init__(self, lag: int) -> None:
        self.lag = lag
        self.weights: Samples = np.zeros(TAPS, np.float32)
        self.age = 0
        """How many frames it explained."""
        self.leak = LEAK_FIRST
        self._tail = 0.0
        self._power = np.zeros((TAPS, TAPS), np.float32)  # for size: it is most of what a call with an echo keeps
        self._product = np.zeros(TAPS)

    @property
    def gain(self) -> float:
        """By what white noise would be louder as an echo than it was sent."""
        return float(np.sqrt(self.weights @ self.weights))

    @property
    def peak(self) -> int:
        """The delay of the greatest tap, in samples."""
        return self.lag + int(np.abs(self.weights).argmax())

    def foretell(self, far: History, begin: int, end: int) -> Samples:
        """Return the echo in ``near[begin:end]``."""
        sent = far.take(begin - self.lag - TAPS + 1, end - self.lag)
        return np.convolve(sent, self.weights, "valid")

    def best_tap(self, far: History, near: Samples, begin: int) -> float:
        """Return the share of the energy of ``near`` that the best filter of a single tap explains: 0 to 1."""
        sent = far.take(begin - self.lag - TAPS + 1, begin + len(near) - self.lag)
        common = float(np.abs(np.correlate(sent, near, "valid")).max())
        return common * common / (float(near @ near) * float(sent @ sent) * len(near) / len(sent) + 1.0)

    def unexplained(self, far: History, near: Samples, begin: int) -> float:
        """Return the share of the energy of ``near`` that is no such echo: 0 to 1."""
        left, _, energy = self._compare(far, near, begin)
        return left / (energy + 1.0)

    def explains(self, far: History, near: Samples, begin: int, *, floor: float) -> bool:
        """Whether a frame is the echo and what the room adds to it; if so, it is learned from.

        :param floor: the energy up to which nothing that is left over is speech.
        """
        left, echo, _ = self._compare(far, near, begin)
        self._tail = self._tail * TAIL + echo
        if left > floor and left > (MARGIN + MARGIN_OF_LEAK * self.leak) * self.leak * self._tail:
            return False
        leak = min(left / (self._tail + 1.0), LEAK_STEP * self.leak)
        down = LEAK_DOWN_FIRST if self.age < LEARNING else LEAK_DOWN
        self.leak += (LEAK_UP if leak > self.leak else down) * (leak - self.leak)
        self.leak = min(LEAK_MAX, max(LEAK_MIN, self.leak))
        self.learn(far, near, begin)
        return True

    def learn(self, far: History, near: Samples, begin: int) -> None:
        """Take ``near``, from number ``begin`` on, as echo and nothing else."""
        sent = far.take(begin - self.lag - TAPS + 1, begin + len(near) - self.lag)
        self._power = self._power * FORGET + _products(sent)
        self._product = self._product * FORGET + np.correlate(sent, near, "valid")[::-1]
        self.age += 1
        if self.age <= FITS or self.age % 4 == 0:
            self._fit()

    def find_moved(self, far: History, near: Samples, begin: int) -> "EchoPath | None":
        """Return the same path with another delay, if that explains ``near``: a jitter buffer has changed its mind."""
        end, size = begin + len(near), len(near)
        echo = self.foretell(far, begin - REACH, end + REACH)
        common = np.correlate(echo, near, "valid")
        sums = np.concatenate(([0.0], np.cumsum(np.square(echo, dtype=np.float64))))
        explained = np.where(common > 0, common, 0.0) ** 2 / (sums[size:] - sums[:-size] + size)
        at = int(explained.argmax())
        if abs(at - REACH) < MOVED_MIN or explained[at] < (1 - LEFT_OF_MOVED) * float(near @ near):
            return None
        other = EchoPath(self.lag + REACH - at)
        other.weights, other.leak = self.weights, self.leak
        other._power, other._product = self._power, self._product
        return other

    def _compare(self, far: History, near: Samples, begin: int) -> tuple[float, float, float]:
        """Return the energy that is left over, that of the echo, and that of the frame."""
        echo = self.foretell(far, begin, begin + len(near))
        energy, expected, common = float(near @ near), float(echo @ echo), float(near @ echo)
        gain = min(GAIN_MAX, max(GAIN_MIN, common / (expected + 1.0)))
        left = energy - 2 * gain * common + gain * gain * expected
        return max(0.0, left), gain * gain * expected, energy

    def _fit(self) -> None:
        """Find the filter that explains best what was learned, and keep its greatest tap where it has room."""
        ridge = RIDGE * float(np.trace(self._power)) / TAPS + 1.0
        power = self._power + ridge * np.eye(TAPS)
        self.weights = np.linalg.solve(power, self._product).astype(np.float32)
        shift = self.peak - self.lag - LEAD
        if abs(shift) > LEAD // 2:  # the two clocks drift
            self.lag += shift
            self.weights, self._product = _shifted(self.weights, shift), _shifted(self._product, shift)


def _shifted(values: NDArray[Any], shift: int) -> NDArray[Any]:
    """Move values to the left, or to the right where ``shift`` is negative; zeros come after them."""
    moved = np.zeros_like(values)
    if shift > 0:
        moved[:-shift] = values[shift:]
    else:
        moved[-shift:] = values[:shift]
    return moved


def _products(sent: Samples) -> NDArray[np.float32]:
    """Sum up the products of all pairs of taps over the samples that come after the first ``TAPS - 1``.

    From one pair to the next, each a tap later, one product is won at the beginning and one is lost at the end: so only
    the pairs of the first tap are multiplied out, and the others follow along the diagonals.
    """
    won, lost = sent[TAPS - 2 :: -1].astype(np.float64), sent[:-TAPS:-1].astype(np.float64)
    steps = np.zeros((TAPS - 1, 2 * TAPS))
    steps[:, : TAPS - 1] = np.outer(won, won) - np.outer(lost, lost)
    along = np.empty((TAPS, TAPS))
    along[:, 0] = np.correlate(sent, sent[TAPS - 1 :], "valid")[::-1]
    row, column = steps.strides
    along[:, 1:] = np.ndarray((TAPS, TAPS - 1), np.float64, steps, 0, (column, row + column))
    return np.cumsum(along, axis=1).astype(np.float32).take(DIAGONALS)
