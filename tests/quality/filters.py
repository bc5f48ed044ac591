"""The resampler on the bench: how pure a tone stays, what passes, and how late it comes; soxr stands beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray

from sipagent.audio.g711 import Pcm, to_pcm
from sipagent.audio.resample import Resampler

WAYS: Final = ((8_000, 24_000), (24_000, 8_000), (16_000, 24_000), (24_000, 16_000))
"""Hz: the telephone's rates and the model's."""
TEST_HZ: Final = 1_000.0
PASSBAND_HZ: Final = tuple(float(hertz) for hertz in range(100, 3_401, 100))
RESPONSE_HZ: Final = (*PASSBAND_HZ, *(float(hertz) for hertz in range(3_500, 11_951, 100)))
PEAK: Final = 23_000.0
"""-3 dBFS: loud, and room for the ripple."""
SECONDS: Final = 1.0
SETTLE_S: Final = 0.1
FRAME_S: Final = 0.020
"""The stream comes in pieces of that length, as it does in a call."""


@dataclass(frozen=True, slots=True)
class Filter:
    """One way."""

    source_rate: int
    target_rate: int
    thdn_db: float
    """Everything but the tone, against the tone, at 1 kHz."""
    oracle_thdn_db: float
    """The same of soxr's best quality, on the whole tone at once."""
    ripple_db: float
    """The greatest gain or loss from 100 Hz to 3.4 kHz."""
    delay_ms: float
    response: Sequence[tuple[float, float]]
    """Hz and dB; of a tone for which the target's rate is too low, what is left of it at whatever frequency."""


def measure_filters() -> list[Filter]:
    """Measure every way."""
    return [_measure(source, target) for source, target in WAYS]


def _measure(source: int, target: int) -> Filter:
    tone = _tone(TEST_HZ, source)
    oracle = soxr.resample(tone, source, target, "VHQ")
    hertz = [each for each in RESPONSE_HZ if each < source / 2 - 25]
    response = [(each, gain_db(_stream(_tone(each, source), source, target), each, target)) for each in hertz]
    ripple = max(abs(gain) for each, gain in response if each in PASSBAND_HZ)
    converted = _stream(tone, source, target)
    thdn = thdn_db(converted, TEST_HZ, target)
    return Filter(
        source, target, thdn, thdn_db(oracle, TEST_HZ, target), ripple, _delay_ms(source, target), tuple(response)
    )


def _stream(pcm: Pcm, source: int, target: int) -> Pcm:
    """Convert in frames of 20 ms."""
    resampler = Resampler(source, target)
    step = round(FRAME_S * source)
    return np.concatenate([resampler.convert(pcm[at : at + step]) for at in range(0, len(pcm), step)])


def _tone(hertz: float, rate: int) -> Pcm:
    """A tone as pure as 16 bits are: rounded with dither, so that its error is noise and no harmonics."""
    time = np.arange(round(SECONDS * rate)) / rate
    dither = np.random.default_rng(1).triangular(-1, 0, 1, len(time))
    return to_pcm(PEAK * np.sin(2 * np.pi * hertz * time) + dither)


def gain_db(pcm: Pcm, hertz: float, rate: int) -> float:
    """Return how much louder than :data:`PEAK` the tone is, once it has settled, or what has become of it."""
    settled = _settled(pcm, rate)
    peak = np.hypot(*_fit(settled, hertz, rate)[0]) if hertz < rate / 2 else np.sqrt(2 * np.mean(settled**2))
    return float(20 * np.log10(max(1e-9, peak / PEAK)))


def thdn_db(pcm: Pcm, hertz: float, rate: int) -> float:
    """Return the power of all but the tone, against the tone's."""
    (cosine, sine), rest = _fit(_settled(pcm, rate), hertz, rate)
    return float(10 * np.log10(np.mean(rest**2) / ((cosine**2 + sine**2) / 2)))


def _delay_ms(source: int, target: int) -> float:
    """How late the peak of a single sample comes."""
    pulse: Pcm = np.zeros(round(SETTLE_S * source), np.int16)
    at = len(pulse) // 2
    pulse[at] = PEAK
    heard = np.abs(_stream(pulse, source, target).astype(np.float64))
    peak = int(np.argmax(heard))
    before, here, after = heard[peak - 1 : peak + 2]
    offset = 0.5 * (before - after) / (before - 2 * here + after)  # of the parabola through the three
    return round(float(((peak + offset) / target - at / source) * 1000), 3)


def _settled(pcm: Pcm, rate: int) -> NDArray[np.float64]:
    """Whole periods of every test tone, clear of both ends."""
    begin = round(SETTLE_S * rate)
    return pcm[begin : begin + round((SECONDS - 2 * SETTLE_S) * rate)].astype(np.float64)


def _fit(pcm: NDArray[np.float64], hertz: float, rate: int) -> tuple[tuple[float, float], NDArray[np.float64]]:
    """Return the tone's two amplitudes, and what is left without it."""
    phase = 2 * np.pi * hertz * np.arange(len(pcm)) / rate
    basis = np.stack((np.cos(phase), np.sin(phase)), axis=1)
    amplitudes, *_ = np.linalg.lstsq(basis, pcm, rcond=None)
    rest: NDArray[np.float64] = pcm - basis @ amplitudes
    return (float(amplitudes[0]), float(amplitudes[1])), rest
