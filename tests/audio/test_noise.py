"""Comfort noise: its level, its band, and no seam."""

from random import Random

import numpy as np
import pytest

from sipagent.audio.noise import comfort_noise


@pytest.mark.parametrize("rate", [8_000, 24_000])
@pytest.mark.parametrize("level_dbfs", [-60.0, -40.0])
def test_it_has_its_level_and_the_band_of_a_telephone(level_dbfs: float, rate: int) -> None:
    pcm = comfort_noise(level_dbfs, random=Random(1), rate=rate)
    assert len(pcm) == 4 * rate
    assert 10 * np.log10(np.mean((pcm / 32_768) ** 2)) == pytest.approx(level_dbfs, abs=0.2)
    power = np.abs(np.fft.rfft(pcm)) ** 2
    frequencies = np.fft.rfftfreq(len(pcm), 1 / rate)
    outside = (frequencies < 140) | (frequencies > 3_410)
    assert power[outside].mean() < 0.02 * power[~outside].mean()


def test_every_quarter_of_a_second_sounds_alike() -> None:
    pcm = comfort_noise(-40.0, random=Random(2)).astype(float)
    levels = 10 * np.log10(np.mean(np.roll(pcm, 1_000).reshape(-1, 2_000) ** 2, axis=1))
    assert np.ptp(levels) < 3.0, "the seam is in one of them"


def test_the_same_seed_makes_the_same_noise() -> None:
    one, two, other = (comfort_noise(-40.0, random=Random(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)
