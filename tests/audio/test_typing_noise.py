"""The sound of a keyboard."""

from random import Random

import numpy as np
import pytest

from sipagent.audio.typing_noise import DURATION_S, typing_noise


@pytest.mark.parametrize("rate", [8_000, 24_000])
def test_it_is_as_loud_as_wanted_and_has_no_seam(rate: int) -> None:
    pcm = typing_noise(-40.0, random=Random(1), rate=rate).astype(np.float64)
    assert len(pcm) == DURATION_S * rate
    assert 20 * np.log10(np.sqrt(np.mean(pcm**2)) / 32_768) == pytest.approx(-40.0, abs=0.5)
    assert abs(pcm[0]) <= 1
    assert abs(pcm[-1]) <= 1


def test_it_is_keys_with_silence_between() -> None:
    rate = 8_000
    pcm = typing_noise(-40.0, random=Random(1), rate=rate).astype(np.float64)
    frames = np.sqrt(np.mean(pcm.reshape(-1, rate // 100) ** 2, axis=1))  # 10 ms each
    loud = frames > 0.1 * frames.max()
    keys = int(np.sum(loud[1:] & ~loud[:-1]))
    assert 20 <= keys <= 80
    assert np.mean(loud) < 0.3
