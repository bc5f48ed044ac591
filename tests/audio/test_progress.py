"""Call-progress tones: the frequencies, the cadence, and no click where one period meets the next."""

import numpy as np
import pytest
from audio.clicks import click_dbfs

from sipagent.audio.progress import TONES, Country, Name, progress_tone
from sipagent.audio.tones import fade

ALL = [(country, name) for country, tones in TONES.items() for name in tones]


@pytest.mark.parametrize(("country", "name"), ALL)
@pytest.mark.parametrize("rate", [8_000, 24_000])
def test_a_tone_has_its_frequencies_and_its_cadence(country: Country, name: Name, rate: int) -> None:
    cadence = TONES[country][name]
    pcm = progress_tone(name, country, rate=rate)
    assert len(pcm) == rate * (sum(cadence.times_ms) or 1_000) // 1_000
    on_ms = cadence.times_ms[0] if cadence.times_ms else 1_000
    burst = pcm[: rate * on_ms // 1_000]
    spectrum = np.abs(np.fft.rfft(burst * np.hanning(len(burst)), 4 * rate))
    spectrum[: 100 * 4] = 0
    for frequency_hz in cadence.frequencies_hz:
        around = spectrum[4 * frequency_hz - 40 : 4 * frequency_hz + 40]
        assert abs(int(around.argmax()) - 40) <= 8, "within 2 Hz"
        assert around.max() > 0.6 * spectrum.max()
    at = 0
    for number, length_ms in enumerate(cadence.times_ms):
        part = pcm[at : at + rate * length_ms // 1_000]
        at += len(part)
        assert bool(part.any()) is (number % 2 == 0)


@pytest.mark.parametrize(("country", "name"), ALL)
def test_repeated_it_does_not_click(country: Country, name: Name) -> None:
    pcm = progress_tone(name, country, level_dbfs=-13)
    twice = fade(np.concatenate((pcm, pcm)))
    assert click_dbfs(twice) < -60.0


def test_every_country_has_every_tone() -> None:
    assert {frozenset(tones) for tones in TONES.values()} == {frozenset(("dial", "ring", "busy", "congestion"))}
