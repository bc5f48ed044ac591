"""Tones: their level, their frequencies, their edges."""

import numpy as np
import pytest
from numpy.typing import NDArray

from sipagent.audio.g711 import Pcm
from sipagent.audio.tones import DTMF_FREQUENCIES, beep, beeps, dtmf, fade, silence, sine
from sipagent.errors import LocalProtocolError


def rms_dbfs(pcm: Pcm) -> float:
    return float(10 * np.log10(np.mean((pcm / 32_768) ** 2)))


def peaks(pcm: Pcm, count: int) -> NDArray[np.int64]:
    """Return the loudest frequencies in Hz, lowest first; one second of signal resolves 1 Hz."""
    return np.sort(np.argsort(np.abs(np.fft.rfft(pcm, 8_000)))[-count:])


@pytest.mark.parametrize("frequency_hz", [440, 1_000, 3_400])
def test_a_sine_has_its_frequency_and_level(frequency_hz: int) -> None:
    pcm = sine(frequency_hz, 1_000, level_dbfs=-20)
    assert (pcm.dtype.name, pcm.shape, pcm[0]) == ("int16", (8_000,), 0)
    assert peaks(pcm, 1).tolist() == [frequency_hz]
    assert rms_dbfs(pcm) == pytest.approx(-20, abs=0.01)


def test_full_scale_does_not_wrap() -> None:
    assert sine(1_000, 1_000, level_dbfs=-3.0103).max() == 32_767
    assert rms_dbfs(sine(1_000, 1_000, level_dbfs=20)) > -2


@pytest.mark.parametrize("digit", "0123456789*#ABCD")
def test_every_key_has_its_pair(digit: str) -> None:
    pcm = dtmf(digit, 1_000)
    assert tuple(peaks(pcm, 2)) == DTMF_FREQUENCIES[digit]
    assert rms_dbfs(pcm) == pytest.approx(-13, abs=0.05)


def test_keys_are_all_different() -> None:
    assert len(set(DTMF_FREQUENCIES.values())) == 16
    assert np.array_equal(dtmf("a"), dtmf("A"))
    assert DTMF_FREQUENCIES["5"] == (770, 1_336)


@pytest.mark.parametrize("digit", ["", "E", "12"])
def test_other_keys_are_refused(digit: str) -> None:
    with pytest.raises(LocalProtocolError):
        dtmf(digit)


def test_a_beep_has_soft_edges() -> None:
    hard, soft = sine(1_000, 100), beep(1_000, 100)
    assert np.array_equal(hard[40:-40], soft[40:-40])
    assert np.abs(soft[:5]).max() < np.abs(hard[:5]).max() / 4
    assert np.abs(soft[-5:]).max() < np.abs(hard[-5:]).max() / 4


def test_fading_almost_nothing() -> None:
    assert [len(fade(silence(0))), len(fade(np.ones(1, np.int16))), len(fade(np.ones(3, np.int16)))] == [0, 1, 3]


def test_beeps_come_one_after_the_other() -> None:
    pcm = beeps((800, 100), (0, 50), (1_200, 100))
    assert np.array_equal(pcm, np.concatenate([beep(800, 100), silence(50), beep(1_200, 100)]))
    assert len(beeps()) == 0
