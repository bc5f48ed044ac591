"""The resampler against its promises: band, noise, delay, and no trace of where a stream was cut."""

from itertools import pairwise, product
from math import lcm

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from sipagent.audio.g711 import to_pcm
from sipagent.audio.resample import RATES, Resampler, coefficients, half_length
from sipagent.errors import LocalProtocolError

RATIOS = [(source, target) for source, target in product(RATES, RATES) if source != target]
EDGES = {8_000: 3_400, 16_000: 7_200, 24_000: 10_800}
"""Hz, by the lower rate: what passes; what is stopped begins as far on the other side of its half."""
FULL = 32_767 * 10 ** (-1 / 20)

ratios = st.sampled_from(RATIOS)
every_ratio = pytest.mark.parametrize(("source", "target"), RATIOS)


def tone(frequency_hz: float, rate: int, *, amplitude: float = FULL) -> NDArray[np.int16]:
    """Return a second of a sine."""
    return to_pcm(amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(rate) / rate))


def fitted(pcm: NDArray[np.int16], frequency_hz: float, rate: int) -> tuple[complex, NDArray[np.float64]]:
    """Return the sine of this frequency in a signal, as amplitude and phase, and what is left without it."""
    angle = 2 * np.pi * frequency_hz * np.arange(len(pcm)) / rate
    basis = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    sine, cosine = np.linalg.lstsq(basis, pcm.astype(np.float64), rcond=None)[0]
    return complex(sine, cosine), pcm - basis @ (sine, cosine)


def db(ratio: float) -> float:
    return 20 * np.log10(max(ratio, 1e-12))


@every_ratio
def test_band(source: int, target: int) -> None:
    lower, rate = min(source, target), lcm(source, target)
    response = np.abs(np.fft.rfft(coefficients(source, target), 1 << 16)) / coefficients(source, target).sum()
    frequencies = np.fft.rfftfreq(1 << 16, 1 / rate)
    passed = response[frequencies <= EDGES[lower]]
    assert np.abs(20 * np.log10(passed)).max() <= 0.01
    assert db(response[frequencies >= lower - EDGES[lower]].max()) <= -75
    assert db(response[frequencies >= lower * 7 / 8].max()) <= -88


