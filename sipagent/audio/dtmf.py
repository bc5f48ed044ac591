"""Keypad digits heard in the audio itself (ITU-T Q.24), for callers whose network sends them no other way.

Every 5 ms the last 20 ms are judged: how much of their power is in one low and one high frequency of the keypad? Each
frequency is looked for a little below and above itself as well, because telephones are off by up to 1.5 %. It is a key
only if hardly anything else is there, the two are about equally loud, and neither has an overtone, as voices have.

- Four windows in a row that agree make a press: the shortest key is 40 ms, and a voice rarely stays put for so long.
- A press is over after eight windows without it: a pause of 40 ms separates two presses of one key, and the 20 ms of a
  lost packet do not.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from sipagent.audio.g711 import SAMPLE_RATE, Pcm

WINDOW_MS: Final = 20
STEP_MS: Final = 5

PRESSED: Final = 4
"""Windows that make a press."""
RELEASED: Final = 8
"""Windows that end it."""

LEVEL_MIN_DBFS: Final = -42.0
"""Both frequencies together. Keys arrive at -10 to -30."""
TONAL: Final = 0.82
"""The part of the power that the two must have: with noise 10 dB below them it is 0.91."""
TWIST_DB: Final = (-9.0, 7.0)
"""By how much the high one may be louder than the low one: lines swallow what is high, and some telephones make up."""
APART: Final = 5.0
"""The power of the loudest of four frequencies over that of the others."""
OVERTONE: Final = 0.12
"""The part of the two's power that an octave above either may have."""
DETUNED: Final = (-0.012, 0.0, 0.012)
"""Where a frequency is looked for."""

ROWS_HZ: Final = (697, 770, 852, 941)
COLUMNS_HZ: Final = (1_209, 1_336, 1_477, 1_633)
NOMINAL: Final = np.array(ROWS_HZ + COLUMNS_HZ, np.float64)
KEYS: Final = "123A456B789C*0#D"
"""By row, then by column."""
NO_KEY: Final = -1

POWER_MIN: Final = 32_768.0**2 * 10 ** (LEVEL_MIN_DBFS / 10)
PEAK_MIN: Final = POWER_MIN**0.5
"""What nowhere reaches the root of that power has nowhere that power."""
TWIST: Final = tuple(10 ** (db / 10) for db in TWIST_DB)


class DtmfDetector:
    """Hears one direction of one call.

    :param rate: Hz.
    """

    def __init__(self, *, rate: int = SAMPLE_RATE) -> None:
        self._window = rate * WINDOW_MS // 1_000
        self._step = rate * STEP_MS // 1_000
        bank = _make_bank(np.concatenate([NOMINAL * (1 + off) for off in DETUNED]), rate, self._window)
        self._bank = np.concatenate((bank.real, bank.imag), axis=1).astype(np.float32)
        self._octaves = _make_bank(2 * NOMINAL, rate, self._window)
        self._audio = np.zeros(self._window - self._step, np.int16)
        self._candidate = NO_KEY
        self._agreed = 0
        self._down = NO_KEY
        self._missed = 0

    @property
    def is_down(self) -> bool:
        """Whether a key is being pressed."""
        return self._down != NO_KEY

    def receive(self, pcm: Pcm) -> Sequence[str]:
        """Take the next samples, any number of them, and return the keys whose press is certain by them: seldom any."""
        audio = np.concatenate((self._audio, pcm))
        count = (len(audio) - self._window) // self._step + 1
        if count < 1:
            self._audio = audio
            return ()
        self._audio = audio[count * self._step :]
        return [key for judged in self._judge(audio, count) if (key := self._follow(judged))]

    def _judge(self, audio: Pcm, count: int) -> Sequence[int]:
        """Return the number of the key of each window; few hold any, and all but those are told by the power alone."""
        judged = [NO_KEY] * count
        if max(audio.max(), -int(audio.min())) < PEAK_MIN:
            return judged
        windows = sliding_window_view(audio.astype(np.float32), self._window)[: count * self._step : self._step]
        parts = np.square(windows @ self._bank)
        tones = (parts[:, :24] + parts[:, 24:]).reshape(-1, 3, 8).max(axis=1)
        power = np.einsum("ij,ij->i", windows, windows) / self._window
        pairs = tones[:, :4].max(axis=1) + tones[:, 4:].max(axis=1)
        for number in np.flatnonzero((pairs >= TONAL * power) & (power >= POWER_MIN)):
            overtones = np.abs(windows[number] @ self._octaves) ** 2
            judged[number] = _key(tones[number].tolist(), overtones.tolist())
        return judged

    def _follow(self, judged: int) -> str:
        """Take a window's key; return the key that is pressed by it, mostly none."""
        self._agreed = self._agreed + 1 if judged == self._candidate else 1
        self._candidate = judged
        self._missed = 0 if judged == self._down else self._missed + 1
        if self._missed >= RELEASED:
            self._down = NO_KEY
        if judged in (NO_KEY, self._down) or self._agreed != PRESSED:
            return ""
        self._down, self._missed = judged, 0
        return KEYS[judged]


def _key(tones: list[float], overtones: list[float]) -> int:
    """Return the number of the key that a window of hardly anything else holds, by the powers of the frequencies."""
    rows, columns = tones[:4], tones[4:]
    low, high = max(rows), max(columns)
    row, column = rows.index(low), columns.index(high)
    if not TWIST[0] * low <= high <= TWIST[1] * low:
        return NO_KEY
    if sum(power * APART > low for power in rows) > 1 or sum(power * APART > high for power in columns) > 1:
        return NO_KEY
    if max(overtones[row], overtones[4 + column]) > OVERTONE * (low + high):
        return NO_KEY
    return len(COLUMNS_HZ) * row + column


def _make_bank(frequencies: NDArray[np.float64], rate: int, window: int) -> NDArray[np.complex128]:
    """Return the matrix that takes samples to amplitudes, whose squares are powers; a column a frequency."""
    time = np.arange(window)[:, None] / rate
    bank: NDArray[np.complex128] = np.exp(-2j * np.pi * time * frequencies) * (np.sqrt(2) / window)
    return bank
