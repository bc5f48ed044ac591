"""Concealment: what is made up goes on like what was heard, meets what comes, and never clicks, hums or shouts."""

from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sipagent.audio.g711 import decode_ulaw, encode_ulaw
from sipagent.audio.plc import FADE_MS, HISTORY_MS, HOLD_MS, Concealer, Pcm
from sipagent.audio.tones import dtmf, sine

RATE = 8_000
FRAME = 160
HISTORY = RATE * HISTORY_MS // 1_000
FADED = round(RATE * (HOLD_MS + FADE_MS) / 1_000)


def concealer(rate: int = RATE, seed: int = 1) -> Concealer:
    return Concealer(rate, random=Random(seed))


def rms(pcm: Pcm) -> float:
    return float(np.sqrt(np.square(pcm.astype(np.float64)).mean())) if pcm.size else 0.0


def hiss(samples: int, level: float = 100.0, seed: int = 3) -> Pcm:
    """Return white noise of that RMS."""
    return np.rint(np.random.default_rng(seed).standard_normal(samples) * level).astype(np.int16)


def vowel(samples: int, pitch_hz: float = 125.0, rate: int = RATE, level: float = 8_000.0) -> Pcm:
    """Return a buzz with two formants: pulses through resonators."""
    period = rate / pitch_hz
    pulses = np.zeros(samples)
    pulses[np.arange(0, samples, period).astype(int)] = 1.0
    t = np.arange(int(0.02 * rate)) / rate
    throat = np.exp(-300 * t) * (np.sin(2 * np.pi * 600 * t) + 0.5 * np.sin(2 * np.pi * 1_200 * t))
    sound = np.convolve(pulses, throat)[:samples]
    return np.rint(sound / np.abs(sound).max() * level).astype(np.int16)


def piecewise(ours: Concealer, history: Pcm, frames: int) -> Pcm:
    """Conceal frame by frame, as a telephone does."""
    heard = history
    for _ in range(frames):
        heard = np.concatenate([heard, ours.conceal(FRAME, history=heard[-HISTORY:])])
    return heard[history.size :]


def steepest(pcm: Pcm) -> int:
    """Return the greatest step from one sample to the next."""
    return int(np.abs(np.diff(pcm.astype(np.int64))).max(initial=0))


def similarity(one: Pcm, other: Pcm) -> float:
    a, b = one.astype(np.float64), other.astype(np.float64)
    return float(a.dot(b) / np.sqrt(a.dot(a) * b.dot(b) + 1e-9))


@pytest.mark.parametrize("frequency_hz", [350, 1_004, 2_600])
@pytest.mark.parametrize("both_sides", [True, False])
def test_a_tone_goes_on_in_phase(frequency_hz: int, both_sides: bool) -> None:
    tone = sine(frequency_hz, 200)
    future = tone[HISTORY + FRAME :][:FRAME] if both_sides else None
    made = concealer().conceal(FRAME, history=tone[:HISTORY], future=future)
    assert np.abs(made.astype(int) - tone[HISTORY:][:FRAME]).max() <= 0.03 * tone.max()


