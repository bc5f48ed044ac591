"""In-band keys: each heard once, however short, soft, detuned and noisy; and none where there is only a voice."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.random import Generator, default_rng
from numpy.typing import NDArray

from sipagent.audio.dtmf import DtmfDetector
from sipagent.audio.g711 import Pcm, decode, encode, to_pcm
from sipagent.audio.tones import DTMF_FREQUENCIES, chord, dtmf, silence, sine
from sipagent.audio.wav import read_wav

KEYS = "0123456789*#ABCD"
PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
"""Debian's asterisk-core-sounds-en-wav: half an hour of a real voice."""


def heard(pcm: Pcm, *, frame: int = 160, rate: int = 8_000) -> str:
    detector = DtmfDetector(rate=rate)
    return "".join(key for at in range(0, len(pcm), frame) for key in detector.receive(pcm[at : at + frame]))


def pair(
    key: str, on_ms: float, *, level_dbfs: float, twist_db: float = 0.0, off: Sequence[float] = (0.0, 0.0)
) -> NDArray[np.float64]:
    """A key whose high frequency is louder by ``twist_db``, and whose frequencies are off by these parts."""
    time = np.arange(round(on_ms * 8)) / 8_000
    low, high = (frequency * (1 + part) for frequency, part in zip(DTMF_FREQUENCIES[key], off, strict=True))
    strengths = 10 ** (-twist_db / 40), 10 ** (twist_db / 40)
    amplitude = 32_768 * 10 ** (level_dbfs / 20) * (2 / (strengths[0] ** 2 + strengths[1] ** 2)) ** 0.5
    pair: NDArray[np.float64] = amplitude * (
        strengths[0] * np.sin(2 * np.pi * low * time) + strengths[1] * np.sin(2 * np.pi * high * time + 1.0)
    )
    return pair


def dialled(keys: str, random: Generator, *, level_dbfs: float) -> Pcm:
    """Keys of 40 ms with pauses of 40 ms, each with a twist and off by up to 1.5 %; noise 12 dB below; μ-law."""
    parts = [np.zeros(int(random.integers(0, 400)))]
    for key in keys:
        off = random.uniform(-0.015, 0.015, 2).tolist()
        parts += [pair(key, 40, level_dbfs=level_dbfs, twist_db=random.uniform(-7, 5), off=off), np.zeros(320)]
    sound = np.concatenate(parts)
    noise = random.normal(0, 32_768 * 10 ** ((level_dbfs - 12) / 20), len(sound))
    return decode(encode(to_pcm(sound + noise), "PCMU"), "PCMU")


@pytest.mark.parametrize("level_dbfs", [-30.0, -20.0, -8.0])
@pytest.mark.parametrize("seed", range(5))
def test_the_shortest_keys_in_noise_are_each_heard_once(seed: int, level_dbfs: float) -> None:
    random = default_rng(seed)
    keys = "".join(random.choice(list(KEYS), 20)) + "5555" + KEYS
    assert heard(dialled(keys, random, level_dbfs=level_dbfs)) == keys


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000])
def test_at_any_rate(rate: int) -> None:
    parts = [part for key in KEYS for part in (dtmf(key, 50, rate=rate), silence(50, rate=rate))]
    assert heard(np.concatenate(parts), frame=rate // 50, rate=rate) == KEYS


def test_a_long_key_is_one_press_and_two_presses_are_two() -> None:
    assert heard(np.concatenate((dtmf("7", 5_000), silence(200)))) == "7"
    assert heard(np.concatenate((dtmf("7", 100), silence(40), dtmf("7", 100), silence(40)))) == "77"


def test_a_lost_packet_does_not_make_two_of_one_press() -> None:
    for at in range(400, 900, 37):
        tone = dtmf("3", 200)
        tone[at : at + 160] = 0
        assert heard(np.concatenate((silence(20), tone, silence(60)))) == "3"


def test_it_says_while_a_key_is_down() -> None:
    detector = DtmfDetector()
    assert detector.receive(dtmf("1", 60)) == ["1"]
    assert detector.is_down
    assert not detector.receive(silence(100))
    assert not detector.is_down


@settings(deadline=None, max_examples=25)
@given(st.lists(st.integers(1, 700), min_size=1, max_size=40))
def test_how_the_samples_are_cut_up_makes_no_difference(sizes: list[int]) -> None:
    sound = np.concatenate([part for key in "159D" for part in (silence(45), dtmf(key, 45))] + [silence(50)])
    detector, keys, at = DtmfDetector(), "", 0
    for number in range(10_000):
        size = sizes[number % len(sizes)]
        keys += "".join(detector.receive(sound[at : at + size]))
        at += size
        if at >= len(sound):
            break
    assert keys == "159D"


@pytest.mark.parametrize(
    "sound",
    [
        pytest.param(sine(697, 500), id="one frequency"),
        pytest.param(chord((697, 770), 500), id="two rows"),
        pytest.param(chord((350, 440), 500), id="a dial tone"),
        pytest.param(chord((480, 620), 500), id="a busy tone"),
        pytest.param(chord((697 * 1.04, 1_336 * 1.04), 500), id="off by 4 %"),
        pytest.param(chord((697, 1_209, 941), 500), id="three frequencies"),
        pytest.param(to_pcm(pair("5", 500, level_dbfs=-10, twist_db=15)), id="the low one is missing nearly"),
        pytest.param(to_pcm(pair("5", 500, level_dbfs=-50)), id="too soft"),
        pytest.param(dtmf("5", 15), id="too short"),
        pytest.param(to_pcm(default_rng(1).normal(0, 3_000, 80_000)), id="noise"),
    ],
)
def test_what_is_no_key(sound: Pcm) -> None:
    assert heard(np.concatenate((silence(50), sound, silence(50)))) == ""


def test_a_key_with_an_overtone_is_a_voice() -> None:
    voice = chord((770, 1_336, 1_540), 300)
    assert heard(np.concatenate((silence(50), voice, silence(50)))) == ""


@pytest.mark.skipif(not PROMPTS.is_dir(), reason="asterisk-core-sounds-en-wav is not installed")
def test_minutes_of_a_voice_press_no_key() -> None:
    """Every fifth prompt, for the time it takes; the other four were tried, too."""
    files = sorted(PROMPTS.rglob("*.wav"))[::5]
    pressed = {}
    for file in files:
        rate, samples = read_wav(file.read_bytes())
        keys = heard(samples[:, 0], frame=8_000, rate=rate)
        if keys:
            pressed[file.name] = keys
    assert len(files) > 80
    assert pressed == {}
