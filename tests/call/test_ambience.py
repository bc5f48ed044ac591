"""Sounds beside the agent's voice: when they are heard, that none clicks, and that the ledger knows none of them."""

from collections.abc import Sequence

import numpy as np
import pytest
from audio.clicks import click_dbfs
from call.stage import Stage

from sipagent.audio.clip import Clip
from sipagent.audio.g711 import Pcm, decode
from sipagent.audio.linear import from_linear, to_linear
from sipagent.audio.tones import silence, sine
from sipagent.call import events
from sipagent.call.ambience import TONE_EVERY_S, Ambience, AmbienceSettings, RecordingTone
from sipagent.formats import PCM, PCMA, PCMU, AudioFormat

FORMATS = [PCMU, PCMA, PCM]
HUM_DBFS = -30.0


def clip(frequency_hz: float = 300.0, ms: float = 1_000.0, *, level_dbfs: float = HUM_DBFS) -> Clip:
    return Clip({rate: sine(frequency_hz, ms, level_dbfs=level_dbfs, rate=rate) for rate in (8_000, 24_000)})


def level_dbfs(pcm: Pcm) -> float:
    power = np.mean((pcm / 32_768.0) ** 2)
    return float(10 * np.log10(power)) if power else -200.0


def joined(frames: Sequence[bytes | None], audio_format: AudioFormat, ms: int = 20) -> Pcm:
    return to_linear(b"".join(frame or audio_format.silence_of(ms) for frame in frames), audio_format)


