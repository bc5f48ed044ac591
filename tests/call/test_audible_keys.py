"""Keys in the caller's audio: heard once, kept from the model, and one with what RTP and INFO tell."""

import numpy as np
import pytest
from call.stage import CALLER, FRAME_S, QUIET, Stage

from sipagent.audio.g711 import encode
from sipagent.audio.linear import from_linear
from sipagent.audio.tones import dtmf, silence
from sipagent.call import events
from sipagent.call.audible_keys import AudibleKeys
from sipagent.formats import PCM, PCMA, PCMU, AudioFormat
from sipagent.rtp.session import Frame


def dial(stage: Stage, keys: str, *, ms: float = 100.0, level_dbfs: float = -20.0) -> None:
    """Let the caller's network press keys in the audio, with pauses of 100 ms."""
    sound = np.concatenate(
        [part for key in keys for part in (silence(100), dtmf(key, ms, level_dbfs=level_dbfs))] + [silence(100)]
    )
    data = encode(sound, "PCMU")
    for at in range(0, len(data) - 159, 160):
        stage.advance(FRAME_S)
        stage.feed(stage.call.receive_rtp, stage.caller.say(data[at : at + 160]), CALLER)


def pressed(stage: Stage) -> str:
    return "".join(fact.digit for fact in stage.of(events.DigitPressed))


@pytest.fixture
def stage() -> Stage:
    stage = Stage(hears_keys=True, records=True)
    stage.answer()
    return stage


def test_they_reach_the_model_as_a_number_and_not_as_sound(stage: Stage) -> None:
    stage.hear("." * 10)
    dial(stage, "4711#")
    stage.advance(1.5)
    assert pressed(stage) == "4711#"
    (item,) = stage.sent("conversation.item.create")
    assert "4 7 1 1 #" in str(item)
    assert not stage.of(events.SpeechStarted), "a key is no word"
    assert not stage.sent("input_audio_buffer.append")


def test_they_are_in_the_recording_as_they_were_heard(stage: Stage) -> None:
    dial(stage, "5")
    stage.feed(stage.call.hang_up)
    recorded = b"".join(piece.caller for piece in stage.of(events.RecordAudio))
    tone = encode(dtmf("5", 100, level_dbfs=-20), "PCMU")
    assert recorded.count(tone[:800]) == 1


def test_who_did_not_ask_for_it_hears_none() -> None:
    stage = Stage(hears_keys=False)
    stage.answer()
    dial(stage, "4711")
    assert pressed(stage) == ""


@pytest.mark.parametrize("ms", [60, 2_000])
def test_a_key_that_rtp_and_info_tell_as_well_counts_once(stage: Stage, ms: int) -> None:
    """The tone begins, and only when the key comes up does RTP tell of it, however long it was held."""
    dial(stage, "9", ms=ms)
    for data in stage.caller.press("9"):
        changed = data[:-2] + (ms * 8).to_bytes(2)
        stage.feed(stage.call.receive_rtp, changed, CALLER)
    stage.feed(stage.call.receive_info, "9")
    assert pressed(stage) == "9"


def test_a_key_stops_the_agent() -> None:
    stage = Stage(hears_keys=True, greeting="Greet.")
    stage.answer()
    stage.respond("A long speech.", ms=4_000)
    stage.play(200)
    dial(stage, "1")
    assert stage.of(events.BargedIn)


@pytest.mark.parametrize("audio_format", [PCMU, PCMA, PCM])
def test_what_is_heard_while_a_key_is_down_is_silence_of_the_same_length(audio_format: AudioFormat) -> None:
    audible = AudibleKeys(audio_format)
    rate = audio_format.rate
    sound = np.concatenate((silence(60, rate=rate), dtmf("8", 100, rate=rate), silence(100, rate=rate)))
    size = rate // 50
    frames = [from_linear(sound[at : at + size], audio_format) for at in range(0, len(sound), size)]
    received = [audible.receive(Frame(payload, 0, 0, False, 160)) for payload in frames]
    heard = [frame.payload for frame, _ in received]
    assert ["".join(keys) for _, keys in received] == ["", "", "", "", "8"] + [""] * 8
    quiet = audio_format.silence_of(20)
    assert heard[3] != quiet, "its first 20 ms are past before it is certain"
    assert heard[4:8] == [quiet] * 4
    assert [len(payload) for payload in heard] == [len(quiet)] * len(frames)


def test_a_silence_that_was_not_sent_ends_a_press() -> None:
    audible = AudibleKeys(PCMU)
    tone = encode(dtmf("2", 60), "PCMU")
    nothing = Frame(b"", 0, 0, False, 8_000)
    for _ in range(2):
        assert audible.receive(Frame(tone, 0, 0, False, 480))[1] == ["2"]
        assert audible.receive(nothing) == (nothing, [])
    quiet = Frame(QUIET["PCMU"], 0, 0, False, 160)
    assert audible.receive(quiet)[0] is quiet
