"""The model's arithmetic is tried with the model itself where the extra is installed, else with one of a few lines."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from random import Random

import numpy as np
import pytest

from sipagent.audio.g711 import SAMPLE_RATE, Pcm, encode_alaw, encode_ulaw
from sipagent.audio.resample import Resampler
from sipagent.audio.silero import (
    CONTEXT_SAMPLES,
    MAX_BATCH,
    WINDOW_MS,
    WINDOW_SAMPLES,
    Array,
    Model,
    Stream,
    find_model,
    is_available,
    judge,
    window_bytes,
)
from sipagent.audio.wav import read_wav
from sipagent.formats import PCM, PCMA, PCMU, AudioFormat

PROMPTS = Path("/usr/share/asterisk/sounds/en_US_f_Allison")
MUSIC = Path("/usr/share/asterisk/moh")

needs_model = pytest.mark.skipif(not is_available(), reason="the extra vad is not installed")
needs_prompts = pytest.mark.skipif(not PROMPTS.exists(), reason="Debian's asterisk-core-sounds-en-wav is not installed")


class Echo:
    """A model whose probability is the first sample of the window, and whose state counts windows."""

    def __init__(self) -> None:
        self.inputs: list[Array] = []

    def run(self, output_names: None, input_feed: Mapping[str, object]) -> Sequence[Array]:
        batch, state = input_feed["input"], input_feed["state"]
        assert isinstance(batch, np.ndarray)
        assert isinstance(state, np.ndarray)
        self.inputs.append(batch.copy())
        return [batch[:, CONTEXT_SAMPLES : CONTEXT_SAMPLES + 1], state + 1]


@pytest.fixture(scope="module")
def silero() -> Model:
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model: Model = onnxruntime.InferenceSession(find_model(), options)
    return model


def prompt(name: str) -> Pcm:
    _, samples = read_wav((PROMPTS / f"{name}.wav").read_bytes())
    return samples[:, 0]


def encode(pcm: Pcm, audio_format: AudioFormat) -> bytes:
    match audio_format.codec:
        case "PCMU":
            return encode_ulaw(pcm)
        case "PCMA":
            return encode_alaw(pcm)
    return Resampler(SAMPLE_RATE, audio_format.rate).convert(pcm).astype("<i2").tobytes()


def windows_of(pcm: Pcm, audio_format: AudioFormat = PCMU) -> list[bytes]:
    audio, size = encode(pcm, audio_format), window_bytes(audio_format)
    return [audio[at : at + size] for at in range(0, len(audio) - size + 1, size)]


def hear(model: Model, pcm: Pcm, audio_format: AudioFormat = PCMU) -> list[float]:
    stream = Stream(audio_format)
    return [judge(model, [(stream, window)])[0] for window in windows_of(pcm, audio_format)]


def test_a_window_goes_with_the_end_of_the_one_before() -> None:
    model, stream = Echo(), Stream(PCM)
    ramp = np.arange(6 * WINDOW_SAMPLES * 3, dtype="<i2").tobytes()
    size = window_bytes(PCM)
    for at in range(0, len(ramp), size):
        judge(model, [(stream, ramp[at : at + size])])
    assert model.inputs[0].shape == (1, CONTEXT_SAMPLES + WINDOW_SAMPLES)
    assert not model.inputs[0][0, :CONTEXT_SAMPLES].any()
    for before, after in pairwise(model.inputs):
        assert np.array_equal(after[0, :CONTEXT_SAMPLES], before[0, -CONTEXT_SAMPLES:])
    assert stream.state[0, 0] == 6
    stream.forget()
    assert not stream.context.any()
    assert not stream.state.any()


@pytest.mark.parametrize("audio_format", [PCMU, PCMA, PCM], ids=lambda each: each.codec)
def test_every_format_is_8_khz_to_the_model(audio_format: AudioFormat) -> None:
    tone = (8_000 * np.sin(2 * np.pi * 440 * np.arange(8 * WINDOW_SAMPLES) / SAMPLE_RATE)).astype(np.int16)
    stream = Stream(audio_format)
    heard = np.concatenate([stream.samples(window) for window in windows_of(tone, audio_format)])
    assert heard.dtype == np.float32
    assert len(heard) == len(tone)
    assert np.sqrt(np.mean(heard[WINDOW_SAMPLES:] ** 2)) == pytest.approx(8_000 / 32_768 / 2**0.5, rel=0.01)


@needs_model
@needs_prompts
@pytest.mark.parametrize("count", [2, 3, 5, 16, MAX_BATCH])
def test_a_batch_is_bit_identical_to_each_alone(silero: Model, count: int) -> None:
    """Streams that come and go at different windows of the same prompts, together and each alone."""
    random = Random(count)
    names = ("vm-isonphone", "privacy-prompt", "sorry", "vm-leavemsg")
    streams = [Stream(PCMU) for _ in range(count)]
    audio = [windows_of(prompt(names[number % len(names)]))[random.randrange(8) :] for number in range(count)]
    together: list[list[float]] = [[] for _ in range(count)]
    for step in range(30):
        present = [number for number in range(count) if step < len(audio[number]) and random.getrandbits(2)]
        if present:
            answers = judge(silero, [(streams[number], audio[number][len(together[number])]) for number in present])
            for number, answer in zip(present, answers, strict=True):
                together[number].append(answer)
    for number in range(count):
        alone = Stream(PCMU)
        assert together[number] == [
            judge(silero, [(alone, window)])[0] for window in audio[number][: len(together[number])]
        ]


@needs_model
@needs_prompts
@pytest.mark.parametrize("audio_format", [PCMU, PCMA, PCM], ids=lambda each: each.codec)
def test_it_hears_speech(silero: Model, audio_format: AudioFormat) -> None:
    """In a recorded sentence between two halves of a second of silence: all of it, and nothing after it."""
    quiet = np.zeros(SAMPLE_RATE // 2, np.int16)
    heard = hear(silero, np.concatenate((quiet, prompt("vm-isonphone"), quiet)), audio_format)
    lead = SAMPLE_RATE // 2 // WINDOW_SAMPLES
    assert max(heard[:lead]) < 0.1
    assert [chance >= 0.5 for chance in heard[lead + 3 : lead + 37]].count(True) >= 32
    assert max(heard[-(200 // WINDOW_MS) :]) < 0.3


@needs_model
def test_it_does_not_hear_tones_clicks_and_noise(silero: Model) -> None:
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(7).normal(0, 2_000, len(time)).astype(np.int16)
    clicks = np.zeros(len(time), np.int16)
    clicks[:: SAMPLE_RATE // 3] = 30_000
    keys = (6_000 * (np.sin(2 * np.pi * 697 * time) + np.sin(2 * np.pi * 1_209 * time))).astype(np.int16)
    for sound in (noise, clicks, keys):
        assert max(hear(silero, sound)[2:]) < 0.3