@pytest.mark.parametrize("ms", [10, 20, 60])
@pytest.mark.parametrize("audio_format", FORMATS)
def test_the_sound_of_thinking_comes_late_and_slowly_and_goes_at_once(audio_format: AudioFormat, ms: int) -> None:
    ambience = Ambience(AmbienceSettings(thinking=clip(), after_ms=600), audio_format=audio_format)
    heard = [ambience.add(None, ms, is_thinking=True) for _ in range(2_400 // ms)]
    assert heard[: 600 // ms] == [None] * (600 // ms)
    word = audio_format.silence_of(ms)
    after = [ambience.add(word, ms, is_thinking=False) for _ in range(120 // ms)]
    sound = joined(heard, audio_format, ms)
    at = audio_format.rate // 1_000
    assert level_dbfs(sound[620 * at : 720 * at]) < HUM_DBFS - 10
    assert level_dbfs(sound[1_400 * at : 2_400 * at]) == pytest.approx(HUM_DBFS, abs=0.5)
    rest = np.flatnonzero(np.abs(joined(after, audio_format, ms)) > 100)
    assert 0 < rest.max() < 20 * at, "20 ms later all of it is gone"
    assert after[-1] is word, "a frame passes untouched"
    whole = np.concatenate((sound, joined(after, audio_format, ms)))
    rounding = -70.0 if audio_format is PCM else -62.0
    assert click_dbfs(whole, rate=audio_format.rate) < rounding


def test_an_answer_that_comes_soon_is_not_waited_for_with_noise() -> None:
    ambience = Ambience(AmbienceSettings(thinking=clip()), audio_format=PCMU)
    for _ in range(5):
        assert [ambience.add(None, 20, is_thinking=True) for _ in range(39)] == [None] * 39
        assert ambience.add(b"w" * 160, 20, is_thinking=False) == b"w" * 160


def test_without_sounds_every_frame_passes_untouched() -> None:
    ambience = Ambience(AmbienceSettings(), audio_format=PCMU)
    assert not ambience.is_announcing
    frame = b"w" * 160
    assert all(ambience.add(frame, 20, is_thinking=False) is frame for _ in range(100))
    assert [ambience.add(None, 20, is_thinking=True) for _ in range(100)] == [None] * 100


def test_under_the_first_word_the_sound_is_mixed_in() -> None:
    ambience = Ambience(AmbienceSettings(thinking=clip(), after_ms=0), audio_format=PCM)
    for _ in range(60):
        ambience.add(None, 20, is_thinking=True)
    word = sine(1_000, 20, level_dbfs=-20, rate=24_000)
    first = ambience.add(from_linear(word, PCM), 20, is_thinking=False)
    assert first is not None
    under = to_linear(first, PCM).astype(int) - word
    assert level_dbfs(under[:48].astype(np.int16)) == pytest.approx(HUM_DBFS, abs=6.0)
    assert np.abs(under[-24:]).max() < 20


# In a call


def answer(stage: Stage) -> None:
    stage.answer()
    stage.feed(stage.call.receive_ack, b"")


def think(stage: Stage, *, ms: int = 3_000) -> Pcm:
    """The caller asks and the model thinks; what the caller hears meanwhile."""
    stage.hear("s" * 10 + "." * 30)
    return decode(stage.play(ms), "PCMU")


def test_it_is_heard_between_the_callers_turn_and_the_answer() -> None:
    stage = Stage(ambience=AmbienceSettings(thinking=clip()))
    answer(stage)
    before = decode(stage.play(2_000), "PCMU")
    assert len(before) == 16_000
    assert not before.any(), "nobody asked anything yet"
    sound = think(stage)
    assert level_dbfs(sound[-8_000:]) == pytest.approx(HUM_DBFS, abs=0.5)
    stage.respond("Yes.", ms=400)
    stage.finish()
    stage.play(400)
    assert not decode(stage.play(1_000), "PCMU").any(), "the answer is over"
    (said,) = stage.of(events.AgentSaid)
    assert said.heard_ms == 400, "what was heard while it thought is none of the model's words"


def test_the_answer_is_the_models_byte_for_byte_but_for_its_first_frame() -> None:
    stage = Stage(ambience=AmbienceSettings(thinking=clip()))
    answer(stage)
    think(stage)
    stage.respond()
    sent = stage.speak(400)
    assert stage.play(400)[160:] == sent[160:]


def test_a_caller_who_speaks_on_hears_no_noise() -> None:
    stage = Stage(ambience=AmbienceSettings(thinking=clip()))
    answer(stage)
    think(stage)
    stage.hear("s" * 6)
    stage.play(40)
    assert not decode(stage.play(200), "PCMU").any()


def test_a_tool_that_takes_long_is_waited_for_with_it() -> None:
    stage = Stage(ambience=AmbienceSettings(thinking=clip()))
    answer(stage)
    stage.hear("s" * 10 + "." * 30)
    stage.respond("One moment.", ms=200)
    stage.call_function("look_up")
    stage.finish()
    sound = decode(stage.play(3_000), "PCMU")
    assert level_dbfs(sound[-8_000:]) == pytest.approx(HUM_DBFS, abs=0.5)


def test_the_announcement_is_heard_before_the_greeting_and_to_its_end() -> None:
    stage = Stage(greeting="Hello.", ambience=AmbienceSettings(announcement=clip(500.0, 600.0)), records=True)
    answer(stage)
    stage.respond("Hello.", ms=400)
    stage.finish()
    stage.hear("s" * 10)
    sound = decode(stage.play(600), "PCMU")
    assert level_dbfs(sound) == pytest.approx(HUM_DBFS, abs=0.5), "a caller who speaks does not stop it"
    assert click_dbfs(np.concatenate((silence(50), sound, silence(50)))) < -60.0
    assert not stage.of(events.AgentSaid)


def test_the_greeting_follows_the_announcement_without_a_gap() -> None:
    stage = Stage(greeting="Hello.", ambience=AmbienceSettings(announcement=clip(500.0, 600.0)))
    answer(stage)
    stage.respond("Hello.")
    sent = stage.speak(400)
    stage.finish()
    assert stage.play(1_000)[600 * 8 :] == sent
    (said,) = stage.of(events.AgentSaid)
    assert (said.text, said.heard_ms) == ("Hello.", 400)
    (started,) = stage.of(events.AgentStarted)
    assert started.was_queued, "its delay is the announcement's"


# The tone of a recording


@pytest.mark.parametrize("audio_format", FORMATS)
def test_a_beep_every_fifteen_seconds(audio_format: AudioFormat) -> None:
    tone = RecordingTone(audio_format=audio_format, began_at=100.0)
    quiet = audio_format.silence_of(20)
    heard = b"".join(tone.add(quiet, now=100.0 + n * 0.02) for n in range(round(31 / 0.02)))
    sound = to_linear(heard, audio_format)
    rate = audio_format.rate
    loud = np.flatnonzero(np.abs(sound) > 200)
    starts = [loud[0], *loud[1:][np.diff(loud) > rate]]
    assert np.allclose(np.array(starts) / rate, [0.0, TONE_EVERY_S, 2 * TONE_EVERY_S], atol=0.03)
    beep = sound[: rate // 5]
    assert round(float(np.abs(np.fft.rfft(beep)).argmax()) * rate / len(beep)) == 1_400
    assert click_dbfs(sound, above_hz=2_500, rate=rate) < -55.0


def test_the_tone_is_heard_by_the_caller_and_is_in_the_recording_but_not_in_a_pause() -> None:
    stage = Stage(records=True, recording_tone=True)
    answer(stage)
    first = decode(stage.play(1_000), "PCMU")
    assert level_dbfs(first[:1_600]) == pytest.approx(-26.0, abs=0.5)
    assert stage.call.recording.record is not None
    stage.feed(stage.call.recording.record.pause)
    assert not decode(stage.play(20_000), "PCMU").any()
    stage.feed(stage.call.recording.record.resume)
    again = decode(stage.play(1_000), "PCMU")
    assert level_dbfs(again[:1_600]) == pytest.approx(-26.0, abs=0.5), "it is due, and comes at once"
    stage.feed(stage.call.hang_up)
    recorded = decode(b"".join(piece.agent for piece in stage.of(events.RecordAudio)), "PCMU")
    assert np.array_equal(recorded[:8_000], first)
    assert np.array_equal(recorded[21 * 8_000 :], again)


def test_a_call_that_is_not_recorded_has_no_tone() -> None:
    stage = Stage(records=False, recording_tone=True)
    answer(stage)
    assert not decode(stage.play(1_000), "PCMU").any()
