"""Clips and their player: any file at the rate of the call, once or for ever, and never a click."""

import numpy as np
import pytest
from audio.clicks import click_dbfs
from hypothesis import given
from hypothesis import strategies as st

from sipagent.audio import clip as clip_module
from sipagent.audio.clip import Clip, Player
from sipagent.audio.g711 import Pcm
from sipagent.audio.tones import fade, silence, sine
from sipagent.audio.wav import WavError, write_wav


def played(player: Player, frames: int, samples: int = 160) -> list[Pcm]:
    taken = (player.next_frame(samples) for _ in range(frames))
    return [frame for frame in taken if frame is not None]


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_of_any_rate_and_any_channels_is_made_the_calls(rate: int, channels: int) -> None:
    tone = sine(440, 1_000, level_dbfs=-20, rate=rate)
    clip = Clip.read(write_wav(rate, np.stack([tone] * channels, axis=1)), rates=(8_000, 24_000))
    for wanted in (8_000, 24_000):
        pcm = clip.at(wanted)
        assert pcm.dtype == np.int16
        assert len(pcm) == pytest.approx(wanted, abs=1)
        expected = sine(440, 1_000, level_dbfs=-20, rate=wanted)
        middle = slice(wanted // 10, wanted * 9 // 10)
        assert np.abs(pcm[middle].astype(int) - expected[middle]).max() < 60, "within 1.5 % of the crest"


def test_a_rate_nobody_asked_for_is_converted_once() -> None:
    clip = Clip.read(write_wav(8_000, sine(440, 500)), rates=(8_000,))
    assert len(clip.at(16_000)) == 8_000
    assert clip.at(16_000) is clip.at(16_000)


@pytest.mark.parametrize("dbfs", [-60.0, -30.0])
def test_it_is_made_as_loud_as_it_is_to_be(dbfs: float) -> None:
    clip = Clip.read(write_wav(16_000, sine(440, 500, level_dbfs=-12, rate=16_000))).at_level(dbfs)
    for rate in (8_000, 24_000):
        assert 10 * np.log10(np.mean((clip.at(rate) / 32_768) ** 2)) == pytest.approx(dbfs, abs=0.3)
    silent = Clip.read(write_wav(8_000, silence(100)))
    assert not silent.at_level(dbfs).at(8_000).any()


def test_files_that_are_none_or_too_long_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WavError):
        Clip.read(b"RIFF")
    with pytest.raises(WavError, match="without a sample"):
        Clip.read(write_wav(8_000, silence(0)))
    monkeypatch.setattr(clip_module, "MAX_S", 1)
    Clip.read(write_wav(8_000, silence(1_000)))
    with pytest.raises(WavError, match="more than 1 s"):
        Clip.read(write_wav(8_000, silence(1_001)))


def test_it_is_played_once_and_its_last_frame_is_filled_up() -> None:
    tone = np.full(500, 8_000, np.int16)
    player = Player(tone)
    frames = played(player, 10)
    assert [len(frame) for frame in frames] == [160] * 4
    assert player.is_over
    sound = np.concatenate(frames)
    assert np.array_equal(sound[40:460], tone[40:460])
    assert 0 < sound[0] < 100
    assert 0 < sound[499] < 100
    assert not sound[500:].any()


def test_it_is_played_for_ever_without_a_seam() -> None:
    tone = sine(500, 1_000)[:7_936]  # 496 periods of 16 samples
    player = Player(tone, loops=True)
    sound = np.concatenate(played(player, 500))
    assert np.array_equal(sound[40:], np.tile(tone, 11)[40 : len(sound)])
    assert click_dbfs(fade(sound)) < -70.0


@given(st.integers(0, 60), st.sampled_from([80, 160, 240, 480]))
def test_wherever_it_is_stopped_it_does_not_click(frames: int, samples: int) -> None:
    player = Player(sine(312.5, 2_000, level_dbfs=-10), loops=True, fall_ms=10)
    before = played(player, frames, samples)
    player.stop()
    player.stop()
    after = played(player, 10, samples)
    assert len(after) == (1 if samples >= 80 else 2)
    assert player.is_over
    sound = np.concatenate([silence(50), *before, *after, silence(50)])
    assert click_dbfs(sound) < -55.0
    assert not np.concatenate(after)[80:].any()


def test_stopped_near_its_end_it_ends_where_it_would_have() -> None:
    player = Player(np.full(200, 8_000, np.int16))
    played(player, 1)
    player.stop()
    (rest,) = played(player, 5)
    assert not rest[40:].any()


def test_it_rises_slowly_if_asked() -> None:
    player = Player(np.full(8_000, 10_000, np.int16), loops=True, rise_ms=500)
    sound = np.concatenate(played(player, 50))
    assert (np.diff(sound[:4_000].astype(int)) >= 0).all()
    assert sound[2_000] == pytest.approx(5_000, abs=20)
    assert (sound[4_000:] == 10_000).all()


def test_gain_and_rate() -> None:
    player = Player(np.full(24_000, 1_000, np.int16), gain_db=-20.0, rate=24_000)
    frames = played(player, 60, 480)
    assert len(frames) == 50
    assert frames[1].tolist() == [100] * 480
    assert (frames[0][120:] == 100).all()
    assert (frames[0][:80] < 90).all()


def test_a_clip_without_a_sample_is_over_at_once() -> None:
    assert Player(silence(0), loops=True).next_frame(160) is None
