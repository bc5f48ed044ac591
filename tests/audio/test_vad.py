"""The detector: speech is heard soon, noise is learned, loss is forgiven."""

import shutil
import subprocess
from functools import cache
from itertools import pairwise
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from numpy.typing import NDArray

from sipagent.audio.g711 import SILENCE, encode
from sipagent.audio.tones import dtmf, sine
from sipagent.audio.vad import FLOOR_MIN_DBFS, ROOTS, SLICE_MS, EnergyVad, VadSettings, dbfs_of, level_dbfs
from sipagent.audio.wav import read_wav
from sipagent.formats import PCM, PCMU, format_of

Signal = NDArray[np.float64]
"""Samples at 8 kHz, full scale 32,768."""

RATE = 8_000
SLICE_BYTES = SLICE_MS * RATE // 1_000
CODECS = ("PCMU", "PCMA")
SENTENCES = (
    "Hello, is anybody there?",
    "I would like to change my appointment, please.",
    "Excuse me, I have a question about my bill.",
    "We were away a year ago.",
    "No, that is not what I meant.",
)


def scale(signal: Signal, dbfs: float) -> Signal:
    """Bring the active part of a signal to an RMS level: pauses, 30 dB below the loudest 20 ms, do not count."""
    powers = np.array([np.mean(part**2) for part in slices(signal)])
    active = powers[powers > powers.max() / 1_000].mean()
    scaled: Signal = signal * 32_768 * 10 ** (dbfs / 20) / np.sqrt(active)
    return scaled


