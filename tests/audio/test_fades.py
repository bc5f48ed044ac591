"""Fades: what is cut does not click, and what is not cut is as it was."""

import numpy as np
import pytest
from audio.clicks import click_dbfs
from hypothesis import given
from hypothesis import strategies as st

from sipagent.audio.fades import fade_in, fade_out, ramp
from sipagent.audio.g711 import Pcm, decode, encode
from sipagent.audio.tones import silence, sine

LAWS = ["PCMU", "PCMA"]
FRAME = 160
BETTER_DB = 20.0
"""By so much a fade is quieter than a cut, where only a click is heard."""
NOISE_DB = 2.0
"""In G.711 it drowns in the rounding of the sound itself, give or take this."""


def voiced() -> Pcm:
    """Four frames of a loud tone whose third ends on a crest."""
    return sine(312.5, 400, level_dbfs=-10)[13 : 13 + 4 * FRAME]


def tail(rest: Pcm, *, rate: int = 8_000) -> Pcm:
    """What is played after a cut: the first 5 ms of what would have been played, fading."""
    return fade_out(rest[: rate // 200], rate=rate)


def alone(*parts: Pcm) -> Pcm:
    return np.concatenate((silence(50), *parts, silence(50)))


def test_a_cut_with_its_tail_does_not_click() -> None:
    sound = voiced()
    begin, rest = fade_in(sound[: 3 * FRAME]), sound[3 * FRAME :]
    assert abs(int(rest[0])) > 0.9 * sound.max(), "the cut is on a crest"
    assert click_dbfs(alone(begin, tail(rest))) < click_dbfs(alone(begin)) - BETTER_DB


def test_sound_that_goes_on_does_not_click() -> None:
    sound = voiced()[::-1]
    hard, soft = alone(fade_out(sound[FRAME:])), alone(fade_out(fade_in(sound[FRAME:])))
    assert click_dbfs(soft) < click_dbfs(hard) - BETTER_DB


@pytest.mark.parametrize("codec", LAWS)
def test_in_g711_neither_is_louder_than_the_rounding_of_the_sound(codec: str) -> None:
    sound = voiced()
    frames = [encode(sound[at : at + FRAME], codec) for at in range(0, 4 * FRAME, FRAME)]
    raised = encode(fade_in(decode(frames[0], codec)), codec)
    cut = encode(tail(decode(frames[3], codec)), codec)
    heard = [decode(frame, codec) for frame in (raised, *frames[1:3], cut)]
    whole = decode(b"".join(frames), codec)
    rounding = click_dbfs(alone(fade_in(fade_out(whole))))
    assert click_dbfs(alone(*heard)) < rounding + NOISE_DB
    assert click_dbfs(alone(*heard[:3])) > rounding + 3 * NOISE_DB, "without its tail it clicks"


@pytest.mark.parametrize("rate", [8_000, 24_000, 48_000])
def test_a_fade_lasts_five_milliseconds_at_any_rate(rate: int) -> None:
    frame = np.full(rate // 50, 10_000, np.int16)
    length = rate // 200
    faded, raised = fade_out(frame, rate=rate), fade_in(frame, rate=rate)
    assert len(faded) == len(frame)
    assert np.array_equal(raised, faded[::-1])
    assert (raised[length:] == 10_000).all()
    assert 0 <= raised[0] < 100
    assert 9_900 < raised[length - 1] <= 10_000
    assert (np.diff(raised[:length].astype(int)) >= 0).all()


@given(st.integers(0, 300))
def test_a_fade_is_never_louder_than_the_sound(length: int) -> None:
    loud = np.full(length, 32_767, np.int16)
    for faded in (fade_in(loud), fade_out(loud)):
        assert len(faded) == length
        assert (faded >= 0).all()
    assert np.array_equal(fade_in(loud)[40:], loud[40:])


def test_a_ramp_rises_from_nothing_to_all() -> None:
    assert len(ramp(0)) == 0
    assert ramp(1).tolist() == [pytest.approx(0.5)]
    assert np.allclose(ramp(40) + ramp(40)[::-1], 1.0), "what falls as another rises is as loud as either"