@every_ratio
def test_noise_and_distortion_at_1_khz(source: int, target: int) -> None:
    out = Resampler(source, target).convert(tone(1_000, source))[target // 10 :]
    amplitude, rest = fitted(out, 1_000, target)
    assert db(np.sqrt(2 * np.mean(rest**2)) / abs(amplitude)) <= -85
    assert abs(db(abs(amplitude) / FULL)) <= 0.001


@every_ratio
def test_delay_is_what_it_says(source: int, target: int) -> None:
    resampler = Resampler(source, target)
    out = resampler.convert(tone(1_000, source))[target // 10 :]
    amplitude, _ = fitted(out, 1_000, target)
    lag = (-np.angle(amplitude) / (2 * np.pi)) % 1.0  # of a period, which is 1 ms; 0.1 s are whole periods
    assert 0 < resampler.delay_ms <= 2
    assert (lag - resampler.delay_ms + 0.5) % 1.0 - 0.5 == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(("source", "target", "frequency_hz"), [
    (8_000, 24_000, 3_400), (24_000, 8_000, 3_400), (16_000, 24_000, 7_000), (24_000, 16_000, 7_000),
    (48_000, 24_000, 10_800), (24_000, 48_000, 10_800),
])  # fmt: skip
def test_edge_of_the_band_in_sound(source: int, target: int, frequency_hz: int) -> None:
    out = Resampler(source, target).convert(tone(frequency_hz, source))[target // 10 :]
    amplitude, rest = fitted(out, frequency_hz, target)
    assert abs(db(abs(amplitude) / FULL)) <= 0.1
    assert db(np.sqrt(2 * np.mean(rest**2)) / FULL) <= -70


def test_what_would_be_an_alias_is_gone() -> None:
    out = Resampler(24_000, 8_000).convert(tone(4_700, 24_000))[800:]
    assert db(np.abs(out).max() / FULL) <= -74


@every_ratio
def test_agrees_with_soxr(source: int, target: int) -> None:
    lower = min(source, target)
    noise = np.random.default_rng(4).normal(0, 3_000, source)
    spectrum = np.fft.rfft(noise)
    spectrum[np.fft.rfftfreq(source, 1 / source) > EDGES[lower]] = 0
    speech = to_pcm(np.fft.irfft(spectrum, source))
    expected = soxr.resample(speech.astype(np.float64), source, target, quality="VHQ")
    rate, late = lcm(source, target), half_length(source, target)
    up = soxr.resample(expected, target, rate, quality="VHQ") if rate != target else expected
    expected = np.concatenate([np.zeros(late), up])[:: rate // target][:target]
    ours = Resampler(source, target).convert(speech)
    inner = slice(target // 10, -target // 10)
    error = ours[inner] - expected[inner]
    assert db(np.sqrt(np.mean(error**2)) / np.sqrt(np.mean(expected[inner] ** 2))) <= -60


@given(ratios, st.lists(st.integers(0, 700), max_size=12), st.integers(0, 2**32 - 1))
def test_cuts_leave_no_trace(ratio: tuple[int, int], lengths: list[int], seed: int) -> None:
    total = sum(lengths)
    pcm = np.random.default_rng(seed).integers(-32_768, 32_768, total).astype(np.int16)
    ends = np.cumsum([0, *lengths])
    resampler = Resampler(*ratio)
    parts = [resampler.convert(pcm[start:end]) for start, end in pairwise(ends)]
    cut = np.concatenate([*parts, np.empty(0, np.int16)])
    assert np.array_equal(cut, Resampler(*ratio).convert(pcm))


@given(st.sampled_from(list(product(RATES, RATES))), st.lists(st.sampled_from([10, 20, 30, 60]), max_size=8))
def test_a_time_in_is_the_same_time_out(ratio: tuple[int, int], durations_ms: list[int]) -> None:
    resampler = Resampler(*ratio)
    for duration_ms in durations_ms:
        out = resampler.convert(np.zeros(ratio[0] * duration_ms // 1_000, np.int16))
        assert (len(out), out.dtype.name) == (ratio[1] * duration_ms // 1_000, "int16")


def test_overshoot_is_clipped_and_does_not_wrap() -> None:
    square = np.where(np.arange(1_600) // 20 % 2, 32_767, -32_768).astype(np.int16)
    out = Resampler(8_000, 24_000).convert(square)
    assert out.min() == -32_768
    assert out.max() == 32_767
    steps = np.abs(np.diff(out.astype(np.int64)))
    assert steps.max() < 32_768  # a wrapped sample would jump by 65,535


@pytest.mark.parametrize("rate", RATES)
def test_equal_rates_change_nothing(rate: int) -> None:
    resampler = Resampler(rate, rate)
    pcm = np.random.default_rng(1).integers(-32_768, 32_768, 1_001).astype(np.int16)
    assert resampler.delay_ms == 0
    assert np.array_equal(np.concatenate([resampler.convert(pcm[:7]), resampler.convert(pcm[7:])]), pcm)


def test_streams_do_not_share_their_past() -> None:
    first, second = Resampler(8_000, 24_000), Resampler(8_000, 24_000)
    first.convert(np.full(160, 10_000, np.int16))
    assert not second.convert(np.zeros(160, np.int16)).any()


def test_the_callers_array_may_be_used_again() -> None:
    pcm = np.full(160, 1_000, np.int16)
    resampler = Resampler(8_000, 24_000)
    resampler.convert(pcm)
    pcm[:] = 32_000
    steady = np.concatenate([resampler.convert(np.full(160, 1_000, np.int16)) for _ in range(2)])
    assert np.all(np.abs(steady - 1_000) <= 1)


def test_other_rates_and_samples_are_refused() -> None:
    with pytest.raises(LocalProtocolError, match="44100"):
        Resampler(44_100, 24_000)
    with pytest.raises(LocalProtocolError, match="float64"):
        Resampler(8_000, 24_000).convert(np.zeros(160))  # type: ignore[arg-type]