def slices(signal: Signal) -> NDArray[np.float64]:
    return signal[: len(signal) // SLICE_BYTES * SLICE_BYTES].reshape(-1, SLICE_BYTES)


def band(signal: Signal, tilt: float = 0.0) -> Signal:
    """Leave the telephone's 300 to 3,400 Hz, falling by ``tilt`` powers of the frequency."""
    spectrum = np.fft.rfft(signal)
    frequencies = np.fft.rfftfreq(len(signal), 1 / RATE)
    passed = (frequencies >= 300) & (frequencies <= 3_400)
    spectrum[passed] /= frequencies[passed] ** tilt
    spectrum[~passed] = 0
    return np.fft.irfft(spectrum, len(signal))


def noise(seconds: float, dbfs: float, *, seed: int = 1, tilt: float = 0.0) -> Signal:
    return scale(band(np.random.default_rng(seed).standard_normal(int(seconds * RATE)), tilt), dbfs)


def quiet(seconds: float) -> Signal:
    return np.zeros(int(seconds * RATE))


def syllables(seconds: float, dbfs: float, *, seed: int = 1, depth: float = 1.0) -> Signal:
    """Speech as far as loudness goes: a wandering voice and some breath, four uneven syllables a second.

    With a ``depth`` below 1 the voice never stops between them.
    """
    generator = np.random.default_rng(seed)
    time = np.arange(int(seconds * RATE)) / RATE
    pitch = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * time + seed)) / RATE
    voice = np.sum([np.sin(harmonic * pitch) / harmonic for harmonic in range(1, 26)], axis=0)
    breath = 0.2 * generator.standard_normal(len(time))
    strengths = np.repeat(generator.uniform(0.5, 1.0, int(seconds * 4) + 1), RATE // 4)[: len(time)]
    envelope = strengths * (1 - depth + depth * np.abs(np.sin(np.pi * 4 * time)) ** 1.5)
    return scale(band((voice + breath) * envelope), dbfs)


def frames(signal: Signal, codec: str = "PCMU", size: int = SLICE_BYTES) -> list[bytes]:
    data = encode(np.rint(signal).clip(-32_768, 32_767).astype(np.int16), codec)
    return [data[start : start + size] for start in range(0, len(data) - size + 1, size)]


def hear(vad: EnergyVad, heard: list[bytes]) -> list[bool]:
    return [vad.is_speech(frame) for frame in heard]


def latency_ms(before: Signal, speech: Signal, *, codec: str = "PCMU", size: int = SLICE_BYTES) -> float:
    """Return how long after the onset of ``speech`` the detector says so; before that it must not."""
    onset = len(before) + onset_of(speech)
    signal = np.concatenate([before, speech])
    if len(before):
        signal += np.resize(before, len(signal)) * (np.arange(len(signal)) >= len(before))
    said = hear(EnergyVad(format_of(codec)), frames(signal, codec, size))
    first = said.index(True)
    assert (first + 1) * size > onset, "it spoke before the speaker"
    return ((first + 1) * size - onset) / RATE * 1_000


def onset_of(speech: Signal) -> int:
    """Return the first sample whose 10 ms are within 20 dB of the active level."""
    active = np.mean(np.square(scale(speech, 0))) / np.mean(np.square(speech))
    powers = np.convolve(np.square(speech), np.ones(80) / 80, "valid")
    return int(np.argmax(powers * active > 32_768**2 / 100))


# --- speech


@pytest.mark.parametrize("dbfs", [-30, -25, -20, -15])
@pytest.mark.parametrize("codec", CODECS)
def test_speech_after_digital_silence(codec: str, dbfs: float) -> None:
    found = [latency_ms(quiet(1 + seed * 0.0037), syllables(1, dbfs, seed=seed), codec=codec) for seed in range(12)]
    assert median(found) <= 60
    assert max(found) <= 100


@pytest.mark.parametrize(("dbfs", "limit_ms"), [(-30, 100), (-25, 80), (-20, 60), (-15, 60)])
def test_speech_is_the_first_thing_in_a_call(dbfs: float, limit_ms: float) -> None:
    found = [latency_ms(quiet(seed * 0.0017), syllables(1, dbfs, seed=seed)) for seed in range(12)]
    assert median(found) <= limit_ms, "it must first prove louder than the noise of any line"
    assert max(found) <= 100


@pytest.mark.parametrize("dbfs", [-30, -20])
def test_speech_out_of_noise(dbfs: float) -> None:
    found = [
        latency_ms(noise(2 + seed * 0.0037, dbfs - 20, seed=seed), syllables(1, dbfs, seed=seed)) for seed in range(12)
    ]
    assert median(found) <= 60
    assert max(found) <= 120


@pytest.mark.parametrize("size", [40, 80, 160, 240, 320, 480, 37])
def test_frames_of_any_length(size: int) -> None:
    found = [latency_ms(quiet(1 + seed * 0.0037), syllables(1, -22, seed=seed), size=size) for seed in range(8)]
    assert median(found) <= 60 + size / 8


@pytest.mark.parametrize("background_dbfs", [None, -50.0])
@pytest.mark.parametrize("dbfs", [-30, -15])
def test_talk_of_ten_seconds_never_becomes_noise(dbfs: float, background_dbfs: float | None) -> None:
    talk = syllables(12, dbfs)
    if background_dbfs is not None:
        talk += noise(12, background_dbfs)
    vad = EnergyVad(PCMU)
    said = hear(vad, frames(talk))
    each_second = [sum(said[start : start + 50]) for start in range(0, 600, 50)]
    assert min(each_second) >= 25, each_second
    assert longest_gap_ms(said) <= 240, "no pause that would end a turn"
    assert vad.floor_dbfs < dbfs - 10


def test_talk_all_on_vowels_never_becomes_noise() -> None:
    vad = EnergyVad(PCMU)
    hear(vad, frames(quiet(1)))
    said = hear(vad, frames(syllables(10, -20, depth=0.75)))
    assert sum(said) >= 480
    assert vad.floor_dbfs <= FLOOR_MIN_DBFS + 10


def longest_gap_ms(said: list[bool]) -> int:
    spoken = [index for index, speech in enumerate(said) if speech]
    return max(later - earlier - 1 for earlier, later in pairwise(spoken)) * 20


def test_speech_ends_when_it_ends() -> None:
    vad = EnergyVad(PCMU)
    hear(vad, frames(syllables(2, -20)))
    said = hear(vad, frames(quiet(1)))
    assert said.index(False) <= 2
    assert not any(said[2:])


# --- real voices, where the machine has one


@cache
def utterances(directory: Path) -> list[Signal]:
    command = shutil.which("flite") or shutil.which("espeak-ng")
    if command is None:
        return []
    found = []
    for sentence in SENTENCES:
        path = directory / "utterance.wav"
        flags = ["-voice", "kal", "-t", sentence, "-o"] if command.endswith("flite") else [sentence, "-w"]
        subprocess.run([command, *flags, str(path)], check=True, capture_output=True)
        rate, samples = read_wav(path.read_bytes())
        length = len(samples) * RATE // rate
        spectrum = np.fft.rfft(samples[:, 0].astype(np.float64))[: length // 2 + 1]
        found.append(band(np.fft.irfft(spectrum, length)))
    return found


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> list[Signal]:
    """Real sentences at 8 kHz, in the telephone's band."""
    found = utterances(tmp_path_factory.mktemp("voices"))
    if not found:
        pytest.skip("no voice: install flite or espeak-ng")
    return found


@pytest.mark.parametrize("dbfs", [-30, -25, -20, -15])
def test_a_voice_is_heard_soon(voices: list[Signal], dbfs: float) -> None:
    found = [latency_ms(quiet(1 + shift * 0.0057), scale(voice, dbfs)) for voice in voices for shift in range(4)]
    assert median(found) <= 60
    assert max(found) <= 300, "a sentence may begin with a soft consonant"


@pytest.mark.parametrize("dbfs", [-30, -15])
def test_a_voice_that_never_pauses_is_heard_throughout(voices: list[Signal], dbfs: float) -> None:
    parts = slices(np.concatenate([scale(voice, dbfs) for voice in voices]))
    powers = np.mean(np.square(parts), axis=1)
    talk = np.resize(parts[powers > powers.max() / 1_000], (500, SLICE_BYTES)).ravel()
    said = hear(EnergyVad(PCMU), frames(talk + noise(10, -55)))
    assert sum(said[-250:]) >= 0.9 * sum(said[:250]), "the second half is heard as well as the first"
    assert longest_gap_ms(said) <= 300


# --- noise


@pytest.mark.parametrize("tilt", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("dbfs", [-60, -50, -45, -40, -35, -30])
@pytest.mark.parametrize("codec", CODECS)
def test_steady_noise_is_learned_and_never_speech(codec: str, dbfs: float, tilt: float) -> None:
    vad = EnergyVad(format_of(codec))
    said = hear(vad, frames(noise(10, dbfs, tilt=tilt), codec))
    assert not any(said)
    assert vad.floor_dbfs == pytest.approx(dbfs, abs=2.5)


@pytest.mark.parametrize(("before", "after"), [(-60, -40), (-55, -32), (-45, -30), (-40, -20)])
def test_a_step_of_noise_is_learned_in_a_second(before: float, after: float) -> None:
    vad = EnergyVad(PCMU)
    hear(vad, frames(noise(3, before)))
    said = hear(vad, frames(noise(5, after, seed=2)))
    assert not any(said[60:])
    assert vad.floor_dbfs == pytest.approx(after, abs=2.5)
    assert not any(hear(vad, frames(noise(3, before)))), "and down again it goes without a word"
    assert vad.floor_dbfs == pytest.approx(before, abs=2.5)


@pytest.mark.parametrize("tone", [sine(50, 5_000, level_dbfs=-25), sine(425, 5_000), dtmf("5", 5_000)])
def test_hum_and_tones_are_learned_too(tone: NDArray[np.int16]) -> None:
    vad = EnergyVad(PCMU)
    said = hear(vad, frames(tone.astype(np.float64)))
    assert not any(said[60:])
    assert latency_after(vad, syllables(1, -25)) <= 200, "a tone leaves no deafness behind"


def latency_after(vad: EnergyVad, speech: Signal) -> float:
    """Return the latency of speech that follows 300 ms of digital silence."""
    said = hear(vad, frames(np.concatenate([quiet(0.3), speech])))
    return (said.index(True) + 1) * 20 - 300


def test_digital_silence_is_never_speech() -> None:
    for codec in CODECS:
        vad = EnergyVad(format_of(codec))
        assert not any(hear(vad, [bytes([SILENCE[codec]]) * SLICE_BYTES] * 500))
        assert vad.floor_dbfs == pytest.approx(FLOOR_MIN_DBFS)


# --- loss


@pytest.mark.parametrize(("probability", "burst"), [(0.02, 1), (0.1, 1), (0.02, 3)])
@pytest.mark.parametrize("dbfs", [-45, -35, -30])
def test_lost_frames_do_not_lower_the_floor(dbfs: float, probability: float, burst: int) -> None:
    generator = np.random.default_rng(3)
    heard = frames(noise(20, dbfs))
    for start in np.flatnonzero(generator.random(len(heard)) < probability):
        heard[start : start + burst] = [bytes([SILENCE["PCMU"]]) * SLICE_BYTES] * burst
    vad = EnergyVad(PCMU)
    assert not any(hear(vad, heard))
    assert vad.floor_dbfs == pytest.approx(dbfs, abs=4)


def test_a_lost_frame_does_not_break_speech() -> None:
    heard = frames(scale(syllables(0.12, -20), -20))
    loud = [frame for frame in heard if level_dbfs(frame, PCMU) > -25]
    vad = EnergyVad(PCMU)
    hear(vad, [*frames(quiet(0.5)), loud[0], loud[0]])
    assert vad.is_speech(bytes([SILENCE["PCMU"]]) * SLICE_BYTES)


# --- the gate, the levels, the rest


def test_the_gate_is_absolute() -> None:
    vad = EnergyVad(PCMU)
    hear(vad, frames(quiet(2)))
    assert not any(hear(vad, frames(syllables(2, -52))))
    assert any(
        hear(EnergyVad(PCMU, VadSettings(gate_dbfs=-60)), frames(np.concatenate([quiet(2), syllables(2, -52)])))
    )


def test_the_gate_can_be_raised_and_lowered() -> None:
    vad = EnergyVad(PCMU)
    hear(vad, frames(quiet(1)))
    vad.gate_dbfs = -20
    assert vad.gate_dbfs == -20
    assert not any(hear(vad, frames(syllables(2, -30))))
    vad.gate_dbfs = -45
    assert any(hear(vad, frames(syllables(2, -30))))


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dbfs", [-60, -45, -30, -15])
def test_levels(codec: str, dbfs: float) -> None:
    vad = EnergyVad(format_of(codec))
    heard = frames(noise(2, dbfs), codec)
    levels = []
    for frame in heard:
        vad.is_speech(frame)
        levels.append(vad.level_dbfs)
    assert median(levels) == pytest.approx(dbfs, abs=1)
    assert level_dbfs(b"".join(heard), format_of(codec)) == pytest.approx(dbfs, abs=1)
    tone = encode(sine(437, 1_000, level_dbfs=dbfs), codec)
    assert level_dbfs(tone, format_of(codec)) == pytest.approx(dbfs + 2, abs=1)


def test_the_level_of_nothing() -> None:
    vad = EnergyVad(PCMU)
    assert vad.level_dbfs == -100
    assert level_dbfs(b"", PCMU) == level_dbfs(b"\xff", PCMU) == -100
    assert vad.is_speech(b"") is False


def test_both_laws_hear_the_same() -> None:
    signal = np.concatenate([noise(1, -50), syllables(3, -25), noise(2, -50)])
    mu, a = (hear(EnergyVad(format_of(codec)), frames(signal, codec)) for codec in CODECS)
    assert sum(x != y for x, y in zip(mu, a, strict=True)) <= 3


def test_linear_samples_are_heard_as_g711_is() -> None:
    signal = np.concatenate([quiet(1), syllables(2, -20), noise(2, -50)])
    wide = np.repeat(np.rint(signal).clip(-32_768, 32_767).astype("<i2"), PCM.rate // RATE)
    size = 20 * PCM.bytes_per_ms
    linear = [wide.tobytes()[start : start + size] for start in range(0, 2 * len(wide), size)]
    assert hear(EnergyVad(PCM), linear) == hear(EnergyVad(PCMU), frames(signal))
    assert level_dbfs(linear[60], PCM) == pytest.approx(level_dbfs(frames(signal)[60], PCMU), abs=0.5)


@pytest.mark.parametrize("size", [1, 160, 256, 257, 1000])
@pytest.mark.parametrize("code", [0x00, 0x2A, 0x55, 0x7F, 0x80, 0xAA])
def test_the_level_is_exact_up_to_full_scale(code: int, size: int) -> None:
    """The roots of a slice are summed up by a checksum, which must not wrap."""
    audio = bytes([code]) * size
    assert level_dbfs(audio, PCMU) == dbfs_of(sum(audio.translate(ROOTS["PCMU"])) / size)