@pytest.mark.parametrize("digit", "159D")
def test_a_key_stays_that_key(digit: str) -> None:
    tone = dtmf(digit, 200)
    made = concealer().conceal(FRAME, history=tone[200:][:HISTORY])
    assert similarity(made, tone[200 + HISTORY :][:FRAME]) > 0.995


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000, 48_000])
@pytest.mark.parametrize("pitch_hz", [110, 220])
def test_a_vowel_goes_on(rate: int, pitch_hz: int) -> None:
    history, frame = rate * HISTORY_MS // 1_000, rate // 50
    sound = vowel(rate, pitch_hz, rate)[rate // 2 :]
    made = concealer(rate).conceal(frame, history=sound[:history], future=sound[history + frame :][:frame])
    assert similarity(made, sound[history:][:frame]) > 0.8


def test_silence_stays_silent() -> None:
    nothing = np.zeros(HISTORY, np.int16)
    assert not concealer().conceal(FRAME, history=nothing).any()
    assert not concealer().conceal(FRAME, history=nothing, future=nothing[:FRAME]).any()


def test_without_a_history_there_is_silence() -> None:
    assert not concealer().conceal(FRAME, history=np.zeros(0, np.int16)).any()


def test_the_sound_after_is_enough() -> None:
    tone = sine(1_004, 40)
    made = concealer().conceal(FRAME, history=np.zeros(0, np.int16), future=tone[FRAME:])
    assert np.abs(made[-10:].astype(int) - tone[FRAME - 10 : FRAME]).max() < 0.1 * tone.max()


def test_noise_stays_noise_of_its_level() -> None:
    noise, ours = hiss(HISTORY), concealer()
    made = piecewise(ours, noise, 20)
    for part in made.reshape(10, -1)[1:]:
        assert rms(part) == pytest.approx(rms(noise), rel=0.3)
    spectrum = np.abs(np.fft.rfft(made[FADED:].astype(np.float64)))
    assert spectrum.max() < 6 * np.sqrt(np.square(spectrum).mean())


def test_a_long_loss_fades_to_the_background() -> None:
    background = hiss(HISTORY, 20)
    history = background.copy()
    history[FRAME:] += vowel(HISTORY - FRAME)
    ours = concealer()
    made = piecewise(ours, history, 50)
    levels = [rms(part) for part in made.reshape(50, -1)]
    assert levels[0] > 0.3 * rms(history)
    assert levels[2] < levels[1] < levels[0]
    assert all(10 < level < 40 for level in levels[5:])


def test_a_vowel_leaves_no_buzz() -> None:
    made = concealer().conceal(RATE, history=vowel(HISTORY, level=20_000))
    assert rms(made[FADED:]) < 400


@pytest.mark.parametrize("both_sides", [True, False])
@pytest.mark.parametrize("frames", [1, 2, 4, 10])
def test_no_edge_clicks(frames: int, both_sides: bool) -> None:
    sound = vowel(RATE, 180)[RATE // 2 :]
    before, after = sound[:HISTORY], sound[HISTORY + frames * FRAME :][:FRAME]
    ours = concealer()
    if both_sides:
        made = [ours.conceal(frames * FRAME, history=before, future=after), after]
    else:
        made = [piecewise(ours, before, frames), ours.recover(after)]
    assert steepest(np.concatenate([before, *made])) <= 1.5 * steepest(sound)


def test_the_gap_piece_by_piece_is_the_gap_at_once() -> None:
    history = vowel(HISTORY)
    whole, pieces = concealer(), concealer()
    heard = history
    for samples in (100, 1, 0, 59, 160):
        heard = np.concatenate([heard, decode_ulaw(encode_ulaw(pieces.conceal(samples, history=heard)))])
    at_once = decode_ulaw(encode_ulaw(whole.conceal(320, history=history))).astype(int)
    assert np.abs(heard[HISTORY:] - at_once).max() <= 1  # sums of another order are rounded otherwise


def test_a_loss_after_good_frames_is_another() -> None:
    low, high, ours = sine(440, 100), sine(1_004, 100), concealer()
    ours.conceal(FRAME, history=low[:HISTORY])
    made = ours.conceal(FRAME, history=high[:HISTORY])
    assert similarity(made, high[HISTORY:][:FRAME]) > 0.99


def test_a_good_frame_without_loss_is_untouched() -> None:
    frame = vowel(FRAME)
    assert concealer().recover(frame) is frame
    ours = concealer()
    ours.conceal(FRAME, history=frame, future=frame)
    assert ours.recover(frame) is frame


def test_only_the_start_of_a_good_frame_is_merged() -> None:
    frame, ours = vowel(FRAME), concealer()
    before = frame.copy()
    ours.conceal(FRAME, history=vowel(HISTORY, 200))
    merged = ours.recover(frame)
    assert np.array_equal(frame, before)
    assert not np.array_equal(merged, frame)
    assert np.array_equal(merged[80:], frame[80:])


def test_an_onset_after_the_gap_does_not_shout_back_into_silence() -> None:
    onset = vowel(FRAME)
    made = concealer().conceal(4 * FRAME, history=hiss(HISTORY, 10), future=onset)
    assert rms(made[:FRAME]) < 0.05 * rms(onset)
    assert np.abs(made.astype(int)).max() <= np.abs(onset.astype(int)).max()


def test_the_same_seed_makes_the_same_sound() -> None:
    history = hiss(HISTORY, 200)
    one, same, other = (concealer(seed=seed).conceal(800, history=history) for seed in (5, 5, 6))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def pcm(most: int) -> st.SearchStrategy[Pcm]:
    """Anything, and what is loudest for long."""
    loud = st.builds(np.full, st.integers(0, most), st.sampled_from([-32_768, 32_767]), st.just(np.int16))
    return arrays(np.int16, st.integers(0, most)) | loud


@settings(max_examples=150, deadline=None)
@given(
    rate=st.sampled_from([8_000, 16_000, 24_000, 48_000]), history=pcm(1_000), future=st.none() | pcm(500),
    lengths=st.lists(st.integers(0, 3_000), max_size=4), frame=pcm(400),
)  # fmt: skip
def test_whatever_is_handed_over(rate: int, history: Pcm, future: Pcm | None, lengths: list[int], frame: Pcm) -> None:
    ours = concealer(rate)
    heard = max(int(np.abs(part.astype(int)).max(initial=0)) for part in (history, future) if part is not None)
    for samples in lengths:
        made = ours.conceal(samples, history=history)
        assert (made.dtype, made.shape) == (np.int16, (samples,))
        assert np.abs(made.astype(int)).max(initial=0) <= heard
    made = ours.conceal(FRAME, history=history, future=future)
    assert (made.dtype, made.shape) == (np.int16, (FRAME,))
    assert np.abs(made.astype(int)).max(initial=0) <= heard
    assert ours.recover(frame).shape == frame.shape
