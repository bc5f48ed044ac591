"""Recorded sound, and playing it frame by frame: prompts, hold music, filler; once, or for ever."""

from collections.abc import Iterable, Mapping
from math import log10
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray

from sipagent.audio.fades import FADE_MS, ramp
from sipagent.audio.g711 import SAMPLE_RATE, Pcm, to_pcm
from sipagent.audio.mix import gain
from sipagent.audio.tones import fade
from sipagent.audio.wav import WavError, read_wav

MAX_S: Final = 600
"""The longest clip: ten minutes of music are 10 MB; what is longer is a mistake, or an attack on memory."""

RATES: Final = (SAMPLE_RATE, 24_000)
"""Hz; those of calls, to which a clip is converted when it is read."""


class Clip:
    """Mono sound at the rates of calls.

    :param by_rate: the samples, by Hz; one rate at least.
    """

    def __init__(self, by_rate: Mapping[int, Pcm]) -> None:
        self._by_rate = dict(by_rate)

    @classmethod
    def read(cls, data: bytes, *, rates: Iterable[int] = RATES) -> "Clip":
        """Read a WAV file of any rate and any number of channels, which are made one; its edges are made soft.

        :raises WavError: when it is none that we read, is empty, or is longer than ``MAX_S``
        """
        rate, samples = read_wav(data)
        if not len(samples):
            raise WavError("a WAV file without a sample")
        if len(samples) > MAX_S * rate:
            raise WavError(f"a WAV file of more than {MAX_S} s")
        mono = to_pcm(samples.mean(axis=1))
        return cls({wanted: fade(_convert(mono, rate, wanted), rate=wanted) for wanted in rates})

    @property
    def duration_s(self) -> float:
        """How long it is."""
        rate = max(self._by_rate)
        return len(self._by_rate[rate]) / rate

    def at_level(self, dbfs: float) -> "Clip":
        """Return it as loud: its RMS level, its silences included, relative to 32,768."""
        pcm = self._by_rate[max(self._by_rate)]
        power = float(np.mean(np.square(pcm.astype(np.float64)))) / 32_768**2
        change = dbfs - 10 * log10(power) if power else 0.0
        return Clip({rate: gain(samples, change) for rate, samples in self._by_rate.items()})

    def at(self, rate: int) -> Pcm:
        """Return the samples at a rate in Hz; one that was not asked for when it was read is converted now."""
        if rate not in self._by_rate:
            source = max(self._by_rate)
            self._by_rate[rate] = _convert(self._by_rate[source], source, rate)
        return self._by_rate[rate]


class Player:
    """Plays samples, a frame at a time; it begins and stops along a ramp, so that nothing clicks.

    :param pcm: at the rate of the call; it is not changed.
    :param loops: whether it goes on from the beginning, for ever.
    :param rise_ms: of its beginning.
    :param fall_ms: of its end, and of a stop before it.
    """

    def __init__(
        self,
        pcm: Pcm,
        *,
        loops: bool = False,
        gain_db: float = 0.0,
        rate: int = SAMPLE_RATE,
        rise_ms: float = FADE_MS,
        fall_ms: float = FADE_MS,
    ) -> None:
        self._pcm = gain(pcm, gain_db)
        self._loops = loops and len(pcm) > 0
        self._rise = _factors(rise_ms, rate)
        self._fall = _factors(fall_ms, rate)
        self._at = 0
        self._left: int | None = None if self._loops else len(pcm)

    @property
    def is_over(self) -> bool:
        """Whether nothing of it is left."""
        return self._left == 0

    def next_frame(self, samples: int) -> Pcm | None:
        """Return the next samples, the last of them followed by silence; ``None`` once it is over."""
        if self.is_over:
            return None
        places = np.arange(self._at, self._at + samples)
        frame = self._pcm.take(places, mode="wrap" if self._loops else "clip")
        if self._at < len(self._rise):
            frame = _shape(frame, self._rise, places + 1)
        if self._left is not None:
            if self._left < samples + len(self._fall):
                frame = _shape(frame, self._fall, self._left - np.arange(samples))
            self._left = max(0, self._left - samples)
        self._at += samples
        return frame

    def stop(self) -> None:
        """Fade out from the next frame on; to stop twice is no error."""
        fall = len(self._fall) - 2
        self._left = fall if self._left is None else min(self._left, fall)


def _factors(duration_ms: float, rate: int) -> NDArray[np.float64]:
    """Silence, the ramp, and all of it: to be looked up by how many samples it is since nothing was heard."""
    return np.concatenate(([0.0], ramp(max(1, round(duration_ms * rate / 1_000))), [1.0]))


def _shape(frame: Pcm, factors: NDArray[np.float64], places: NDArray[np.int64]) -> Pcm:
    return to_pcm(frame * factors[np.clip(places, 0, len(factors) - 1)])


def _convert(pcm: Pcm, source: int, target: int) -> Pcm:
    """In one shot, by soxr's best quality; not for a live path."""
    return pcm if source == target else np.asarray(soxr.resample(pcm, source, target), np.int16)
