import numpy as np
import pytest

from sipagent.audio.g711 import Pcm, to_pcm
from sipagent.audio.stretch import LONGEST_JUMP_MS, Jump, Quiet, find_jump, leap, level_of, room_for

RATES = (8_000, 16_000, 24_000, 48_000)


def voice(rate: int, ms: int, *, pitch_hz: float = 125.0, glide: float = 0.0, level: float = 6_000.0) -> Pcm:
    """A vowel: harmonics that fall by 6 dB an octave, its pitch rising by ``glide`` Hz a second."""
    time = np.arange(rate * ms // 1_000) / rate
    phase = 2 * np.pi * (pitch_hz * time + glide * time * time / 2)
    harmonics = range(1, int(3_400 / pitch_hz))
    return to_pcm(level * sum(np.sin(n * phase + n) / n for n in harmonics) / 2)


def noise(rate: int, ms: int, *, level_dbfs: float = -60.0, seed: int = 1) -> Pcm:
    samples = np.random.default_rng(seed).standard_normal(rate * ms // 1_000)
    return to_pcm(samples * 32_768 * 10 ** (level_dbfs / 20))


def roughness(pcm: Pcm) -> float:
    """The greatest bend between three neighbours: a click is one."""
    return float(np.abs(np.diff(pcm.astype(np.float64), 2)).max())


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("back", [False, True])
@pytest.mark.parametrize("pitch_hz", [80.0, 125.0, 210.0, 320.0])
def test_a_voice_jumps_by_whole_periods(rate: int, back: bool, pitch_hz: float) -> None:
    signal = voice(rate, 60, pitch_hz=pitch_hz)
    jump = find_jump(signal, rate * 20 // 1_000, rate=rate, back=back)
    periods = abs(jump.samples) / rate * pitch_hz
    assert (jump.samples < 0) is back
    assert round(periods) >= 1
    assert periods == pytest.approx(round(periods), abs=0.51 * pitch_hz / rate + 0.01)
    assert jump.likeness > 0.97
    assert abs(jump.samples) <= rate * LONGEST_JUMP_MS / 1_000


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("back", [False, True])
def test_a_voice_is_changed_in_length_alone(rate: int, back: bool) -> None:
    """Neither a click nor another loudness: the vowel of a gliding pitch goes on."""
    signal = voice(rate, 80, glide=60.0)
    at = rate * 30 // 1_000
    jump = find_jump(signal, at, rate=rate, back=back)
    changed = leap(signal, at, jump, rate=rate)
    assert len(changed) == len(signal) - jump.samples
    assert np.array_equal(changed[:at], signal[:at])
    assert np.array_equal(changed[-rate // 100 :], signal[-rate // 100 :])
    assert roughness(changed) <= 1.15 * roughness(signal)
    fade = changed[at : at + rate * 8 // 1_000]
    assert level_of(fade) == pytest.approx(level_of(signal), abs=1.0)


def test_a_tone_goes_on_in_phase() -> None:
    """Many jumps in a row leave a sine a sine."""
    rate = 8_000
    tone = to_pcm(8_000 * np.sin(2 * np.pi * 440 * np.arange(4 * rate) / rate))
    out, rest = tone[:400], tone[400:]
    while len(rest) >= 400:
        whole = np.concatenate((out[-400:], rest[:400]))
        jump = find_jump(whole, 400, rate=rate)
        changed = leap(whole, 400, jump, rate=rate)[400:]
        out, rest = np.concatenate((out, changed)), rest[400:]
    spectrum = np.abs(np.fft.rfft(out * np.hanning(len(out)))) ** 2
    peak = int(spectrum.argmax())
    assert peak * rate / len(out) == pytest.approx(440, abs=3)
    near = spectrum[peak - 40 : peak + 41].sum()
    assert 10 * np.log10((spectrum.sum() - near) / near) < -30
    assert len(out) < 0.8 * len(tone)


@pytest.mark.parametrize("samples", [160, -160])
def test_noise_keeps_its_power(samples: int) -> None:
    """Unlike sounds are not added as if they were like: no dip of 3 dB."""
    levels = []
    for seed in range(40):
        signal = noise(8_000, 80, level_dbfs=-40.0, seed=seed)
        changed = leap(signal, 240, Jump(samples, 0.0), rate=8_000)
        assert len(changed) == 640 - samples
        levels.append(level_of(changed[240:272]))
    assert np.mean(levels) == pytest.approx(-40.0, abs=0.7)


def test_what_has_no_room_stays() -> None:
    signal = voice(8_000, 20)
    assert find_jump(signal, 0, rate=8_000, back=True).samples == 0
    assert find_jump(signal, 150, rate=8_000).samples == 0
    assert find_jump(signal[:30], 0, rate=8_000).samples == 0
    assert leap(signal, 80, Jump(0, 0.0), rate=8_000) is signal
    assert leap(signal, 80, Jump(80, 0.0), rate=8_000) is signal, "nothing to fade into"
    assert len(signal) < room_for(8_000)


def test_digital_silence_and_full_scale_are_no_error() -> None:
    for signal in (np.zeros(640, np.int16), np.full(640, -32_768, np.int16)):
        for back in (False, True):
            jump = find_jump(signal, 320, rate=8_000, back=back)
            assert len(leap(signal, 320, jump, rate=8_000)) == 640 - jump.samples


def test_a_pause_is_told_from_speech() -> None:
    quiet = Quiet()
    pauses = [quiet.hear(noise(8_000, 20, level_dbfs=-48.0, seed=seed)) for seed in range(100)]
    assert pauses[50:] == [True] * 50, "after a second the noise of this line is known"
    assert [quiet.hear(voice(8_000, 20)) for _ in range(200)] == [False] * 200, "four seconds are no noise yet"
    back = [quiet.hear(noise(8_000, 20, level_dbfs=-48.0, seed=seed)) for seed in range(20)]
    assert back == [True] * 20
    assert quiet.hear(np.zeros(160, np.int16))
    assert quiet.hear(noise(8_000, 20, level_dbfs=-58.0)), "quiet on any line"


def test_levels() -> None:
    assert level_of(np.zeros(160, np.int16)) == -100.0
    assert level_of(np.zeros(0, np.int16)) == -100.0
    assert level_of(np.full(160, 16_384, np.int16)) == pytest.approx(-6.02, abs=0.01)
